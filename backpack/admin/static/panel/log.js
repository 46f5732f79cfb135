/** The page of who did what, the last first, a page at a time. */

import { api, path } from "./api.js";
import { backpack, byId, el, fill } from "./dom.js";
import { count, exactly } from "./format.js";
import { sayError } from "./toast.js";

/** @typedef {{id: number, at: string, name: string, action: string, text: string, backpack: string | null, detail: Record<string, unknown>, address: string | null}} Entry */

const name = backpack();
/** @type {Entry[]} */
let shown = [];

/** @param {boolean} older */
async function load(older) {
  const asked = new URLSearchParams({ who: byId("who", "input").value.trim(), backpack: name || byId("backpack", "input").value.trim() });
  const last = shown.at(-1);
  if (older && last) asked.set("before", String(last.id));
  /** @type {{entries: Entry[], more: boolean}} */
  const { entries, more } = await api("GET", `/api/log?${asked}`);
  shown = older ? [...shown, ...entries] : entries;
  const body = byId("entries", "tbody");
  if (older) body.append(...entries.map(row));
  else fill(body, ...(entries.length ? entries.map(row) : [el("tr", {}, el("td", { colspan: "5", class: "empty" }, "Nothing was found."))]));
  byId("more", "button").hidden = !more;
  byId("count", "p").textContent = shown.length ? `${count(shown.length, "entry", "entries")}${more ? ", and older ones" : ""}` : "";
  fill(byId("people", "datalist"), ...[...new Set(shown.map((entry) => entry.name))].map((value) => el("option", { value })));
}

/** @param {Entry} entry */
function row(entry) {
  const of = entry.backpack;
  return el(
    "tr",
    {},
    el("td", { class: "told" }, entry.text, details(entry)),
    el("th", { scope: "row" }, entry.name),
    el("td", {}, el("time", { datetime: entry.at }, exactly(entry.at))),
    name ? null : el("td", { class: "named" }, of && el("a", { href: path`/backpacks/${of}` }, of)),
    el("td", {}, entry.address),
  );
}

/** @param {Entry} entry */
function details({ action, detail }) {
  const facts = Object.entries({ action, ...detail }).map(([key, value]) => [el("dt", {}, key.replaceAll("_", " ")), el("dd", {}, typeof value === "string" ? value : JSON.stringify(value))]);
  return el("details", {}, el("summary", {}, "Details"), el("dl", { class: "facts" }, ...facts.flat()));
}

async function suggest() {
  const all = await api("GET", "/api/backpacks");
  fill(byId("backpacks", "datalist"), ...all.map((/** @type {{name: string}} */ one) => el("option", { value: one.name })));
}

byId("filters", "form").addEventListener("submit", (event) => {
  event.preventDefault();
  load(false).catch(sayError);
});
byId("more", "button").addEventListener("click", () => load(true).catch(sayError));
load(false).catch(sayError);
if (!name) suggest().catch(sayError);
