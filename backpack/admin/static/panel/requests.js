/** The page of the requests: what has just been asked of the backpack, as it happens. */

import { connect, whenMissed } from "./console.js";
import { show } from "./dialog.js";
import { backpack, byId, el } from "./dom.js";
import { count, number } from "./format.js";
import { People } from "./people.js";
import { sayError } from "./toast.js";
import { detailsOf, inOrder, matches, summaryOf } from "./tracing.js";

/** @typedef {import("./tracing.js").Entry} Entry */

const KEPT = 1_000; // entries
const SHOWN = 200; // rows at first, and more with each press
const PAUSE = 200; // ms between two drawings

const times = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hour12: false });

const live = connect(backpack());
const people = new People(live.ask);
const name = people.name.bind(people);
const form = byId("filters", "form");
const body = byId("requests", "tbody");
const pause = byId("pause", "button");
const more = byId("more", "button");

/** @type {Entry[]} the newest first */
let entries = [];
/** @type {Entry[]} what has come since and is not drawn */
let arrived = [];
let leftOut = 0;
let paused = false;
let limit = SHOWN;
/** @type {Map<string, HTMLElement>} */
let rows = new Map();
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

async function load() {
  const found = await live.ask("get", "requests", { follow: true });
  entries = [...found].reverse();
  draw();
}

function draw() {
  clearTimeout(timer);
  timer = undefined;
  if (!paused) {
    entries = inOrder([...arrived.reverse(), ...entries]).slice(0, KEPT);
    arrived = [];
  }
  const wanted = /** @type {import("./tracing.js").Wanted} */ (Object.fromEntries(new FormData(form)));
  const found = entries.filter((entry) => matches(entry, wanted, name));
  /** @type {Map<string, HTMLElement>} */
  const drawn = new Map();
  for (const entry of found.slice(0, limit)) drawn.set(entry.id, rows.get(entry.id) ?? row(entry));
  for (const [id, element] of rows) if (!drawn.has(id)) element.remove();
  [...drawn.values()].forEach((element, place) => {
    if (body.children[place] !== element) body.insertBefore(element, body.children[place] ?? null);
  });
  rows = drawn;
  more.hidden = found.length <= limit;
  byId("nothing", "p").hidden = found.length > 0;
  byId("nothing", "p").textContent = entries.length ? `None of them is like that.${wanted.kind === "broadcast" ? " Broadcasts are kept only while this page is open." : ""}` : "Nothing has been asked yet. Use your app: what it does shows here at once.";
  say(found.length);
  call(found.slice(0, limit)).catch(sayError);
}

/** @param {number} found */
function say(found) {
  const shown = found === entries.length ? count(found, "entry", "entries") : `${number(found)} of ${count(entries.length, "entry", "entries")}`;
  const waiting = paused && arrived.length ? `, ${number(arrived.length)} more since the pause` : "";
  byId("said", "span").textContent = shown + waiting + (leftOut ? `; ${number(leftOut)} came too fast to be shown` : "");
}

/** @param {Entry} entry */
function row(entry) {
  const { what, where, status, tone, took, user } = summaryOf(entry, name);
  const open = el("button", { type: "button", class: "link", click: () => openEntry(entry).catch(sayError) }, where);
  return el(
    "tr",
    {},
    el("td", { class: "tight" }, el("time", { datetime: new Date(entry.at).toISOString() }, times.format(new Date(entry.at)))),
    el("td", { class: "tight" }, el("code", {}, what)),
    el("th", { scope: "row", class: "where" }, open),
    el("td", { class: "tight" }, status && el("span", { class: `tag ${tone}` }, status)),
    el("td", { class: "number" }, took),
    el("td", { class: "who", "data-user": entry.kind === "broadcast" ? null : entry.user }, user),
  );
}

/** @param {Entry} entry */
async function openEntry(entry) {
  const { what, where } = summaryOf(entry, name);
  if (entry.kind === "broadcast") await people.look(entry.connections.map(({ user }) => user));
  show({ title: `${what} ${where}`, content: detailsOf(entry, name), wide: true });
}

/** @param {Entry[]} shown whose users are called by their addresses, once these are known */
async function call(shown) {
  const ids = shown.flatMap((entry) => (entry.kind === "broadcast" ? [] : (entry.user ?? [])));
  if (!(await people.look(ids))) return;
  for (const cell of body.querySelectorAll("[data-user]")) cell.textContent = name(cell.getAttribute("data-user") ?? "");
}

/** @param {{ data: { entries: Entry[], left_out: number } }} event */
function hear({ data }) {
  leftOut += data.left_out;
  arrived = [...arrived, ...data.entries].slice(-KEPT);
  timer ??= setTimeout(draw, PAUSE);
}

pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  pause.textContent = paused ? "Go on" : "Pause";
  draw();
});
byId("clear", "button").addEventListener("click", () => {
  entries = [];
  arrived = [];
  leftOut = 0;
  draw();
});
more.addEventListener("click", () => {
  limit += SHOWN;
  draw();
});
form.addEventListener("input", () => {
  limit = SHOWN;
  draw();
});
form.addEventListener("submit", (event) => event.preventDefault());
live.on("requests", hear);
whenMissed(live, () => load().catch(sayError));
load().catch(sayError);
