/** Short ways to the page's elements. */

/** @param {string} selector */
export function find(selector) {
  const found = document.querySelector(selector);
  if (!(found instanceof HTMLElement)) throw new Error(`The page has no ${selector}`);
  return found;
}

/** @param {string} selector */
export const findForm = (selector) => /** @type {HTMLFormElement} */ (find(selector));

/** @param {string} selector */
export const findInput = (selector) => /** @type {HTMLInputElement} */ (find(selector));

/**
 * A new element; text stays text, whatever is in it.
 *
 * @param {string} name
 * @param {{ class?: string, text?: string, [attribute: string]: string | undefined }} [attributes]
 * @param {...(Node | string)} children
 */
export function make(name, { class: kind, text, ...attributes } = {}, ...children) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  if (text !== undefined) made.textContent = text;
  for (const [attribute, value] of Object.entries(attributes)) {
    if (value !== undefined) made.setAttribute(attribute, value);
  }
  made.append(...children);
  return made;
}

/** @param {string} text for those who do not see the page */
export const unseen = (text) => make("span", { class: "unseen", text });

/** @param {string} path */
export function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", "path");
  drawn.setAttribute("d", path);
  svg.append(drawn);
  return svg;
}

/**
 * Say what went wrong, in the form where it did; an empty message takes it back.
 *
 * @param {HTMLFormElement} form
 * @param {string} message
 * @param {Readonly<Record<string, string>>} [fields]
 */
export function complain(form, message, fields = {}) {
  const details = Object.entries(fields).map(([name, why]) => `${name} ${why}`);
  const problem = form.querySelector(".problem");
  if (problem) problem.textContent = [message, ...details].filter(Boolean).join(": ");
  for (const input of form.querySelectorAll("input:not([type=radio], [type=file])")) {
    input.setAttribute("aria-invalid", String((input.getAttribute("name") ?? "") in fields));
  }
  const wrong = form.querySelector("[aria-invalid=true]");
  if (wrong instanceof HTMLElement) wrong.focus();
}

/** @param {unknown} error what may go wrong is a BackpackError; the rest are mistakes of ours */
export function asFailure(error) {
  if (error instanceof createSdk.BackpackError) return error;
  throw error;
}
