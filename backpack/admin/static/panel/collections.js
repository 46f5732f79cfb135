/** The list of collections with their counts: choose one, make one, delete one. */

import { same } from "./columns.js";
import { byId, el, fill } from "./dom.js";
import { number } from "./format.js";
import { later } from "./later.js";
import { say } from "./toast.js";

/** @typedef {{ name: string, documents: number }} Collection */
/** @typedef {typeof import("./dialog.js").ask} Question */

const MANY = 12; // collections from which on they can be searched

/**
 * @typedef {object} Told
 * @property {import("./console.js").Ask} ask
 * @property {(name: string) => string} addressOf
 * @property {(name: string) => void} onchoose "" where there is none any more
 */

export class Collections {
  /** @type {Map<string, number>} */
  #counts = new Map();
  #current = "";
  isKnown = false; // which there are

  /** @param {Told} told */
  constructor(told) {
    this.told = told;
    this.list = byId("collections", "ul");
    this.choice = byId("collection", "select");
    this.search = byId("find-collection", "input");
    this.search.addEventListener("input", () => this.#draw());
    this.choice.addEventListener("change", () => told.onchoose(this.choice.value));
    this.list.addEventListener("click", (event) => this.#click(event));
    byId("new-collection", "button").addEventListener("click", () => this.create());
  }

  get current() {
    return this.#current;
  }

  set current(name) {
    this.#current = name;
    this.#draw();
  }

  get names() {
    return [...this.#counts.keys()].sort();
  }

  async load() {
    /** @type {Collection[]} */
    const found = await this.told.ask("get", "collections");
    this.isKnown = true;
    const counts = new Map(found.map(({ name, documents }) => [name, documents]));
    // Who is about to press one of them, or is in the list, must not lose it.
    if (!same([...counts], [...this.#counts])) {
      this.#counts = counts;
      this.#draw();
    }
  }

  /** @param {string} name */
  has(name) {
    return this.#counts.has(name);
  }

  /** @param {string} name @param {number} more */
  count(name, more) {
    this.set(name, (this.#counts.get(name) ?? 0) + more);
  }

  /** @param {string} name @param {number} count */
  set(name, count) {
    const isKnown = this.#counts.has(name);
    if (this.#counts.get(name) === count) return;
    this.#counts.set(name, Math.max(0, count));
    const shown = this.list.querySelector(`[data-name="${CSS.escape(name)}"] .count`);
    if (isKnown && shown) shown.textContent = number(this.#counts.get(name) ?? 0);
    else this.#draw();
  }

  /** @param {string} name */
  drop(name) {
    if (!this.#counts.delete(name)) return;
    this.#draw();
    if (name === this.#current) this.told.onchoose(this.names[0] ?? "");
  }

  create() {
    return later(import("./dialog.js"), ({ ask }) => this.#create(ask));
  }

  remove() {
    return later(import("./dialog.js"), ({ ask }) => this.#remove(ask));
  }

  /** @param {Question} question */
  async #create(question) {
    const name = await question({
      title: "New collection",
      fields: [{ name: "collectionName", label: "Name", hint: "A letter, then letters, digits, _ or -", more: { required: true, autocomplete: "off", spellcheck: "false", autocapitalize: "off", maxlength: 64 } }],
      action: "Create",
      onsubmit: async ({ collectionName }) => {
        await this.told.ask("post", "collections", { name: collectionName });
        return collectionName;
      },
    });
    if (name === null) return;
    if (!this.#counts.has(name)) this.set(name, 0);
    this.told.onchoose(name);
  }

  /** @param {Question} question */
  async #remove(question) {
    const name = this.#current;
    const count = this.#counts.get(name) ?? 0;
    const gone = await question({
      title: `Delete ${name}?`,
      text: `The collection goes with ${count === 1 ? "its document" : `all its ${number(count)} documents`}. This cannot be undone: export it first if you are not sure.`,
      action: "Delete the collection",
      danger: true,
      word: name,
      onsubmit: async () => {
        await this.told.ask("delete", "collections", { name });
      },
    });
    if (gone === null) return;
    this.drop(name);
    say(`${name} is deleted`);
  }

  #draw() {
    const { names } = this;
    const wanted = this.search.value.trim().toLowerCase();
    this.search.hidden = names.length < MANY;
    const shown = names.filter((name) => name.toLowerCase().includes(wanted));
    fill(this.list, ...shown.map((name) => this.#entry(name)));
    fill(this.choice, ...names.map((name) => el("option", { value: name, selected: name === this.#current }, name)));
  }

  /** @param {string} name */
  #entry(name) {
    const link = el(
      "a",
      { href: this.told.addressOf(name), "data-name": name, "aria-current": name === this.#current ? "true" : null },
      el("span", { class: "name" }, name),
      el("span", { class: "count" }, number(this.#counts.get(name) ?? 0)),
    );
    return el("li", {}, link);
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    this.told.onchoose(link.dataset.name ?? "");
  }
}
