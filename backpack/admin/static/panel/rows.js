/** The rows of a list: those whose item stays the same stay the same elements, with their focus. */

import { same } from "./columns.js";

const GLOW = 2_500; // ms that a change can be seen as one

/** @template Item */
export class Rows {
  /** @type {Map<string, { item: Item, element: HTMLElement }>} */
  #rows = new Map();

  /**
   * @param {HTMLElement} parent
   * @param {(item: Item) => string} keyOf
   * @param {(item: Item) => HTMLElement} draw
   */
  constructor(parent, keyOf, draw) {
    this.parent = parent;
    this.keyOf = keyOf;
    this.draw = draw;
  }

  /**
   * @param {Item[]} items
   * @param {boolean} live whether what is new is so by a change, and shown as that
   */
  show(items, live) {
    const rows = new Map(items.map((item) => [this.keyOf(item), this.#row(item, live)]));
    for (const [key, { element }] of this.#rows) {
      const now = rows.get(key)?.element;
      if (now && now !== element) replace(element, now);
      else if (!now) element.remove();
    }
    this.#rows = rows;
    [...rows.values()].forEach(({ element }, place) => {
      if (this.parent.children[place] !== element) this.parent.insertBefore(element, this.parent.children[place] ?? null);
    });
  }

  /** Draw all of them anew at the next time. */
  forget() {
    this.#rows = new Map([...this.#rows].map(([key, { element }]) => [key, { item: /** @type {any} */ (undefined), element }]));
  }

  /** @param {Item} item @param {boolean} live */
  #row(item, live) {
    const known = this.#rows.get(this.keyOf(item));
    if (known && same(known.item, item)) return known;
    const element = this.draw(item);
    if (live) glow(element);
    return { item, element };
  }
}

/** @param {HTMLElement} before @param {HTMLElement} now who was in the one goes on in the other */
function replace(before, now) {
  const place = focusable(before).indexOf(/** @type {HTMLElement} */ (document.activeElement));
  before.replaceWith(now);
  if (place >= 0) focusable(now)[place]?.focus();
}

/** @param {HTMLElement} element @returns {HTMLElement[]} */
const focusable = (element) => [...element.querySelectorAll("a, button, input, select")].filter((one) => one instanceof HTMLElement);

/** @param {HTMLElement} element what has just changed */
export function glow(element) {
  element.classList.add("fresh");
  setTimeout(() => element.classList.remove("fresh"), GLOW);
}
