/** The page of nodes: labels, drain, and the command by which another machine joins. */

import { api, path } from "./api.js";
import { ask, show } from "./dialog.js";
import { byId, el, fill } from "./dom.js";
import { copier } from "./lives.js";
import { act, say, sayError } from "./toast.js";

/** @typedef {{id: string, name: string, role: string, state: string, availability: string, address: string, labels: Record<string, string>}} Node */

const PAUSE = 5_000; // ms between two looks

const mayChange = Boolean(byId("table", "table").dataset.changes);
let drawn = "";

async function load() {
  /** @type {Node[]} */
  const nodes = await api("GET", "/api/nodes");
  const text = JSON.stringify(nodes);
  if (text !== drawn) fill(byId("nodes", "tbody"), ...nodes.map(row));
  drawn = text;
}

async function keepLoading() {
  if (document.visibilityState === "visible") await load().catch(() => {});
  setTimeout(keepLoading, PAUSE);
}

/** @param {Node} node */
function row(node) {
  const ready = node.state === "ready";
  const active = node.availability === "active";
  const state = !ready ? "down" : active ? "up" : "degraded";
  const text = active ? node.state : `${node.state}, ${node.availability}`;
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, node.name),
    el("td", {}, el("span", { class: `state ${state}` }, text)),
    el("td", {}, node.role),
    el("td", {}, node.address),
    el("td", {}, el("div", { class: "actions labels" }, ...Object.entries(node.labels).map(([key, value]) => labelTag(node, key, value)), mayChange && button("Add a label", node, () => addLabel(node)))),
    el("td", { class: "tight" }, el("div", { class: "actions" }, mayChange && (active ? button("Drain", node, () => drain(node)) : button("Activate", node, () => activate(node))))),
  );
}

/**
 * @param {string} text
 * @param {Node} node
 * @param {() => Promise<unknown>} work
 */
function button(text, node, work) {
  return act(text, `of ${node.name}`, () => work().then(load));
}

/**
 * @param {Node} node
 * @param {string} key
 * @param {string} value
 */
function labelTag(node, key, value) {
  const remove = el("button", { type: "button", class: "plain tiny", "aria-label": `Remove the label ${key}` }, "×");
  remove.addEventListener("click", () => setLabel(node, key, null).then(load).catch(sayError));
  return el("span", { class: "tag" }, value ? `${key}=${value}` : key, mayChange && remove);
}

/**
 * @param {Node} node
 * @param {string} key
 * @param {string | null} value
 */
function setLabel(node, key, value) {
  return api("POST", path`/api/nodes/${node.id}/labels`, { key, value });
}

/** @param {Node} node */
async function addLabel(node) {
  await ask({
    title: `A label for ${node.name}`,
    text: "Labels say where databases and files are kept: see Placement in the documentation.",
    fields: [
      { name: "key", label: "Key", more: { required: true, autocomplete: "off", spellcheck: "false" } },
      { name: "value", label: "Value", more: { autocomplete: "off", spellcheck: "false" } },
    ],
    action: "Add",
    onsubmit: ({ key, value }) => setLabel(node, key.trim(), value.trim()),
  });
}

/** @param {Node} node */
async function drain(node) {
  const sure = await ask({
    title: `Drain ${node.name}?`,
    text: "What runs on it is started elsewhere, and nothing new comes to it. Databases and files that are kept on its disk are away until it is active again.",
    action: "Drain",
    danger: true,
    onsubmit: () => api("POST", path`/api/nodes/${node.id}/drain`, {}),
  });
  if (sure) say(`${node.name} is being drained`);
}

/** @param {Node} node */
async function activate(node) {
  await api("POST", path`/api/nodes/${node.id}/activate`, {});
  say(`${node.name} takes tasks again`);
}

async function join() {
  const made = await ask({
    title: "Add a node",
    text: "The command that joins a machine holds a secret, so your password is asked for again.",
    fields: [
      { name: "role", label: "As", type: "select", options: [["worker", "Worker"], ["manager", "Manager"]] },
      { name: "password", label: "Your password", type: "password", more: { required: true, autocomplete: "current-password" } },
    ],
    action: "Show the command",
    onsubmit: (values) => api("POST", "/api/nodes/join", values),
  });
  if (!made) return;
  const code = el("code", {}, made.command);
  const copy = copier(code, "the command");
  show({ title: "Run this on the machine", content: [el("figure", { class: "code" }, el("figcaption", {}, "Shell", copy), el("pre", { class: "wraps", tabindex: "0", "aria-label": "Command" }, code))] });
}

document.getElementById("join")?.addEventListener("click", () => join().catch(sayError));
load().catch(sayError).then(keepLoading);
