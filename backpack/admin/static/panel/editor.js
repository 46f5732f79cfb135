/** The window in which one document is made or changed. It knows when somebody else changes it. */

import { ApiError } from "./api.js";
import { STAMPS, cellOf, differences } from "./columns.js";
import { show } from "./dialog.js";
import { el, fill } from "./dom.js";
import { exactly } from "./format.js";
import { Mistake, isRounded, nameProblem, parse, write } from "./json.js";
import { say } from "./toast.js";

/** @typedef {import("./columns.js").Doc} Doc */
/** @typedef {"replace" | "merge"} Way */
/** @typedef {{ ask: import("./console.js").Ask, on: import("./console.js").On, collection: string }} Place */

const SOON = 250; // ms without a key, after which the text is looked at
const ROUNDED = "This document has integers that this browser cannot show exactly. Merge only the fields you want to change.";
const HINTS = {
  replace: "The document will be exactly this.",
  merge: "Only these fields are set; null removes one, and names with dots reach inside: {\"address.city\": \"Oslo\"}.",
};

/** @param {Place} place */
export function openNew(place) {
  new Editor(place, null).open();
}

/**
 * @param {Place} place
 * @param {Doc} doc
 * @param {() => void} ondelete
 */
export function openDocument(place, doc, ondelete) {
  new Editor(place, doc, ondelete).open();
}

class Editor {
  /** @type {Way} */
  #way = "replace";
  #texts = { replace: "{\n  \n}", merge: "{\n  \n}" };
  #saving = false;
  #isWritten = false; // what would be lost
  /** @type {{ action: string, data: Doc } | null} what came while saving */
  #held = null;

  /**
   * @param {Place} place
   * @param {Doc | null} doc as it was last seen; null for a new one
   * @param {() => void} [ondelete]
   */
  constructor(place, doc, ondelete) {
    this.place = place;
    this.doc = doc;
    this.ondelete = ondelete;
    this.problem = el("p", { class: "problem", role: "alert" });
    this.conflict = el("section", { class: "conflict", "aria-label": "Changed by somebody else", role: "alert" });
    this.stamps = el("p", { class: "hint stamps" });
    this.hint = el("p", { class: "hint" });
    this.field = jsonField("JSON", (name, depth) => problemOf(name, depth, this.#way));
    this.save = el("button", { class: "button", type: "button", click: () => this.#save() }, doc ? "Save" : "Add");
    this.ways = el("fieldset", { class: "ways" }, el("legend", { class: "unseen" }, "How to save"), this.#radio("replace", "Replace the document"), this.#radio("merge", "Merge fields into it"));
    this.conflict.hidden = true;
  }

  open() {
    const remove = el("button", { class: "button quiet danger", type: "button", click: () => this.#delete() }, "Delete");
    const { dialog, closed } = show({
      title: this.doc ? `Document in ${this.place.collection}` : `New document in ${this.place.collection}`,
      content: [this.stamps, this.conflict, this.doc && this.ways, this.field.element, this.hint, this.problem],
      actions: [this.doc && remove, this.save],
      wide: true,
      keep: () => this.#keep(),
    });
    this.dialog = dialog;
    this.field.area.addEventListener("input", () => (this.#isWritten = true));
    dialog.classList.add("editor");
    if (this.doc) this.#take(this.doc);
    else this.#use("replace");
    dialog.addEventListener("keydown", (event) => {
      if (!(event.ctrlKey || event.metaKey) || (event.key !== "Enter" && event.key !== "s")) return;
      event.preventDefault();
      this.#save();
    });
    closed.then(this.place.on("documents", (event) => this.#hear(event)));
    this.field.area.focus();
    if (!this.doc) this.field.area.setSelectionRange(4, 4);
  }

  #keep() {
    if (this.#isWritten) this.problem.textContent = "What you wrote is not saved: save it, or press Cancel.";
    return this.#isWritten;
  }

  /** @param {Way} way @param {string} label */
  #radio(way, label) {
    const input = el("input", { type: "radio", name: "way", id: `way-${way}`, value: way, checked: way === this.#way, change: () => this.#change(way) });
    return el("label", { for: `way-${way}` }, input, label);
  }

  /** @param {Way} way */
  #change(way) {
    this.#texts[this.#way] = this.field.area.value;
    this.#use(way);
  }

  /** @param {Way} way */
  #use(way) {
    this.#way = way;
    this.field.set(this.#texts[way]);
    this.hint.textContent = this.doc ? HINTS[way] : "Backpack adds _id, createdAt and updatedAt.";
    this.problem.textContent = "";
    for (const input of this.ways.querySelectorAll("input")) input.checked = input.value === way;
  }

  /** @param {Doc} doc the document as it is now, and as it is shown from here on */
  #take(doc) {
    this.doc = doc;
    this.#isWritten = false;
    const data = Object.fromEntries(Object.entries(doc).filter(([name]) => !STAMPS.includes(name)));
    this.#texts.replace = write(data);
    this.#describe(doc);
    this.#use(isRounded(doc) ? "merge" : this.#way);
    this.#end();
    if (isRounded(doc)) this.problem.textContent = ROUNDED;
  }

  /** @param {Doc} doc */
  #describe({ _id, createdAt, updatedAt }) {
    fill(this.stamps, el("code", {}, _id), ` · created ${exactly(createdAt)} · changed ${exactly(updatedAt)}`);
  }

  #end() {
    this.conflict.hidden = true;
    fill(this.conflict);
  }

  async #save() {
    const isLossy = this.#way === "replace" && isRounded(this.doc);
    this.problem.textContent = isLossy ? ROUNDED : "";
    const value = this.#saving || isLossy ? null : this.field.value();
    if (!value) return;
    this.#saving = this.save.disabled = true;
    try {
      await this.#send(value);
      this.dialog?.close();
      say(this.doc ? "The document is saved" : "The document is added");
    } catch (error) {
      await this.#fail(error);
    } finally {
      this.#saving = this.save.disabled = false;
      this.#hearHeld();
    }
  }

  #hearHeld() {
    const held = this.#held;
    this.#held = null;
    if (held && this.dialog?.open) this.#hear(held);
  }

  /** @param {Record<string, unknown>} value */
  #send(value) {
    const { ask, collection } = this.place;
    if (!this.doc) return ask("post", "documents", value, { collection });
    const { _id, updatedAt } = this.doc;
    return ask(this.#way === "replace" ? "put" : "patch", "documents", { ...value, _id }, { collection, was: updatedAt });
  }

  /** @param {unknown} error */
  async #fail(error) {
    if (!(error instanceof ApiError)) throw error;
    const { collection, ask } = this.place;
    if (this.doc && (error.code === "changed_meanwhile" || error.code === "not_found")) {
      const { items } = await ask("get", "documents", undefined, { collection, filter: { _id: this.doc._id }, limit: 1 });
      if (items[0]) this.#changed(items[0]);
      else this.#gone();
      return;
    }
    this.problem.textContent = error.full;
  }

  /** @param {{ collection?: string, action: string, data: Doc }} event */
  #hear(event) {
    if (!this.doc || event.data?._id !== this.doc._id || (event.collection ?? this.place.collection) !== this.place.collection) return;
    if (this.#saving) this.#held = event;
    else if (event.action === "delete") this.#gone();
    else if (event.data.updatedAt !== this.doc.updatedAt) this.#changed(event.data);
  }

  /** @param {Doc} now */
  #changed(now) {
    const before = /** @type {Doc} */ (this.doc);
    const list = differences(before, now).map(({ name, ...values }) =>
      el("li", {}, el("code", {}, name), " ", el("del", {}, said(values.before)), " → ", el("ins", {}, said(values.after))),
    );
    this.#warn(
      "Somebody else has changed this document since you opened it.",
      list,
      this.#button("Take over the new version", () => this.#take(now)),
      this.#button("Keep what I wrote", () => {
        // Saving will overwrite that version, which has been seen now.
        this.doc = now;
        this.#describe(now);
        this.#end();
      }),
    );
  }

  #gone() {
    const keep = () => {
      this.doc = null;
      this.save.textContent = "Add";
      this.ways.hidden = true;
      fill(this.stamps);
      if (this.#way === "merge") this.#use("replace");
      this.#end();
    };
    this.#warn("Somebody else has deleted this document.", [], this.#button("Keep it as a new document", keep), this.#button("Close", () => this.dialog?.close()));
  }

  /** @param {string} text @param {Node[]} list @param {...HTMLButtonElement} buttons */
  #warn(text, list, ...buttons) {
    this.conflict.hidden = false;
    fill(this.conflict, el("p", {}, text), list.length ? el("ul", {}, ...list) : null, el("div", { class: "actions" }, ...buttons));
  }

  /** @param {string} label @param {() => void} then */
  #button(label, then) {
    const pressed = () => {
      then();
      this.field.area.focus();
    };
    return el("button", { type: "button", class: "button quiet small", click: pressed }, label);
  }

  #delete() {
    this.dialog?.close();
    this.ondelete?.();
  }
}

/** @param {unknown} value */
const said = (value) => (value === undefined ? "nothing" : cellOf(value).text);

/**
 * What is wrong with a field's name, as the server has it.
 *
 * @param {string} name
 * @param {number} depth
 * @param {Way} way
 */
function problemOf(name, depth, way) {
  if (depth === 1 && STAMPS.includes(name)) return `${name} is set by Backpack`;
  const parts = depth === 1 && way === "merge" ? name.split(".") : [name];
  return parts.map(nameProblem).find(Boolean) ?? "";
}

/**
 * A text area for JSON that says what is wrong while one writes, and leads to it.
 *
 * @param {string} label
 * @param {(name: string, depth: number) => string} problem what is wrong with a name
 */
function jsonField(label, problem) {
  const area = el("textarea", { id: "json", class: "json", rows: 18, spellcheck: "false", autocapitalize: "off", autocomplete: "off", "aria-describedby": "json-said json-place" });
  const note = el("p", { id: "json-said", class: "hint", role: "status" });
  const place = el("p", { id: "json-place", class: "hint place" });
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const check = () => {
    clearTimeout(timer);
    try {
      const value = documentOf(area.value, problem);
      area.setAttribute("aria-invalid", "false");
      note.className = "hint";
      note.textContent = "Valid JSON";
      return value;
    } catch (error) {
      if (!(error instanceof Mistake)) throw error;
      area.setAttribute("aria-invalid", "true");
      note.className = "hint wrong";
      note.textContent = error.message;
      return error;
    }
  };
  area.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(check, SOON);
  });
  for (const type of ["keyup", "click", "input", "focus"]) area.addEventListener(type, () => (place.textContent = placeOf(area)));
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.ctrlKey || event.metaKey || event.isComposing) return;
    event.preventDefault();
    breakLine(area);
  });
  return {
    area,
    element: el("div", { class: "field" }, el("label", { for: "json" }, label), area, el("div", { class: "below" }, note, place)),
    /** The document; null where there is none, and the place of the mistake is selected. */
    value() {
      const value = check();
      if (!(value instanceof Mistake)) return value;
      area.focus();
      area.setSelectionRange(value.at, value.at + 1);
      scrollTo(area, value.line);
      return null;
    },
    /** @param {string} text */
    set(text) {
      area.value = text;
      area.setSelectionRange(0, 0);
      area.scrollTop = 0;
      check();
    },
  };
}

/**
 * @param {string} text
 * @param {(name: string, depth: number) => string} name
 * @returns {Record<string, unknown>}
 */
function documentOf(text, name) {
  const value = parse(text, { name });
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new Mistake("a document is an object: { … }", text, 0);
}

/** @param {HTMLTextAreaElement} area */
function placeOf({ value, selectionStart }) {
  const before = value.slice(0, selectionStart).split("\n");
  return `Line ${before.length}, column ${(before.at(-1) ?? "").length + 1}`;
}

/** @param {HTMLTextAreaElement} area @param {number} line */
function scrollTo(area, line) {
  const height = parseFloat(getComputedStyle(area).lineHeight);
  const top = (line - 1) * height;
  if (top < area.scrollTop || top > area.scrollTop + area.clientHeight - 2 * height) area.scrollTop = top - area.clientHeight / 2;
}

/** @param {HTMLTextAreaElement} area the new line begins below the one before, or two further in */
function breakLine(area) {
  const before = area.value.slice(0, area.selectionStart).split("\n").at(-1) ?? "";
  const indent = (before.match(/^ */)?.[0] ?? "") + (/[{[]\s*$/.test(before) ? "  " : "");
  // The only way of changing it that can be undone.
  document.execCommand("insertText", false, `\n${indent}`);
}
