/** The page of one backpack at a glance: live counters, key, origins, processes and their log. */

import { ApiError, path, stream } from "./api.js";
import { connect } from "./console.js";
import { ask, complain } from "./dialog.js";
import { backpack, byId, el, fill } from "./dom.js";
import { exactly, number } from "./format.js";
import { reconnect, run } from "./lives.js";
import { showMembers } from "./members.js";
import { showState, statuses } from "./states.js";
import { act, say, sayError } from "./toast.js";

const FIGURES_PAUSE = 2_000; // ms between two looks at the counters
const STATUS_PAUSE = 4_000; // ms between two looks at the processes
const ORIGINS = "cors.origins"; // the rule
const LINES = 500; // of the log that are shown

const name = backpack();
const live = connect(name);
/** @type {import("./states.js").Status["services"]} */
let services = [];
/** @type {string[]} */
let external = [];

/** @param {number} pause @param {() => Promise<unknown>} look */
async function repeat(pause, look) {
  if (document.visibilityState === "visible") await look().catch(() => {});
  setTimeout(() => repeat(pause, look), pause);
}

async function askFigures() {
  showFigures(await live.ask("get", "stats"));
}

/** @param {Record<string, number>} stats */
function showFigures(stats) {
  for (const shown of document.querySelectorAll("[data-figure]")) {
    const value = stats[shown.getAttribute("data-figure") ?? ""];
    if (typeof value === "number") shown.textContent = number(Math.round(value * 10) / 10);
  }
}

async function showStatus() {
  const status = (await statuses([name])).get(name) ?? null;
  showState(byId("state", "span"), status);
  services = status?.services ?? [];
  offerLogs(services.map((one) => one.name));
  showDatabases(status?.databases ?? {});
  fill(
    byId("services", "tbody"),
    ...services.map((one) => {
      const state = one.running >= one.wanted ? "up" : one.running ? "degraded" : "down";
      const shown = el("span", { class: `state ${state}` }, one.reason ? `${state}: ${one.reason}` : state);
      return el("tr", {}, el("th", { scope: "row" }, one.name), el("td", {}, shown), el("td", { class: "number" }, `${one.running} of ${one.wanted}`), el("td", {}, el("code", {}, one.image)));
    }),
  );
}

/** @param {Record<string, string>} found where those are that are not its own */
function showDatabases(found) {
  const said = byId("databases", "p");
  said.textContent = `${Object.entries(found).map(([kind, where]) => `${kind} is at ${where}`).join(", ")}.`;
  said.hidden = !Object.keys(found).length;
  external = Object.keys(found);
  const button = document.getElementById("reconnect");
  if (button) button.hidden = said.hidden;
}

async function changeUrls() {
  if (await reconnect(name, external)) say("The URLs have been changed");
  await showStatus();
}

async function rotate() {
  const chosen = await ask({
    title: "Rotate the API key?",
    text: "Pages need the new key. The one before works for 24 hours more, unless you end it now.",
    fields: [{ name: "now", label: "End the key before at once", type: "checkbox", hint: "Pages that have it stop working." }],
    action: "Rotate",
    danger: true,
    onsubmit: ({ now }) => live.ask("post", "key", { now }),
  });
  if (!chosen) return;
  showKey(chosen);
  say("The key has been rotated");
}

/** @param {{apiKey: string, previousUntil: number | null}} key */
function showKey({ apiKey, previousUntil }) {
  byId("api-key", "code").textContent = apiKey;
  byId("snippet-key", "span").textContent = apiKey;
  byId("key-hint", "p").textContent = previousUntil ? `The key before works until ${exactly(previousUntil * 1000)}.` : "Pages carry the key: it tells the backpack, and is no secret.";
}

async function showOrigins() {
  const rules = await live.ask("get", "rules");
  fill(byId("origins", "ul"), ...(rules[ORIGINS] ?? []).map(originRow));
}

/** @param {string} origin */
function originRow(origin) {
  const remove = act("Remove", origin, () => changeOrigins((all) => all.filter((one) => one !== origin)));
  return el("li", {}, el("code", {}, origin), remove);
}

/** @param {(origins: string[]) => string[]} change */
async function changeOrigins(change) {
  const was = await live.ask("get", "rules");
  try {
    await live.ask("put", "rules", { ...was, [ORIGINS]: change(was[ORIGINS] ?? []) }, { was });
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== "changed_meanwhile") throw error;
    return changeOrigins(change); // of what others have made of them
  }
  await showOrigins();
}

/** @param {SubmitEvent} event */
async function addOrigin(event) {
  event.preventDefault();
  const input = byId("origin", "input");
  const problem = byId("origin-problem", "p");
  problem.textContent = "";
  input.removeAttribute("aria-invalid");
  try {
    const { origin, href } = new URL(input.value);
    const added = origin === "null" ? href : origin; // what has none is refused by the rules
    await changeOrigins((all) => [...new Set([...all, added])]);
    input.value = "";
  } catch (error) {
    complain(error, new Map([[ORIGINS, input]]), problem);
  }
}

async function scale() {
  const replicated = services.find((one) => one.name === "api") ?? services[0];
  const chosen = await ask({
    title: "Number of API processes",
    text: "They share the work. More of them take more memory.",
    fields: [{ name: "replicas", label: "Processes", type: "number", value: String(replicated?.wanted ?? 1), more: { min: "1", max: "100", required: true } }],
    action: "Change",
  });
  if (!chosen) return;
  await run(`Changing the processes of ${name}`, "POST", path`/api/backpacks/${name}/scale`, { replicas: Number(chosen.replicas) });
  await showStatus();
}

/** @type {AbortController | null} */
let following = null;

/** @param {string[]} names of the services whose log can be shown alone */
function offerLogs(names) {
  const choice = byId("log-of", "select");
  byId("log-choice", "div").hidden = names.length < 2;
  if (choice.options.length === names.length + 1) return;
  const chosen = choice.value;
  fill(choice, el("option", { value: "" }, "all"), ...names.map((one) => el("option", { selected: one === chosen }, one)));
}

/** @param {boolean} follow */
async function showLogs(follow) {
  const output = byId("logs", "pre");
  /** @type {string[]} */
  const lines = [];
  const draw = () => {
    const atEnd = output.scrollHeight - output.scrollTop - output.clientHeight < 40;
    output.textContent = lines.join("\n") || "Nothing has been logged.";
    if (atEnd) output.scrollTop = output.scrollHeight;
  };
  const online = (/** @type {string} */ line) => {
    lines.push(line);
    if (lines.length > LINES) lines.shift();
    if (follow) draw();
  };
  following?.abort();
  following = new AbortController();
  const service = byId("log-of", "select").value;
  const asked = new URLSearchParams({ ...(follow && { follow: "1" }), ...(service && { service }) });
  const url = `${path`/api/backpacks/${name}/logs`}?${asked}`;
  await stream("GET", url, undefined, { online, signal: following.signal });
  draw();
}

const isFollowed = () => byId("follow", "button").getAttribute("aria-pressed") === "true";

function toggleFollowing() {
  const button = byId("follow", "button");
  const follow = !isFollowed();
  button.setAttribute("aria-pressed", String(follow));
  button.textContent = follow ? "Stop following" : "Follow";
  following?.abort();
  if (follow) showLogs(true).catch(sayError);
}

byId("add-origin", "form").addEventListener("submit", addOrigin);
byId("follow", "button").addEventListener("click", toggleFollowing);
byId("log-of", "select").addEventListener("change", () => showLogs(isFollowed()).catch(sayError));
byId("rotate", "button").addEventListener("click", () => rotate().catch(sayError));
document.getElementById("scale")?.addEventListener("click", () => scale().catch(sayError));
document.getElementById("reconnect")?.addEventListener("click", () => changeUrls().catch(sayError));
live.onstate((state) => {
  if (state !== "open") return;
  showOrigins().catch(sayError);
  live.ask("get", "key").then(showKey).catch(sayError);
  live.ask("get", "stats", { follow: true }).catch(sayError);
});
live.on("stats", ({ data }) => showFigures(data));
live.on("key", ({ data }) => showKey(data));
live.on("rules", () => showOrigins().catch(sayError));
repeat(FIGURES_PAUSE, askFigures);
repeat(STATUS_PAUSE, showStatus);
showLogs(false).catch(sayError);
showMembers(name).catch(sayError);
