/** The page of the rules: a table of collections and actions, and what is changed before it is saved. */

import { ApiError } from "./api.js";
import { same } from "./columns.js";
import { connect, whenMissed } from "./console.js";
import { ask as question } from "./dialog.js";
import { backpack, byId, el, fill } from "./dom.js";
import { count } from "./format.js";
import { ACTIONS, USUAL, WIDE, changesOf, choicesOf, edited, namesIn, valueOf } from "./ruleset.js";
import { act, say, sayError } from "./toast.js";

const live = connect(backpack());
const body = byId("rule-rows", "tbody");
const problem = byId("problem", "p");
const save = byId("save", "button");
const discard = byId("discard", "button");

/** @type {import("./ruleset.js").Rules} as they are in force */
let rules = {};
/** @type {import("./ruleset.js").Edits} */
const edits = new Map();
/** @type {Set<string>} */
let existing = new Set();
/** @type {Set<string>} rows of collections that are not there yet */
const added = new Set();
let isDrawn = false;

async function load() {
  const [held, collections] = await Promise.all([live.ask("get", "rules"), live.ask("get", "collections")]);
  const names = collections.map((/** @type {{ name: string }} */ { name }) => name);
  if (isDrawn && same([held, names], [rules, [...existing]])) return;
  rules = held;
  existing = new Set(names);
  draw();
  isDrawn = true;
}

function draw() {
  const names = [...new Set([...existing, ...namesIn(rules), ...added])].sort();
  const focused = document.activeElement?.id ?? "";
  fill(body, ...names.map(row));
  fill(byId("wide", "div"), ...WIDE.map(([entry, label, choices]) => el("div", { class: "field" }, el("label", { for: `rule-${entry}` }, label), choice(entry, choices), complaint(entry))));
  byId("nothing", "p").hidden = names.length > 0;
  document.getElementById(focused)?.focus();
  drawChanges();
}

/** @param {string} name */
function row(name) {
  const isThere = existing.has(name);
  const remove = () => {
    for (const action of ACTIONS) edits.set(`${name}.${action}`, USUAL);
    added.delete(name);
    draw();
  };
  const absent = !isThere && el("span", { class: "tag" }, "not there yet");
  const button = !isThere && (added.has(name) || Object.hasOwn(rules, name)) && act("Remove", `the rules of ${name}`, remove);
  const cells = ACTIONS.map((action) => el("td", {}, choice(`${name}.${action}`, choicesOf(action), `${name}: ${action}`), complaint(`${name}.${action}`)));
  return el("tr", {}, el("th", { scope: "row" }, el("div", { class: "owner-of" }, el("span", {}, name), absent, button), complaint(name)), ...cells);
}

/**
 * @param {string} entry
 * @param {string[]} choices
 * @param {string} [label]
 */
function choice(entry, choices, label) {
  const value = edits.get(entry) ?? valueOf(rules, entry);
  const options = choices.includes(value) ? choices : [...choices, value];
  const input = el("select", { id: `rule-${entry}`, "data-entry": entry, "aria-label": label, "aria-describedby": `wrong-${entry}` }, ...options.map((one) => el("option", { value: one, selected: one === value }, one)));
  input.addEventListener("change", () => {
    edits.set(entry, input.value);
    drawChanges();
  });
  return input;
}

/** @param {string} entry where what is wrong with it will stand */
const complaint = (entry) => el("p", { class: "hint wrong", id: `wrong-${entry}`, "data-wrong": entry });

function drawChanges() {
  const changes = changesOf(rules, edits);
  const changed = new Set(changes.map(({ entry }) => entry));
  for (const input of document.querySelectorAll("select[data-entry]")) {
    const value = /** @type {HTMLSelectElement} */ (input).value;
    input.className = `${value}${changed.has(input.getAttribute("data-entry") ?? "") ? " changed" : ""}`;
  }
  byId("pending-title", "h2").textContent = changes.length ? count(changes.length, "change") : "Nothing is changed";
  fill(byId("changes", "ul"), ...changes.map(({ entry, before, after }) => el("li", {}, el("code", {}, entry), " ", el("del", {}, before), " → ", el("ins", {}, after))));
  save.disabled = discard.disabled = !changes.length;
}

/** @param {Record<string, string>} fields what is wrong, by entry */
function complain(fields) {
  for (const shown of document.querySelectorAll("[data-wrong]")) {
    const entry = shown.getAttribute("data-wrong") ?? "";
    const why = Object.hasOwn(fields, entry) ? fields[entry] : "";
    shown.textContent = why ?? "";
    document.getElementById(`rule-${entry}`)?.setAttribute("aria-invalid", String(Boolean(why)));
  }
}

/** @param {SubmitEvent} event */
async function submit(event) {
  event.preventDefault();
  problem.textContent = "";
  complain({});
  try {
    // They are saved as a whole: nobody's change may go by it unseen.
    rules = await live.ask("put", "rules", edited(rules, edits), { was: rules });
    reset();
    say("The rules are saved, and in force");
  } catch (error) {
    if (error instanceof ApiError && error.code === "changed_meanwhile") return live.ask("get", "rules").then(changedElsewhere, sayError);
    problem.textContent = /** @type {Error} */ (error).message;
    complain(error instanceof ApiError ? error.fields : {});
  }
}

/** @param {import("./ruleset.js").Rules} now */
function changedElsewhere(now) {
  const mine = changesOf(rules, edits).length;
  rules = now;
  draw();
  if (mine) problem.textContent = "Somebody else has changed the rules meanwhile. Yours are shown against theirs now: look at them again, then save.";
}

function reset() {
  edits.clear();
  added.clear();
  problem.textContent = "";
  draw();
}

async function add() {
  const name = await question({
    title: "Rules for a collection",
    text: "The collection need not be there yet.",
    fields: [{ name: "collection", label: "Name", hint: "A letter, then letters, digits, _ or -", more: { required: true, autocomplete: "off", spellcheck: "false", autocapitalize: "off", maxlength: 64, pattern: "[A-Za-z][A-Za-z0-9_\\-]*", title: "A letter, then letters, digits, _ or -" } }],
    action: "Add",
    onsubmit: ({ collection }) => collection,
  });
  if (name === null) return;
  added.add(name);
  draw();
  document.getElementById(`rule-${name}.list`)?.focus();
}

byId("rules", "form").addEventListener("submit", submit);
discard.addEventListener("click", reset);
byId("add-row", "button").addEventListener("click", () => add().catch(sayError));
live.on("rules", ({ data }) => !same(data, rules) && changedElsewhere(data));
live.on("collections", () => load().catch(sayError));
window.addEventListener("beforeunload", (event) => changesOf(rules, edits).length && event.preventDefault());
whenMissed(live, () => load().catch(sayError));
load().catch(sayError);
