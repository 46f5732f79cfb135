/** The page of the data: its parts put together, and its state in the address. */

import { Collections } from "./collections.js";
import { Columns } from "./columnmenu.js";
import { connect, whenMissed } from "./console.js";
import { backpack, byId, el } from "./dom.js";
import { filterLine, filterOf } from "./filter.js";
import { count, number } from "./format.js";
import { Grid } from "./grid.js";
import { later } from "./later.js";
import { Pager } from "./pager.js";
import { say, sayError } from "./toast.js";
import { View, pageOf } from "./view.js";

/** @typedef {import("./columns.js").Doc} Doc */
/** @typedef {{ collection: string, filter: Record<string, unknown> | null, sort: string, page: number, size: number }} Asked */

/** @type {Asked} */
const BEGINNING = { collection: "", filter: null, sort: "", page: 1, size: 50 };

const AT_ONCE = 500; // documents in one delete
const MANY = 1_000; // documents beyond which a delete is confirmed by a word

const live = connect(backpack());
const status = byId("said", "p");
const missed = byId("missed", "span");
const box = byId("rows", "div");
const nothing = byId("nothing", "p");
const remove = byId("delete-chosen", "button");
const removeAll = byId("delete-all", "button");
let filterText = "";

const grid = new Grid(byId("grid", "table"), {
  onopen: open,
  onsort: (sort) => show({ sort, page: 1 }),
  onselect: (chosen) => {
    remove.disabled = !chosen.length;
    remove.textContent = chosen.length ? `Delete ${number(chosen.length)}` : "Delete";
    offerAll(chosen.length);
  },
  ondelete: () => removeDocuments(grid.chosen),
});
const columns = new Columns(byId("columns", "details"), (hidden) => grid.hide(hidden));
const pager = new Pager(byId("pager", "form"), (page, size) => show({ page, size }));
const filters = filterLine(byId("filter-form", "form"), (text, filter) => {
  filterText = text;
  grid.choose([]);
  show({ filter, page: 1 });
});
const view = new View(BEGINNING, find, {
  onfound: draw,
  onfailed: (error, isLive) => {
    if (/** @type {{ code?: string }} */ (error).code === "unknown_collection") choose("", "replace");
    else if (isLive) sayError(error);
    else filters.complain(/** @type {Error} */ (error).message);
  },
  onbusy: (busy) => box.setAttribute("aria-busy", String(busy)),
  onmissed: (changes) => (missed.textContent = changes ? `${count(changes, "change")} held back` : ""),
});
const collections = new Collections({
  ask: live.ask,
  addressOf: (name) => `?${new URLSearchParams({ collection: name })}`,
  onchoose: (name) => choose(name),
});

/** @param {Asked} asked */
function find({ collection, filter, sort, ...page }) {
  return live.ask("get", "documents", undefined, { collection, ...pageOf(page), ...(filter && { filter }), ...(sort && { sort }) });
}

/** @param {Partial<Asked>} changes */
function show(changes) {
  const opened = view.open(changes);
  remember("replace");
  return opened;
}

/**
 * @param {import("./view.js").Found} found
 * @param {Asked} asked
 * @param {boolean} isLive
 */
function draw({ items, total }, { collection, filter, sort, page, size }, isLive) {
  const first = (page - 1) * size;
  grid.show(items, { sort, first, total, live: isLive });
  columns.show(collection, grid.columns);
  pager.show({ page, size, total, shown: items.length });
  if (!filter) collections.set(collection, total);
  nothing.hidden = items.length > 0;
  nothing.textContent = filter ? "No document matches the filter." : `There is nothing in ${collection} yet. Add a document, import a file, or let your app write: it shows here at once.`;
  if (isLive) return;
  status.textContent = `${count(total, "document")}, page ${number(page)}`;
  box.scrollTop = 0; // last, as the browser works out first where all of it is
}

/**
 * Show another collection, or none.
 *
 * @param {string} name
 * @param {"push" | "replace"} [how] what becomes of the address before
 */
function choose(name, how = "push") {
  filterText = "";
  start(name, { filter: null, sort: "", page: 1 });
  remember(how);
}

/**
 * @param {string} name
 * @param {Partial<Asked>} asked
 */
function start(name, asked) {
  grid.clear();
  filters.set(filterText);
  collections.current = name;
  byId("title", "h2").textContent = name || "No collection";
  byId("browse", "section").hidden = !name;
  byId("none", "div").hidden = Boolean(name) || !collections.isKnown;
  if (name) view.open({ collection: name, ...asked });
}

/** Show the first collection where none is chosen, or that is not there. */
function begin() {
  if (!collections.has(collections.current)) choose(collections.names[0] ?? "", "replace");
}

async function loadCollections() {
  await collections.load();
  begin();
}

/** What is shown, as the address has it. */
function restore() {
  const known = new URLSearchParams(location.search);
  filterText = known.get("filter") ?? "";
  let filter = null;
  let problem = "";
  try {
    filter = filterOf(filterText);
  } catch (error) {
    problem = `${/** @type {Error} */ (error).message}. All documents are shown.`;
  }
  const page = Math.max(1, Math.floor(Number(known.get("page"))) || 1);
  start(known.get("collection") ?? "", { filter, sort: known.get("sort") ?? "", page });
  filters.complain(problem);
}

/** @param {"push" | "replace"} how */
function remember(how) {
  const { collection, sort, page } = view.asked;
  const shown = { collection: collections.current && collection, filter: filterText, sort, page: page > 1 ? String(page) : "" };
  const search = new URLSearchParams(Object.entries(shown).filter(([, value]) => value));
  history[`${how}State`](null, "", `?${search}`);
}

const place = () => ({ ask: live.ask, on: live.on, collection: view.asked.collection });

/** @param {Doc} doc */
function open(doc) {
  const shown = place();
  later(import("./editor.js"), ({ openDocument }) => openDocument(shown, doc, () => removeDocuments([doc._id])));
}

/**
 * Where a whole page is chosen, all that the pages have may be meant.
 *
 * @param {number} chosen
 */
function offerAll(chosen) {
  removeAll.hidden = !chosen || chosen < grid.documents.length || chosen >= pager.total;
  removeAll.textContent = `Delete all ${number(pager.total)}${view.asked.filter ? " that match" : ""}`;
}

/** Delete all that match, some at a time; the window's end is an end to it. */
async function removeMatching() {
  const { collection, filter } = view.asked;
  const total = pager.total;
  const progress = el("progress", { max: String(total), "aria-label": "Deleted", hidden: true });
  let gone = 0;
  let isWanted = true;
  /** @type {Promise<unknown>} */
  let last = Promise.resolve();
  const { ask } = await import("./dialog.js");
  await ask({
    title: `Delete ${count(total, "document")}?`,
    text: [`All ${filter ? "that match the filter " : ""}go from ${collection} for good. It ends where this window is closed.`, progress],
    ...(total > MANY && { word: collection }),
    action: "Delete all",
    danger: true,
    onsubmit: async () => {
      progress.hidden = false;
      while (isWanted && gone < total) {
        const asked = live.ask("delete", "documents", undefined, { collection, filter: filter ?? {}, limit: Math.min(AT_ONCE, total - gone), goesOn: gone > 0 });
        last = asked;
        const some = await asked;
        if (!some.length) break;
        progress.value = gone += some.length;
      }
    },
  });
  isWanted = false;
  await last.catch(() => {}); // what was asked for is done, and counts
  grid.choose([]);
  if (gone) say(`${count(gone, "document")} deleted`);
}

/** @param {string[]} ids */
function removeDocuments(ids) {
  return later(import("./dialog.js"), ({ ask }) => askAndRemove(ask, ids));
}

/** @param {import("./collections.js").Question} question @param {string[]} ids */
async function askAndRemove(question, ids) {
  const { collection } = view.asked;
  const gone = await question({
    title: ids.length === 1 ? "Delete the document?" : `Delete ${number(ids.length)} documents?`,
    text: `${ids.length === 1 ? `${ids[0]} goes` : "They go"} from ${collection} for good.`,
    action: "Delete",
    danger: true,
    onsubmit: async () => {
      for (let at = 0; at < ids.length; at += AT_ONCE) await live.ask("delete", "documents", ids.slice(at, at + AT_ONCE), { collection });
    },
  });
  if (gone === null) return;
  grid.choose(grid.chosen.filter((id) => !ids.includes(id)));
  say(`${count(ids.length, "document")} deleted`);
}

function listen() {
  live.on("documents", ({ action, collection }) => {
    const isShown = collection === view.asked.collection;
    if (isShown) view.touch();
    // Who is shown without a filter is counted by each look.
    if (isShown && !view.asked.filter && view.isLive) return;
    if (action === "post") collections.count(collection, 1);
    if (action === "delete") collections.count(collection, -1);
  });
  live.on("collections", ({ action, data }) => {
    if (action === "delete") collections.drop(data.name);
    else if (!collections.has(data.name)) collections.set(data.name, 0);
    if (!collections.current) begin();
  });
  whenMissed(live, () => {
    loadCollections().catch(sayError);
    if (collections.current) view.load(true);
  });
}

function wire() {
  byId("new-document", "button").addEventListener("click", () => later(import("./editor.js"), ({ openNew }) => openNew(place())));
  byId("import", "button").addEventListener("click", () => later(import("./transfers.js"), ({ openImport }) => openImport(live.ask, view.asked.collection)));
  byId("export", "button").addEventListener("click", () => {
    const { collection, filter } = view.asked;
    later(import("./transfers.js"), ({ openExport }) => openExport(live.ask, { collection, filter, chosen: grid.chosen, total: pager.total }));
  });
  byId("delete-collection", "button").addEventListener("click", () => collections.remove());
  byId("first-collection", "button").addEventListener("click", () => collections.create());
  remove.addEventListener("click", () => removeDocuments(grid.chosen));
  removeAll.addEventListener("click", () => removeMatching().catch(sayError));
  const hold = byId("hold", "input");
  hold.addEventListener("change", () => (view.isLive = hold.checked));
  window.addEventListener("popstate", restore);
}

wire();
listen();
restore();
loadCollections().catch(sayError);
