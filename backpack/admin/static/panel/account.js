/** The account of who is signed in: password, and sessions to end. */

import { api, path } from "./api.js";
import { ask, complain } from "./dialog.js";
import { byId, el, fill } from "./dom.js";
import { when } from "./format.js";
import { act, say, sayError } from "./toast.js";

/** @typedef {{id: string, current: boolean, address: string, browser: string, created: string, used: string}} Session */

const forms = /** @type {NodeListOf<HTMLFormElement>} */ (document.querySelectorAll("form#password, form#login"));
for (const form of forms) form.addEventListener("submit", (event) => submit(event, form).catch(sayError));
byId("everywhere", "button").addEventListener("click", () => endAll().catch(sayError));
load().catch(sayError);

/**
 * @param {SubmitEvent} event
 * @param {HTMLFormElement} form
 */
async function submit(event, form) {
  event.preventDefault();
  const found = form.querySelectorAll("input:not([type=hidden])");
  const inputs = new Map([...found].map((one) => [one.id, /** @type {HTMLInputElement} */ (one)]));
  const problem = /** @type {HTMLElement} */ (form.querySelector(".problem"));
  const button = /** @type {HTMLButtonElement} */ (form.querySelector("button"));
  problem.textContent = "";
  for (const one of inputs.values()) one.removeAttribute("aria-invalid");
  button.disabled = true;
  try {
    const values = Object.fromEntries([...inputs].map(([name, one]) => [name, one.value]));
    await api("PUT", `/api/account/${form.id}`, values);
    form.reset();
    say(form.dataset.done ?? "Done");
    await load();
  } catch (error) {
    complain(error, inputs, problem);
  } finally {
    button.disabled = false;
  }
}

async function load() {
  /** @type {Session[]} */
  const sessions = await api("GET", "/api/account/sessions");
  fill(byId("sessions", "tbody"), ...sessions.map(row));
}

/** @param {Session} session */
function row(session) {
  const { id, current, address, browser, created, used } = session;
  const end = act("End", `the session of ${browser}`, () => endOne(session));
  return el(
    "tr",
    { "data-id": id },
    el("th", { scope: "row" }, browser || "Unknown"),
    el("td", {}, address),
    el("td", {}, when(created)),
    el("td", {}, when(used)),
    el("td", { class: "tight" }, el("div", { class: "actions" }, current ? el("span", { class: "tag good" }, "This one") : end)),
  );
}

/** @param {Session} session */
async function endOne({ id, browser }) {
  await api("DELETE", path`/api/account/sessions/${id}`);
  say(`${browser || "It"} has been logged out`);
  await load();
}

async function endAll() {
  const sure = await ask({
    title: "Log out everywhere?",
    text: "All your sessions end at once, this one too.",
    action: "Log out everywhere",
    danger: true,
  });
  if (!sure) return;
  await api("DELETE", "/api/account/sessions");
  location.assign("/login");
}
