/** The page of the files: search, look at them, upload, delete. */

import { path, stream } from "./api.js";
import { connect, whenMissed } from "./console.js";
import { ask as question, show } from "./dialog.js";
import { backpack, byId, drawing, el, fill } from "./dom.js";
import { bytes, count, exactly, when } from "./format.js";
import { Pager, searchBy } from "./pager.js";
import { NOBODY, People } from "./people.js";
import { Rows } from "./rows.js";
import { act, say, sayError } from "./toast.js";
import { View, pageOf } from "./view.js";

/** @typedef {{ _id: string, userId: string, filename: string, bucket: string, size: number, type: string, createdAt: string, updatedAt: string }} Stored */
/** @typedef {{ search: string, userId: string, sort: string, page: number, size: number }} Asked */
/** @typedef {import("./console.js").Ask} Ask */

const LONGEST = 100_000; // bytes of a text that is shown
const PAPER = "M3.5 1.75h6l3 3v9.5h-9zm6 0v3h3";
const IMAGE = /^image\/(png|jpeg|gif|webp|avif)$/;

const live = connect(backpack());
const search = byId("search", "input");
const sort = byId("sort", "select");
const nothing = byId("nothing", "p");
const table = byId("files", "tbody");
const people = new People(live.ask);
const rows = new Rows(table, (/** @type {Stored} */ file) => file._id, draw);
const pager = new Pager(byId("pager", "form"), (page, size) => view.open({ page, size }));

/** @type {View<Asked>} */
const view = new View(
  { search: "", userId: "", sort: sort.value, page: 1, size: 50 },
  ({ page, size, ...asked }) => live.ask("get", "uploads", undefined, { ...asked, ...pageOf({ page, size }) }),
  {
    onfound({ items, total }, asked, isLive) {
      rows.show(items, isLive);
      pager.show({ ...asked, total, shown: items.length });
      nothing.hidden = total > 0;
      nothing.textContent = asked.search || asked.userId ? "There is no such file." : "Nothing has been uploaded yet.";
      call(items).catch(sayError);
    },
    onfailed: sayError,
  },
);

/** @param {Stored} file */
function draw(file) {
  const open = el("button", { type: "button", class: "link", click: () => preview(file).catch(sayError) }, file.filename);
  const remove = act("Delete", file.filename, () => discard(file), "danger");
  const owner = el("button", { type: "button", class: "link", "data-owner": file.userId, click: () => choose(file.userId) }, people.name(file.userId));
  return el(
    "tr",
    {},
    el("td", { class: "thumb" }, thumb(file)),
    el("th", { scope: "row", class: "mail" }, open, file.bucket ? el("span", { class: "tag" }, file.bucket) : null),
    el("td", { class: "who" }, owner),
    el("td", { class: "number" }, bytes(file.size)),
    el("td", {}, file.type),
    el("td", {}, when(file.updatedAt)),
    el("td", { class: "tight" }, el("div", { class: "actions" }, el("a", { class: "button quiet small", href: contentOf(file), download: file.filename }, "Download", el("span", { class: "unseen" }, ` ${file.filename}`)), remove)),
  );
}

/** @param {Stored} file */
function thumb(file) {
  if (!IMAGE.test(file.type)) return drawing(PAPER);
  const image = el("img", { src: contentOf(file), alt: "", loading: "lazy", width: 40, height: 40 });
  image.addEventListener("error", () => image.replaceWith(drawing(PAPER)));
  return image;
}

/** @param {Stored[]} files whose users are called by their addresses, once these are known */
async function call(files) {
  if (!(await people.look(files.map(({ userId }) => userId)))) return;
  for (const button of table.querySelectorAll("[data-owner]")) button.textContent = people.name(button.getAttribute("data-owner") ?? "");
}

/** @param {string} userId whose files alone are shown; "" for all */
function choose(userId) {
  const shown = byId("owner", "span");
  shown.hidden = !userId;
  const all = el("button", { type: "button", class: "button quiet small", click: () => choose("") }, "Show all");
  fill(shown, `Files of ${people.name(userId)}`, all);
  if (userId) all.focus();
  else search.focus();
  view.open({ userId, page: 1 });
}

/** @param {Stored} file */
async function preview(file) {
  const facts = [
    ["User", people.name(file.userId)],
    ["Size", `${bytes(file.size)}, ${file.type}`],
    ["Bucket", file.bucket || "none"],
    ["Uploaded", exactly(file.createdAt)],
    ["Changed", exactly(file.updatedAt)],
  ];
  const content = await shownContent(file);
  const download = el("a", { class: "button", href: contentOf(file), download: file.filename }, "Download");
  show({ title: file.filename, content: [content, el("dl", { class: "facts" }, ...facts.map(([term, value]) => el("div", {}, el("dt", {}, term), el("dd", {}, value))))], actions: [download], wide: true });
}

/** @param {Stored} file @returns {Promise<HTMLElement | null>} */
async function shownContent(file) {
  const src = contentOf(file);
  if (IMAGE.test(file.type)) return el("img", { src, alt: file.filename, class: "preview" });
  if (file.type.startsWith("video/")) return el("video", { src, controls: true, class: "preview" });
  if (file.type.startsWith("audio/")) return el("audio", { src, controls: true });
  if (!/^text\/|json$/.test(file.type) || file.size > LONGEST) return null;
  const answer = await fetch(src);
  return answer.ok ? el("pre", { class: "output", tabindex: 0, "aria-label": "Content" }, await answer.text()) : null;
}

/** @param {Stored} file */
function discard({ userId, filename }) {
  return question({
    title: "Delete the file?",
    text: `${filename} is gone for good, for the app too.`,
    action: "Delete the file",
    danger: true,
    onsubmit: async () => {
      await live.ask("delete", "uploads", { userId, filename });
      say(`${filename} is deleted`);
    },
  });
}

/**
 * Where the content of a file is; another one has another address.
 *
 * @param {Stored} file
 */
const contentOf = ({ userId, filename, updatedAt }) => path`/api/backpacks/${backpack()}/files/${userId}/${filename}?v=${updatedAt}`;

/**
 * The window for uploads; `chosen` are files that were dropped.
 *
 * @param {Ask} ask
 * @param {File[]} [chosen]
 */
function openUpload(ask, chosen = []) {
  let files = chosen;
  const input = el("input", { type: "file", id: "upload-files", multiple: true });
  const owner = el("input", { id: "upload-owner", autocomplete: "off", spellcheck: "false", list: "upload-owners", "aria-describedby": "upload-owner-hint" });
  const owners = el("datalist", { id: "upload-owners" });
  const said = el("p", { class: "hint", role: "status" });
  const problem = el("p", { class: "problem", role: "alert" });
  const list = el("ul", { class: "uploads" });
  const start = el("button", { type: "button", class: "button" }, "Upload");
  const choice = el(
    "div",
    { class: "stack" },
    el("div", { class: "field" }, el("label", { for: "upload-files" }, "Files"), input),
    el("div", { class: "field" }, el("label", { for: "upload-owner" }, "For the user"), owner, owners, el("p", { class: "hint", id: "upload-owner-hint" }, "Their e-mail address; without one the files are nobody's.")),
  );
  const stop = new AbortController();
  const { dialog, closed } = show({ title: "Upload files", content: [choice, said, list, problem], actions: [start] });
  closed.then(() => stop.abort());
  const tell = () => (said.textContent = files.length ? `${count(files.length, "file")}, ${bytes(files.reduce((sum, { size }) => sum + size, 0))}` : "");
  tell();
  input.addEventListener("change", () => {
    files = [...(input.files ?? [])];
    tell();
  });
  owner.addEventListener("input", async () => {
    const { items } = await ask("get", "users", undefined, { search: owner.value.trim(), limit: 8 });
    fill(owners, ...items.map((/** @type {{ email: string }} */ { email }) => el("option", { value: email })));
  });
  start.addEventListener("click", async () => {
    problem.textContent = "";
    try {
      if (!files.length) throw new Error("Choose files first.");
      const userId = await idOf(ask, owner.value);
      choice.hidden = start.hidden = true;
      const sent = await sendAll(files, userId, list, stop.signal);
      said.textContent = `${count(sent, "file")} uploaded`;
      if (sent === files.length) dialog.close();
    } catch (error) {
      problem.textContent = /** @type {Error} */ (error).message;
    }
  });
  input.focus();
}

/** @param {Ask} ask @param {string} email @returns {Promise<string>} */
async function idOf(ask, email) {
  const wanted = email.trim().toLowerCase();
  if (!wanted) return NOBODY;
  const { items } = await ask("get", "users", undefined, { search: wanted, sort: "email", limit: 1_000 });
  const found = items.find((/** @type {{ email: string }} */ one) => one.email === wanted);
  if (!found) throw new Error(`There is no user ${email.trim()}.`);
  return found._id;
}

/**
 * @param {File[]} files
 * @param {string} userId
 * @param {HTMLElement} list
 * @param {AbortSignal} signal
 * @returns {Promise<number>} how many were sent
 */
async function sendAll(files, userId, list, signal) {
  const lines = files.map((file) => {
    const bar = el("progress", { max: 1, value: 0, "aria-label": `Sent of ${file.name}` });
    const text = el("span", { class: "hint" }, "waits");
    list.append(el("li", {}, el("span", { class: "name" }, file.name), bar, text));
    return { file, bar, text };
  });
  let sent = 0;
  for (const { file, bar, text } of lines) {
    if (signal.aborted) break;
    text.textContent = "";
    try {
      await send(file, userId, signal, (share) => (bar.value = share));
      bar.value = 1;
      text.textContent = "done";
      sent += 1;
    } catch (error) {
      text.textContent = /** @type {Error} */ (error).message;
      text.className = "hint wrong";
    }
  }
  return sent;
}

/**
 * @param {File} file
 * @param {string} userId
 * @param {AbortSignal} signal
 * @param {(share: number) => void} onsent
 */
function send(file, userId, signal, onsent) {
  return stream("POST", path`/api/backpacks/${backpack()}/files/${userId}/${file.name}`, file, { signal, onsent });
}

searchBy(view, search, sort);
byId("upload", "button").addEventListener("click", () => openUpload(live.ask));

const page = byId("content", "main");
page.addEventListener("dragover", (event) => {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  page.classList.add("over");
});
page.addEventListener("dragleave", () => page.classList.remove("over"));
page.addEventListener("drop", (event) => {
  event.preventDefault();
  page.classList.remove("over");
  const dropped = [...(event.dataTransfer?.files ?? [])];
  if (dropped.length) openUpload(live.ask, dropped);
});

live.on("uploads", () => view.touch());
whenMissed(live, () => view.load(true));
view.load(false);
