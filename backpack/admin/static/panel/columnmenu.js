/** Which columns are shown: a menu, and kept in this browser for each collection. */

import { same } from "./columns.js";
import { backpack, el, fill } from "./dom.js";

export class Columns {
  #collection = "";
  /** @type {string[]} */
  #names = [];
  /** @type {Set<string>} */
  #hidden = new Set();

  /**
   * @param {HTMLDetailsElement} menu
   * @param {(hidden: Set<string>) => void} onchange
   */
  constructor(menu, onchange) {
    this.menu = menu;
    this.onchange = onchange;
    this.list = /** @type {HTMLElement} */ (menu.querySelector("ul"));
    menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !menu.open) return;
      menu.open = false;
      menu.querySelector("summary")?.focus();
    });
    document.addEventListener("pointerdown", ({ target }) => {
      if (target instanceof Node && !menu.contains(target)) menu.open = false;
    });
  }

  get #key() {
    return `hidden:${backpack()}:${this.#collection}`;
  }

  /** @param {string} collection @param {string[]} names */
  show(collection, names) {
    if (collection !== this.#collection) {
      this.#collection = collection;
      this.#hidden = new Set(JSON.parse(localStorage.getItem(this.#key) ?? "[]"));
      this.onchange(this.#hidden);
    } else if (same(names, this.#names)) return;
    this.#names = names;
    fill(this.list, ...names.map((name) => this.#entry(name)));
  }

  /** @param {string} name */
  #entry(name) {
    const input = el("input", { type: "checkbox", checked: !this.#hidden.has(name), disabled: name === "_id", change: () => this.#turn(name, input.checked) });
    return el("li", {}, el("label", {}, input, el("span", { class: "name" }, name)));
  }

  /** @param {string} name @param {boolean} shown */
  #turn(name, shown) {
    if (shown) this.#hidden.delete(name);
    else this.#hidden.add(name);
    localStorage.setItem(this.#key, JSON.stringify([...this.#hidden]));
    this.onchange(this.#hidden);
  }
}
