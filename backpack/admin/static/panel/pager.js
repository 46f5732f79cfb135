/** The way through many pages: first, previous, a number, next, last, and how many rows one has; and
 * their search and order. */

import { number } from "./format.js";

const SOON = 150; // ms without a key, after which is searched

/**
 * @param {import("./view.js").View<any>} view
 * @param {HTMLInputElement} search
 * @param {HTMLSelectElement} sort
 */
export function searchBy(view, search, sort) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => view.open({ search: search.value.trim(), page: 1 }), SOON);
  });
  sort.addEventListener("change", () => view.open({ sort: sort.value, page: 1 }));
  search.form?.addEventListener("submit", (event) => event.preventDefault());
}

export class Pager {
  total = 0;
  #page = 1;
  #size = 50;

  /**
   * @param {HTMLFormElement} form
   * @param {(page: number, size: number) => void} onpage
   */
  constructor(form, onpage) {
    this.form = form;
    this.onpage = onpage;
    this.page = /** @type {HTMLInputElement} */ (form.elements.namedItem("page"));
    this.size = /** @type {HTMLSelectElement} */ (form.elements.namedItem("size"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#go(Number(this.page.value) || 1);
    });
    this.page.addEventListener("change", () => this.#go(Number(this.page.value) || 1));
    this.size.addEventListener("change", () => onpage(1, Number(this.size.value)));
    for (const button of form.querySelectorAll("button")) button.addEventListener("click", () => this.#go(this.#target(button.dataset.to)));
  }

  get #last() {
    return Math.max(1, Math.ceil(this.total / this.#size));
  }

  /** @param {string | undefined} to */
  #target(to) {
    if (to === "first") return 1;
    if (to === "last") return this.#last;
    return this.#page + (to === "next" ? 1 : -1);
  }

  /** @param {number} page */
  #go(page) {
    const wanted = Math.min(this.#last, Math.max(1, Math.floor(page)));
    this.page.value = String(wanted);
    if (wanted !== this.#page) this.onpage(wanted, this.#size);
  }

  /** @param {{ page: number, size: number, total: number, shown: number }} known */
  show({ page, size, total, shown }) {
    this.#page = page;
    this.#size = size;
    this.total = total;
    const first = (page - 1) * size;
    const told = /** @type {HTMLElement} */ (this.form.querySelector(".range"));
    told.textContent = total ? `${number(first + 1)} to ${number(first + shown)} of ${number(total)}` : "0 of 0";
    if (document.activeElement !== this.page) this.page.value = String(page);
    this.page.max = String(this.#last);
    this.size.value = String(size);
    /** @type {HTMLElement} */ (this.form.querySelector(".last")).textContent = `of ${number(this.#last)}`;
    for (const button of this.form.querySelectorAll("button")) {
      // Not disabled: the focus would be lost at either end.
      const isBack = button.dataset.to === "first" || button.dataset.to === "previous";
      button.setAttribute("aria-disabled", String(isBack ? page <= 1 : page >= this.#last));
    }
  }
}
