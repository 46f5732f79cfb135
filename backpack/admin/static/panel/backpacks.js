/** The page of all backpacks: the list with what state each is in, making, deleting, the trash. */

import { api, path } from "./api.js";
import { create, discard, purge, restore } from "./lives.js";
import { byId, el, fill } from "./dom.js";
import { exactly, when } from "./format.js";
import { importAsNew } from "./restoring.js";
import { watchStates } from "./states.js";
import { act, sayError } from "./toast.js";

/** @typedef {{name: string, frontend: string, role: string}} Listed */
/** @typedef {import("./lives.js").Deleted & {role: string}} Deleted */

const MANY = 10; // backpacks from which on there is a search

const states = watchStates();
/** @type {Listed[]} */
let all = [];

async function load() {
  const [listed, deleted] = await Promise.all([api("GET", "/api/backpacks"), api("GET", "/api/trash")]);
  all = listed;
  byId("loading", "p").hidden = true;
  byId("backpacks", "div").hidden = all.length === 0;
  byId("none", "div").hidden = all.length > 0;
  byId("searching", "div").hidden = all.length < MANY;
  draw();
  drawTrash(deleted);
}

/** @param {boolean} changed */
function reload(changed) {
  return changed ? load() : undefined;
}

const refresh = () => load().catch(sayError);

function draw() {
  const wanted = byId("search", "input").value.trim().toLowerCase();
  const found = all.filter(({ name }) => name.includes(wanted));
  states.forget();
  fill(byId("rows", "tbody"), ...found.map(row));
  byId("found", "p").textContent = wanted ? `${found.length} of ${all.length}` : `${all.length} backpacks`;
}

/** @param {Listed} backpack */
function row({ name, frontend, role }) {
  const state = el("span", { class: "state" }, "…");
  const remove = act("Delete", name, () => discard(name).then(reload));
  const made = el(
    "tr",
    {},
    el("th", { scope: "row" }, el("a", { href: path`/backpacks/${name}` }, name)),
    el("td", {}, state),
    el("td", { class: "roomy" }, el("a", { href: `${frontend}/`, target: "_blank", rel: "noopener" }, frontend.replace(/^https?:\/\//, ""))),
    el("td", { class: "tight" }, role === "owner" && el("div", { class: "actions" }, remove)),
  );
  states.watch(made, name, state);
  return made;
}

/** @param {Deleted[]} deleted */
function drawTrash(deleted) {
  byId("trash", "section").hidden = deleted.length === 0;
  fill(byId("deleted", "tbody"), ...deleted.map(trashed));
}

/** @param {Deleted} one */
function trashed(one) {
  const { name, deleted_at, until, role } = one;
  const back = act("Restore", name, () => restore(one).then(reload));
  const gone = act("Delete for good", name, () => purge(one).then(reload), "danger");
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, name),
    el("td", {}, when(deleted_at)),
    el("td", {}, exactly(until)),
    el("td", { class: "tight" }, role === "owner" && el("div", { class: "actions" }, back, gone)),
  );
}

byId("search", "input").addEventListener("input", draw);
const making = byId("create", "button");
making.addEventListener("click", () => create(refresh, "databases" in making.dataset).catch(sayError));
byId("from-backup", "button").addEventListener("click", () => importAsNew(refresh).catch(sayError));
load().catch((error) => {
  byId("loading", "p").textContent = error.message;
});
