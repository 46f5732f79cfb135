/** The page of a backpack's tokens: making one, which is shown once, and revoking. */

import { api, path } from "./api.js";
import { ask, show } from "./dialog.js";
import { backpack, byId, el, fill } from "./dom.js";
import { ago, when } from "./format.js";
import { copier } from "./lives.js";
import { act, say, sayError } from "./toast.js";

/** @typedef {{id: string, name: string, scope: string, made_by: string, created_at: string, expires: number, revoked: boolean, used_at: string | null}} Token */

const name = backpack();

async function load() {
  /** @type {Token[]} */
  const tokens = await api("GET", path`/api/backpacks/${name}/tokens`);
  const none = el("tr", {}, el("td", { colspan: "7", class: "empty" }, "There are no tokens."));
  fill(byId("tokens", "tbody"), ...(tokens.length ? tokens.map(row) : [none]));
}

/** @param {Token} token */
function row(token) {
  const expires = new Date(token.expires * 1000);
  const works = !token.revoked && expires.getTime() > Date.now();
  const revoke = act("Revoke", token.name, () => end(token), "danger");
  const state = token.revoked ? el("span", { class: "tag bad" }, "revoked") : el("span", { class: "tag warn" }, "expired");
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, token.name),
    el("td", {}, el("span", { class: "tag" }, token.scope)),
    el("td", {}, token.made_by),
    el("td", {}, when(token.created_at)),
    el("td", {}, token.used_at ? when(token.used_at) : "never"),
    el("td", {}, works ? when(token.expires * 1000) : state),
    el("td", { class: "tight" }, el("div", { class: "actions" }, works && revoke)),
  );
}

async function create() {
  const made = await ask({
    title: "New token",
    fields: [
      { name: "name", label: "Name", hint: "What it is for, such as the program that has it.", more: { required: true, maxlength: "100", autocomplete: "off" } },
      { name: "scope", label: "What it may do", type: "select", options: [["deploy", "Deploy the site"], ["restore", "Restore from a backup"]] },
      { name: "days", label: "Days until it expires", type: "number", value: "90", more: { min: "1", max: "365", required: true } },
    ],
    action: "Make the token",
    onsubmit: (values) => api("POST", path`/api/backpacks/${name}/tokens`, { ...values, days: Number(values.days) }),
  });
  if (!made) return;
  reveal(made);
  await load();
}

/** @param {Token & {token: string}} made */
function reveal(made) {
  const code = el("code", { id: "secret" }, made.token);
  const copy = copier(code, "the token");
  show({
    title: `The token ${made.name}`,
    content: [
      el("p", {}, `Copy it now: it is not shown again. It expires ${ago(new Date(made.expires * 1000))}.`),
      el("dl", { class: "addresses" }, el("div", {}, el("dt", {}, "Token"), el("dd", {}, code, copy))),
    ],
  });
  copy.focus();
}

/** @param {Token} token */
async function end(token) {
  const sure = await ask({
    title: `Revoke ${token.name}?`,
    text: "Programs that have it are refused from now on.",
    action: "Revoke",
    danger: true,
    onsubmit: () => api("DELETE", path`/api/backpacks/${name}/tokens/${token.id}`),
  });
  if (!sure) return;
  say(`${token.name} has been revoked`);
  await load();
}

byId("create", "button").addEventListener("click", () => create().catch(sayError));
load().catch(sayError);
