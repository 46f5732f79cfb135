/** Elements by function call. Text is always text: nothing here reads HTML. */

/** @typedef {Node | string | null | undefined | false} Child */

/**
 * An element. In `properties` functions are listeners by their event's name, `true` and `false` set
 * attributes or leave them out, and `value` and `checked` are properties.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>} [properties]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name, /** @type {EventListener} */ (value));
    else if (name === "value" || name === "checked") Object.assign(element, { [name]: value });
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...present(children));
  return element;
}

/**
 * Put `children` in place of what is in `parent`.
 *
 * @param {Element} parent
 * @param {...Child} children
 */
export function fill(parent, ...children) {
  parent.replaceChildren(...present(children));
}

/**
 * The element of the page with this id, which must be there and be a `tag`.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {string} id
 * @param {Tag} tag
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function byId(id, tag) {
  const found = document.querySelector(`${tag}#${id}`);
  if (!found) throw new Error(`There is no ${tag} #${id}`);
  return /** @type {HTMLElementTagNameMap[Tag]} */ (found);
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * A drawing of 16 by 16, as the macro `icon` makes it.
 *
 * @param {string} path
 */
export function drawing(path) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/** The backpack that the page is about; "" for pages of the deployment. */
export function backpack() {
  return document.body.dataset.backpack ?? "";
}

/**
 * @param {Child[]} children
 * @returns {(Node | string)[]}
 */
function present(children) {
  return /** @type {(Node | string)[]} */ (
    children.filter((child) => child !== null && child !== undefined && child !== false)
  );
}
