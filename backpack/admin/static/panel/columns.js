/** Pure: which columns a table of documents has, and what stands in its cells. */

import { isExact, write } from "./json.js";

/** @typedef {Record<string, any>} Doc */
/** @typedef {{ text: string, kind: "none" | "null" | "text" | "blank" | "number" | "flag" | "json" }} Cell */

export const STAMPS = ["_id", "createdAt", "updatedAt"];

const LONGEST = 120; // characters of a cell; all of it is in the editor
const NARROWEST = 6;
const WIDEST = 36; // characters that a column is wide at most

/**
 * The fields of the documents: `_id` first, the two times last, between them the fields in the order
 * in which they were met. `known` columns keep their places.
 *
 * @param {Doc[]} documents
 * @param {string[]} [known]
 */
export function columnsOf(documents, known = []) {
  const names = new Set(known.filter((name) => !STAMPS.includes(name)));
  for (const one of documents) {
    for (const name of Object.keys(one)) if (!STAMPS.includes(name)) names.add(name);
  }
  return ["_id", ...names, "createdAt", "updatedAt"];
}

/** @param {Doc} doc @param {string} name @returns {unknown} a field, also one called `constructor` */
export const fieldOf = (doc, name) => (Object.hasOwn(doc, name) ? doc[name] : undefined);

/** @param {unknown} value @returns {Cell} */
export function cellOf(value) {
  if (value === undefined) return { text: "", kind: "none" };
  if (value === null) return { text: "null", kind: "null" };
  if (typeof value === "string") return value ? { text: short(value), kind: "text" } : { text: '""', kind: "blank" };
  if (typeof value === "boolean") return { text: String(value), kind: "flag" };
  if (typeof value === "number" || isExact(value)) return { text: write(value), kind: "number" };
  return { text: short(write(value, 0)), kind: "json" };
}

/** @param {string} text */
const short = (text) => (text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text);

/**
 * How many characters wide a column should be.
 *
 * @param {string} name
 * @param {Doc[]} documents
 */
export function widthOf(name, documents) {
  const longest = documents.reduce((most, one) => Math.max(most, cellOf(fieldOf(one, name)).text.length), name.length + 2);
  return Math.min(WIDEST, Math.max(NARROWEST, longest)) + 3;
}

/** @param {unknown} one @param {unknown} other */
export const same = (one, other) => one === other || write(one, 0) === write(other, 0);

/**
 * The fields in which two documents differ, but for the server's times.
 *
 * @param {Doc} before
 * @param {Doc} after
 * @returns {{ name: string, before: unknown, after: unknown }[]}
 */
export function differences(before, after) {
  return columnsOf([before, after])
    .filter((name) => !STAMPS.includes(name))
    .map((name) => ({ name, before: fieldOf(before, name), after: fieldOf(after, name) }))
    .filter((one) => !same(one.before, one.after));
}
