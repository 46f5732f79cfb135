/** The windows for import and export: choose, see it go on, stop it; and the file that an export makes. */

import { ApiError } from "./api.js";
import { show } from "./dialog.js";
import { el, fill } from "./dom.js";
import { count, number } from "./format.js";
import { importFile } from "./importing.js";
import { write } from "./json.js";
import { say } from "./toast.js";

const AT_ONCE = 1_000; // documents in one answer

/** @typedef {import("./console.js").Ask} Ask */
/** @typedef {import("./importing.js").Progress} Progress */

/**
 * @param {Ask} ask
 * @param {string} collection
 */
export function openImport(ask, collection) {
  const file = el("input", { type: "file", id: "import-file", accept: ".json,.ndjson,.jsonl,application/json,application/x-ndjson" });
  const keep = el("input", { type: "checkbox", id: "import-keep" });
  const start = el("button", { class: "button", type: "button" }, "Import");
  const running = progressOf("Imported so far");
  const choice = el(
    "div",
    { class: "stack" },
    el("div", { class: "field" }, el("label", { for: "import-file" }, "File"), file, el("p", { class: "hint" }, "A JSON array of documents, or NDJSON: one document on each line. Of any size.")),
    el("div", { class: "field check" }, keep, el("label", { for: "import-keep" }, "Keep _id, createdAt and updatedAt"), el("p", { class: "hint" }, "For what was exported here before. Otherwise each document gets new ones.")),
  );
  const { dialog } = show({ title: `Import into ${collection}`, content: [choice, running.element], actions: [start] });
  const send = (/** @type {unknown[]} */ documents) => ask("post", "documents", documents, { collection });
  start.addEventListener("click", async () => {
    const chosen = file.files?.[0];
    if (!chosen) return running.fail("Choose a file first.");
    choice.hidden = true;
    await run(dialog, start, running, async (signal) => {
      const options = (/** @type {string} */ done) => ({ keep: keep.checked, signal, onprogress: (/** @type {Progress} */ state) => drawImport(running, state, done) });
      // All of it is looked through first: who mends a file does not import the rest of it twice.
      const found = await importFile(chosen, async () => {}, options("read"));
      if (!found.added) throw new Error(found.refused ? "Nothing in the file can be imported." : "There is nothing in the file.");
      if (found.refused) await pressed(running.element, `Import the ${count(found.added, "good document")} alone`, signal);
      const progress = await importFile(chosen, send, options("imported"));
      running.end(progress.refused ? `${count(progress.added, "document")} imported, ${count(progress.refused, "line")} refused.` : `${count(progress.added, "document")} imported.`);
    });
  });
  file.focus();
}

/**
 * @param {Element} place where there is a button for a while
 * @param {string} label
 * @param {AbortSignal} signal
 */
async function pressed(place, label, signal) {
  const button = el("button", { class: "button", type: "button" }, label);
  place.append(button);
  button.focus();
  await new Promise((resolve, reject) => {
    button.addEventListener("click", resolve);
    signal.addEventListener("abort", reject);
  }).finally(() => button.remove());
}

/** @param {ReturnType<typeof progressOf>} running @param {Progress} state @param {string} done what those are that went well */
function drawImport(running, { added, refused, refusals, share }, done) {
  fill(running.list, ...refusals.map(({ line, why }) => el("li", {}, `Line ${line}: ${why}`)), refused > refusals.length && el("li", {}, `and ${number(refused - refusals.length)} more`));
  running.set(share, `${count(added, "document")} ${done}${refused ? `, ${number(refused)} refused` : ""}`);
}

/**
 * @param {Ask} ask
 * @param {{ collection: string, filter: Record<string, unknown> | null, chosen: string[], total: number }} known
 */
export function openExport(ask, { collection, filter, chosen, total }) {
  const format = select("export-format", "Format", [["json", "JSON: one array"], ["ndjson", "NDJSON: one document a line"]]);
  const part = select("export-part", "Documents", [
    ...(chosen.length ? [["chosen", `The ${number(chosen.length)} selected`]] : []),
    ...(filter ? [["filter", `Those that match the filter (${number(total)})`]] : []),
    ["all", "All of the collection"],
  ]);
  const start = el("button", { class: "button", type: "button" }, "Export");
  const running = progressOf("Read so far");
  const choice = el("div", { class: "stack" }, part.field, format.field);
  const { dialog } = show({ title: `Export ${collection}`, content: [choice, running.element], actions: [start] });
  start.addEventListener("click", async () => {
    choice.hidden = true;
    const wanted = { collection, filter: { chosen: { _id: { $in: chosen } }, filter, all: null }[part.input.value] ?? null, format: /** @type {"json" | "ndjson"} */ (format.input.value) };
    await run(dialog, start, running, async (signal) => {
      const onprogress = (/** @type {number} */ done, /** @type {number} */ all) => running.set(all ? done / all : 1, `${number(done)} of ${count(all, "document")}`);
      save(await exportAll(wanted, ask, { signal, onprogress }), `${collection}.${wanted.format}`);
      dialog.close();
      say(`${collection}.${wanted.format} is saved`);
    });
  });
  part.input.focus();
}

/**
 * Do what can be stopped: by the window's buttons, or by its end.
 *
 * @param {HTMLDialogElement} dialog
 * @param {HTMLButtonElement} start
 * @param {ReturnType<typeof progressOf>} running
 * @param {(signal: AbortSignal) => Promise<void>} work
 */
async function run(dialog, start, running, work) {
  const stop = new AbortController();
  const cancel = el("button", { class: "button quiet", type: "button", click: () => stop.abort() }, "Stop");
  const ended = () => stop.abort();
  dialog.addEventListener("close", ended);
  start.replaceWith(cancel);
  cancel.focus();
  running.begin();
  try {
    await work(stop.signal);
  } catch (error) {
    running.fail(stop.signal.aborted ? "Stopped. What was done by then stays." : /** @type {Error} */ (error).message);
  } finally {
    const close = /** @type {HTMLButtonElement | null} */ (dialog.querySelector("footer .button"));
    if (close) close.textContent = "Close";
    close?.focus();
    cancel.remove();
    dialog.removeEventListener("close", ended);
  }
}

/** @param {string} label */
function progressOf(label) {
  const bar = el("progress", { max: 1, value: 0, "aria-label": label });
  const text = el("p", { class: "hint" });
  const result = el("p", { role: "status" });
  const problem = el("p", { class: "problem", role: "alert" });
  const list = el("ul", { class: "refusals", "aria-label": "Refused lines", tabindex: 0 });
  const element = el("div", { class: "stack running" }, bar, text, result, problem, list);
  bar.hidden = list.hidden = true;
  return {
    element,
    list,
    begin() {
      problem.textContent = "";
      bar.hidden = false;
    },
    /** @param {number} share @param {string} said */
    set(share, said) {
      bar.value = share;
      text.textContent = said;
      list.hidden = !list.childElementCount;
    },
    /** @param {string} said */
    end(said) {
      text.textContent = "";
      result.textContent = said;
    },
    /** @param {string} said */
    fail(said) {
      problem.textContent = said;
    },
  };
}

/**
 * @param {string} id
 * @param {string} label
 * @param {string[][]} options
 */
function select(id, label, options) {
  const input = el("select", { id }, ...options.map(([value, text]) => el("option", { value }, text)));
  return { input, field: el("div", { class: "field" }, el("label", { for: id }, label), input) };
}

/**
 * @typedef {object} Wanted
 * @property {string} collection
 * @property {Record<string, unknown> | null} filter
 * @property {"json" | "ndjson"} format an array, or one document a line
 */

/**
 * The documents that match, in the order of their `_id`.
 *
 * @param {Wanted} wanted
 * @param {import("./console.js").Ask} ask
 * @param {{ signal: AbortSignal, onprogress: (done: number, total: number) => void }} options
 * @returns {Promise<Blob>}
 */
async function exportAll({ collection, filter, format }, ask, { signal, onprogress }) {
  /** @type {BlobPart[]} what is long is kept on the disk by the browser */
  const parts = [];
  let done = 0;
  for await (const { items, total } of pages(ask, collection, filter)) {
    signal.throwIfAborted();
    parts.push(new Blob([`${done ? between[format] : ""}${items.map(line).join(between[format])}`]));
    onprogress((done += items.length), done - items.length + total);
  }
  const [start, end] = format === "json" ? ["[\n", "\n]\n"] : ["", done ? "\n" : ""];
  return new Blob([start, ...parts, end], { type: format === "json" ? "application/json" : "application/x-ndjson" });
}

/**
 * @param {import("./console.js").Ask} ask
 * @param {string} collection
 * @param {Record<string, unknown> | null} filter
 * @returns {AsyncGenerator<{ items: any[], total: number }>} `total`: these and all that follow
 */
async function* pages(ask, collection, filter) {
  let wanted = filter;
  let limit = AT_ONCE;
  for (;;) {
    const found = await ask("get", "documents", undefined, { collection, sort: "_id", limit, ...(wanted && { filter: wanted }) }).catch(tooLarge);
    if (!found && limit === 1) throw new Error("A document is too large to be exported");
    if (!found) limit = Math.ceil(limit / 4);
    else if (!found.items.length) return;
    else {
      yield found;
      wanted = after(found.items.at(-1)._id, filter);
    }
  }
}

/** @param {unknown} error @returns {null} if fewer documents at once will do */
function tooLarge(error) {
  if (error instanceof ApiError && error.code === "too_large") return null;
  throw error;
}

const between = { json: ",\n", ndjson: "\n" };

/** @param {unknown} document */
const line = (document) => write(document, 0);

/** @param {string} last @param {Record<string, unknown> | null} filter */
const after = (last, filter) => (filter ? { $and: [{ _id: { $gt: last } }, filter] } : { _id: { $gt: last } });

/**
 * Have the browser keep `blob` as a file.
 *
 * @param {Blob} blob
 * @param {string} name
 */
function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
