/** The settings of a backpack: its indexes, and its end. */

import { connect } from "./console.js";
import { backpack, byId, el, fill } from "./dom.js";
import { number } from "./format.js";
import { discard } from "./lives.js";
import { sayError } from "./toast.js";

/** @typedef {{collection: string, fields: string, state: string, uses: number}} Index */

const name = backpack();

async function showIndexes() {
  const live = connect(name);
  /** @type {Index[]} */
  const indexes = await live.ask("get", "indexes").finally(live.close);
  const none = el("tr", {}, el("td", { colspan: "4", class: "empty" }, "There are none yet."));
  fill(
    byId("indexes", "tbody"),
    ...(indexes.length ? indexes.map(row) : [none]),
  );
}

/** @param {Index} index */
function row({ collection, fields, state, uses }) {
  return el("tr", {}, el("th", { scope: "row" }, collection), el("td", {}, el("code", {}, fields)), el("td", {}, state), el("td", { class: "number" }, number(uses)));
}

async function remove() {
  if (await discard(name)) location.assign("/");
}

document.getElementById("delete")?.addEventListener("click", () => remove().catch(sayError));
showIndexes().catch((error) => fill(byId("indexes", "tbody"), el("tr", {}, el("td", { colspan: "4", class: "empty" }, error.message))));
