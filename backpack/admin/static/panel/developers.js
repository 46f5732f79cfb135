/** The developers of the deployment and their invitations, for operators. */

import { api, path } from "./api.js";
import { ask } from "./dialog.js";
import { byId, el, fill } from "./dom.js";
import { when } from "./format.js";
import { act, say, sayError } from "./toast.js";

/** @typedef {{id: string, email: string | null, role: string, created_at: string, own: boolean}} Developer */
/** @typedef {{id: string, role: string, invited_by: string, expires: string}} Invitation */

/** @type {[string, string][]} */
const ROLES = [
  ["developer", "Developer: own and shared backpacks"],
  ["operator", "Operator: everything"],
];

byId("invite", "button").addEventListener("click", () => invite().catch(sayError));
load().catch(sayError);

async function load() {
  /** @type {{developers: Developer[], invitations: Invitation[]}} */
  const { developers, invitations } = await api("GET", "/api/developers");
  fill(byId("developers", "tbody"), ...developers.map(developerRow));
  const none = el("tr", {}, el("td", { colspan: 4, class: "empty" }, "There are none"));
  fill(byId("invitations", "tbody"), ...(invitations.length ? invitations.map(invitationRow) : [none]));
}

/** @param {Developer} developer */
function developerRow(developer) {
  const { email, role, created_at: since, own } = developer;
  const name = email ?? "operator";
  const change = act("Role", `of ${name}`, () => changeRole(developer));
  const gone = act("Remove", name, () => remove(developer), "danger");
  const forgotten = act("New password", `for ${name}`, () => reset(developer));
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, name, own ? " (you)" : ""),
    el("td", {}, role),
    el("td", {}, when(since)),
    el("td", { class: "tight" }, el("div", { class: "actions" }, change, email !== null && !own && forgotten, gone)),
  );
}

/** @param {Invitation} invitation */
function invitationRow({ id, role, invited_by: by, expires }) {
  const end = async () => {
    await api("DELETE", path`/api/developers/invitations/${id}`);
    say("The invitation has been withdrawn");
    await load();
  };
  const button = act("Withdraw", `the invitation of a ${role}`, end, "danger");
  return el("tr", {}, el("th", { scope: "row" }, role), el("td", {}, by), el("td", {}, when(expires)), el("td", { class: "tight" }, el("div", { class: "actions" }, button)));
}

async function invite() {
  /** @type {{url: string} | null} */
  const made = await ask({
    title: "Invite somebody",
    text: "You get a link to send. Whoever opens it chooses an e-mail address and a password.",
    fields: [{ name: "role", label: "Role", type: "select", value: "developer", options: ROLES }],
    action: "Make a link",
    onsubmit: ({ role }) => api("POST", "/api/developers/invitations", { role }),
  });
  if (!made) return;
  showLink(made.url, "within seven days");
  await load();
}

/**
 * @param {string} url
 * @param {string} span how long it works
 */
function showLink(url, span) {
  byId("invitation", "code").textContent = url;
  byId("invited-for", "span").textContent = span;
  byId("invited", "section").hidden = false;
  byId("invited-title", "h2").focus();
}

/** @param {Developer} developer */
async function reset({ id, email }) {
  /** @type {{url: string} | null} */
  const made = await ask({
    title: `New password for ${email ?? "the operator"}?`,
    text: "You get a link to send. Whoever opens it chooses a new password, and all sessions of the account end then.",
    action: "Make a link",
    onsubmit: () => api("POST", path`/api/developers/${id}/reset`),
  });
  if (made) showLink(made.url, "within a day");
}

/** @param {Developer} developer */
async function changeRole({ id, email, role }) {
  const done = await ask({
    title: `Role of ${email ?? "the operator"}`,
    fields: [{ name: "role", label: "Role", type: "select", value: role, options: ROLES }],
    action: "Change",
    onsubmit: (values) => api("PUT", path`/api/developers/${id}`, values),
  });
  if (!done) return;
  say("The role has been changed");
  await load();
}

/** @param {Developer} developer */
async function remove({ id, email }) {
  const name = email ?? "the operator";
  const done = await ask({
    title: `Remove ${name}?`,
    text: "Sessions and tokens end at once. Backpacks that nobody else has are the operators' then; nothing of them is deleted.",
    action: "Remove",
    danger: true,
    onsubmit: () => api("DELETE", path`/api/developers/${id}`),
  });
  if (!done) return;
  say(`${name} has been removed`);
  await load();
}
