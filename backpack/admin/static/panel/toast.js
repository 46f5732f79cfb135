/** Short messages at the edge of the window, read out by screen readers; buttons that say by one what goes wrong. */

import { byId, drawing, el } from "./dom.js";

const SHOWN = 5_000; // ms; problems stay until they are closed

/** @param {string} text */
export function say(text) {
  const toast = show(text, "");
  setTimeout(() => toast.remove(), SHOWN);
}

/**
 * Show what went wrong; what was stopped on purpose is no problem.
 *
 * @param {unknown} error
 */
export function sayError(error) {
  if (error instanceof DOMException && error.name === "AbortError") return;
  show(error instanceof Error ? error.message : String(error), "bad");
}

/**
 * A small button that does something.
 *
 * @param {string} text
 * @param {string} unseen which one it is about: only screen readers need to be told
 * @param {() => unknown} work
 * @param {string} [kind] "danger" for what cannot be undone
 */
export function act(text, unseen, work, kind = "") {
  const click = async () => {
    try {
      await work();
    } catch (error) {
      sayError(error);
    }
  };
  return el("button", { type: "button", class: `button quiet small ${kind}`, click }, text, el("span", { class: "unseen" }, ` ${unseen}`));
}

/**
 * @param {string} text
 * @param {string} tone
 */
function show(text, tone) {
  const close = el("button", { type: "button", class: "plain", "aria-label": "Close the message" }, drawing("m4 4 8 8m0-8-8 8"));
  const toast = el("div", { class: `toast ${tone}` }, el("p", {}, text), close);
  close.addEventListener("click", () => toast.remove());
  const toasts = byId("toasts", "div");
  toasts.append(toast);
  while (toasts.children.length > 4) toasts.firstElementChild?.remove();
  return toast;
}
