/** Pure: rules as entries such as `cars.update`, each with a value, and what is changed of them. */

/** @typedef {Record<string, any>} Rules the JSON object */
/** @typedef {Map<string, string>} Edits entries and what they shall be */

export const ACTIONS = ["list", "read", "create", "update", "delete", "post"];
export const USUAL = "user";

const WHO = ["public", "user", "owner", "none"];

/** What goes for the whole backpack: entry, label, choices. */
export const WIDE = /** @type {[entry: string, label: string, choices: string[]][]} */ ([
  ["collections.create", "Make collections", ["public", "user", "none"]],
  ["collections.list", "See the names of collections", ["public", "user", "none"]],
  ["files.read", "Read files", WHO],
  ["files.list", "List the files of a user", WHO],
]);

/** @param {string} action */
export const choicesOf = (action) => (action === "post" ? ["user", "member"] : WHO);

/** The collections that rules name. @param {Rules} rules */
export const namesIn = (rules) => Object.keys(rules).filter((name) => !name.includes("."));

const isWide = (/** @type {string} */ entry) => WIDE.some(([known]) => known === entry);

/** @param {string} entry @returns {[collection: string, action: string]} */
function partsOf(entry) {
  const dot = entry.lastIndexOf(".");
  return [entry.slice(0, dot), entry.slice(dot + 1)];
}

/** @param {Rules} rules @param {string} entry @returns {string} */
export function valueOf(rules, entry) {
  if (isWide(entry)) return rules[entry] ?? USUAL;
  const [collection, action] = partsOf(entry);
  return (Object.hasOwn(rules, collection) ? rules[collection]?.[action] : undefined) ?? USUAL;
}

/**
 * What the edits would change.
 *
 * @param {Rules} rules
 * @param {Edits} edits
 */
export function changesOf(rules, edits) {
  return [...edits]
    .map(([entry, after]) => ({ entry, before: valueOf(rules, entry), after }))
    .filter(({ before, after }) => before !== after);
}

/**
 * The rules after the edits; the usual value is left out.
 *
 * @param {Rules} rules
 * @param {Edits} edits
 * @returns {Rules}
 */
export function edited(rules, edits) {
  const result = JSON.parse(JSON.stringify(rules));
  for (const { entry, after } of changesOf(rules, edits)) {
    const [collection, action] = isWide(entry) ? ["", entry] : partsOf(entry);
    if (collection && !Object.hasOwn(result, collection)) result[collection] = {};
    const held = collection ? result[collection] : result;
    if (after === USUAL) delete held[action];
    else held[action] = after;
    if (collection && !Object.keys(held).length) delete result[collection];
  }
  return result;
}
