/** What every page of the panel has: the choice of a backpack, logging out, the menu of
 * small windows. */

import { api, path } from "./api.js";
import { backpack, byId, el, fill } from "./dom.js";
import { later } from "./later.js";
import { sayError } from "./toast.js";

const SHOWN = 50; // names in the list at once

byId("switcher", "button").addEventListener("click", () => later(import("./dialog.js"), choose));
byId("log-out", "button").addEventListener("click", () => logOut().catch(sayError));
// A menu that is open when the window grows would lie above the page.
matchMedia("(min-width: 58rem)").addEventListener("change", () => byId("nav", "nav").hidePopover());

async function logOut() {
  await api("POST", "/logout");
  location.assign("/login");
}

/** @param {typeof import("./dialog.js")} windows */
async function choose({ show }) {
  const search = el("input", { type: "search", "aria-label": "Name", placeholder: "Search by name", autocomplete: "off", spellcheck: "false" });
  const list = el("ul", { class: "choices" });
  const said = el("p", { class: "hint", role: "status" }, "Loading…");
  show({ title: "Choose a backpack", content: [search, list, said] });
  search.focus();
  let isEarly = false; // Enter is pressed before there is a list
  search.addEventListener("keydown", ({ key }) => {
    const first = list.querySelector("a");
    if (key === "Enter") first ? first.click() : (isEarly = true);
    if (key === "ArrowDown") first?.focus();
  });
  list.addEventListener("keydown", walk);
  /** @type {{name: string}[]} */
  const all = await api("GET", "/api/backpacks");
  const draw = () => {
    const wanted = search.value.trim().toLowerCase();
    const found = all.filter(({ name }) => name.includes(wanted));
    fill(list, ...found.slice(0, SHOWN).map(({ name }) => choice(name)));
    said.textContent = found.length > SHOWN ? `${found.length - SHOWN} more: type more of the name` : found.length ? "" : "No backpack has such a name";
  };
  search.addEventListener("input", draw);
  draw();
  if (isEarly) list.querySelector("a")?.click();
}

/** @param {string} name */
function choice(name) {
  // The page one looks at stays the same, as far as it is one of a backpack.
  const [, , , page] = backpack() ? location.pathname.split("/") : [];
  const href = path`/backpacks/${name}` + (page ? `/${page}` : "");
  return el("li", {}, el("a", { href, "aria-current": name === backpack() ? "true" : null }, name));
}

/** @param {KeyboardEvent} event */
function walk(event) {
  const row = document.activeElement?.closest("li");
  const next = { ArrowDown: row?.nextElementSibling, ArrowUp: row?.previousElementSibling }[event.key];
  if (!next) return;
  event.preventDefault();
  next.querySelector("a")?.focus();
}
