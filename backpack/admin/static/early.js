/** Presses that come before the page's modules have run are kept, and done when they have; a module
 * that could not be loaded is told of. */

/** @type {Set<HTMLElement>} buttons, and forms that were sent by the keyboard */
const pressed = new Set();

/** @param {Event} event */
function keep(event) {
  const target = event.target instanceof Element ? event.target.closest("button, form") : null;
  // What the browser does by itself it does at once: menus, links, boxes to check.
  const isOwn = target instanceof HTMLButtonElement ? !target.popoverTargetElement : event.type === "submit";
  if (!isOwn) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  pressed.add(/** @type {HTMLElement} */ (target));
}

/** Without one of its modules a page would wait for ever. */
function tellOfLoss() {
  const said = document.createElement("p");
  said.textContent = "A part of this page was lost on the way.";
  const again = document.createElement("button");
  again.className = "button";
  again.textContent = "Load it again";
  again.addEventListener("click", () => location.reload());
  const card = document.createElement("div");
  card.className = "empty card";
  card.setAttribute("role", "alert");
  card.append(said, again);
  document.getElementById("content")?.prepend(card);
}

let isLost = false;
// It is said of the script that has needed it, and does not bubble.
window.addEventListener("error", ({ target }) => (isLost ||= target instanceof Element && target.localName === "script"), true);

for (const kind of ["click", "submit"]) window.addEventListener(kind, keep, true);
// By then all modules of the page have run (HTML, "the end").
document.addEventListener("DOMContentLoaded", () => {
  for (const kind of ["click", "submit"]) window.removeEventListener(kind, keep, true);
  if (isLost) return tellOfLoss();
  for (const one of pressed) {
    if (one instanceof HTMLFormElement) one.requestSubmit();
    else one.click();
  }
});
