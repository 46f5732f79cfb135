/** The line a filter is written in: Mongo's syntax, with the place of what is wrong in it. */

import { Mistake, parse } from "./json.js";

/**
 * A filter from what somebody wrote; null for none. Throws a Mistake, or an Error that says what is
 * missing.
 *
 * @param {string} text
 * @returns {Record<string, unknown> | null}
 */
export function filterOf(text) {
  if (!text.trim()) return null;
  const filter = parse(text, { relaxed: true });
  if (typeof filter === "object" && filter !== null && !Array.isArray(filter)) return filter;
  throw new Error('A filter is an object, such as {"name": "Ada"} or {price: {$gt: 100}}');
}

/**
 * @param {HTMLFormElement} form with an input, an alert and examples (buttons with data-filter)
 * @param {(text: string, filter: Record<string, unknown> | null) => void} onfilter
 */
export function filterLine(form, onfilter) {
  const input = /** @type {HTMLInputElement} */ (form.elements.namedItem("filter"));
  const problem = /** @type {HTMLElement} */ (form.querySelector("[role=alert]"));
  const complain = (/** @type {string} */ text) => {
    problem.textContent = text;
    input.setAttribute("aria-invalid", String(text !== ""));
  };
  const apply = () => {
    complain("");
    try {
      onfilter(input.value.trim(), filterOf(input.value));
    } catch (error) {
      complain(/** @type {Error} */ (error).message);
      input.focus();
      if (error instanceof Mistake) input.setSelectionRange(error.at, Math.max(error.at + 1, 1));
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    apply();
  });
  form.addEventListener("click", ({ target }) => {
    const example = target instanceof HTMLElement ? target.closest("button")?.dataset.filter : undefined;
    if (example === undefined) return;
    input.value = example;
    input.focus();
  });
  input.addEventListener("search", () => input.value === "" && apply());
  return {
    complain,
    /** @param {string} text */
    set(text) {
      input.value = text;
      complain("");
    },
  };
}
