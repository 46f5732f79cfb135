/** The page of the users: search, add, set a password, end sessions, delete. */

import { connect, whenMissed } from "./console.js";
import { ask as question, show } from "./dialog.js";
import { backpack, byId, el, fill } from "./dom.js";
import { count, exactly, when } from "./format.js";
import { Pager, searchBy } from "./pager.js";
import { Rows } from "./rows.js";
import { act, say, sayError } from "./toast.js";
import { View, pageOf } from "./view.js";

/** @typedef {{ _id: string, email: string, createdAt: string }} User */
/** @typedef {{ _id: string, userId: string, expires: number }} Session */
/** @typedef {{ search: string, sort: string, page: number, size: number }} Asked */

const PASSWORD = { name: "password", label: "Password", type: "password", hint: "At least 8 characters", more: { required: true, autocomplete: "new-password" } };

const live = connect(backpack());
const search = byId("search", "input");
const sort = byId("sort", "select");
const nothing = byId("nothing", "p");
const rows = new Rows(byId("users", "tbody"), (/** @type {User} */ user) => user._id, draw);
const pager = new Pager(byId("pager", "form"), (page, size) => view.open({ page, size }));

/** @type {View<Asked>} */
const view = new View(
  { search: "", sort: sort.value, page: 1, size: 50 },
  ({ search: wanted, sort: order, ...page }) => live.ask("get", "users", undefined, { search: wanted, sort: order, ...pageOf(page) }),
  {
    onfound({ items, total }, asked, isLive) {
      rows.show(items, isLive);
      pager.show({ ...asked, total, shown: items.length });
      nothing.hidden = total > 0;
      nothing.textContent = asked.search ? "No user has this in the e-mail address, or as the id." : "Nobody has registered yet.";
    },
    onfailed: sayError,
  },
);

/** @param {User} user */
function draw(user) {
  const of = `of ${user.email}`;
  return el(
    "tr",
    {},
    el("th", { scope: "row", class: "who", title: user.email }, user.email),
    el("td", {}, el("code", {}, user._id)),
    el("td", {}, when(user.createdAt)),
    el("td", { class: "tight" }, el("div", { class: "actions" }, act("Sessions", of, () => openSessions(user)), act("Password", of, () => setPassword(user)), act("Delete", of, () => remove(user), "danger"))),
  );
}

function add() {
  return question({
    title: "Add a user",
    fields: [{ name: "email", label: "E-mail address", type: "email", more: { required: true, autocomplete: "off" } }, PASSWORD],
    action: "Add",
    onsubmit: async ({ email, password }) => {
      const made = await live.ask("post", "users", { email, password });
      say(`${made.email} is added`);
    },
  });
}

/** @param {User} user */
function setPassword(user) {
  return question({
    title: "Set a password",
    text: `For ${user.email}. All their sessions end.`,
    fields: [PASSWORD],
    action: "Set the password",
    onsubmit: async ({ password }) => {
      await live.ask("patch", "users", { _id: user._id, password });
      say(`${user.email} has another password`);
    },
  });
}

/** @param {User} user */
function remove(user) {
  return question({
    title: "Delete the user?",
    text: `${user.email} cannot log in any more, and is logged out everywhere. Documents and files of theirs stay.`,
    action: "Delete the user",
    danger: true,
    onsubmit: async () => {
      await live.ask("delete", "users", user._id);
      say(`${user.email} is deleted`);
    },
  });
}

/** @param {User} user */
async function openSessions(user) {
  const list = el("ul", { class: "sessions" });
  const said = el("p", { class: "hint", role: "status" }, "Loading…");
  const all = el("button", { type: "button", class: "button danger" }, "End all");
  const { closed } = show({ title: "Sessions", content: [el("p", {}, `Of ${user.email}`), list, said], actions: [all] });
  const load = async () => {
    /** @type {Session[]} */
    const sessions = await live.ask("get", "sessions", { userId: user._id });
    said.textContent = sessions.length ? count(sessions.length, "session") : "Not logged in anywhere";
    all.disabled = !sessions.length;
    fill(list, ...sessions.map(drawSession));
  };
  all.addEventListener("click", () => live.ask("delete", "sessions", { userId: user._id }).then(load).catch(sayError));
  const off = live.on("sessions", () => load().catch(sayError));
  closed.then(off);
  await load();
}

/** @param {Session} session */
function drawSession({ _id, expires }) {
  const end = () => live.ask("delete", "sessions", { _id });
  const known = _id.slice(0, 8);
  return el("li", {}, el("code", {}, known), el("span", {}, `until ${exactly(expires * 1000)}`), act("End", `session ${known}`, end));
}

searchBy(view, search, sort);
byId("add", "button").addEventListener("click", () => add().catch(sayError));
live.on("users", () => view.touch());
whenMissed(live, () => view.load(true));
view.load(false);
