/** The members of a backpack: who they are, adding by e-mail, removing. */

import { api, path } from "./api.js";
import { ask, complain } from "./dialog.js";
import { byId, el, fill } from "./dom.js";
import { act } from "./toast.js";

/** @typedef {{id: string, name: string, role: string, own: boolean}} Member */

/** @param {string} name the backpack */
export async function showMembers(name) {
  const list = byId("members", "ul");
  const owns = Boolean(list.dataset.owns);
  /** @type {Member | undefined} */
  let mine;

  /** @param {Member[]} members */
  const draw = (members) => {
    const own = members.find((member) => member.own);
    if (mine && !own) return location.assign("/");
    if (mine && own && mine.role !== own.role) return location.reload(); // there is less to do here
    mine = own;
    const rows = members.map((member) => row(member, owns ? () => remove(member) : null));
    fill(list, ...(rows.length ? rows : [el("li", { class: "muted" }, "Nobody but the operators.")]));
  };

  /** @param {Member} member */
  const remove = async (member) => {
    const answer = await ask({
      title: `Remove ${member.name}?`,
      text: `${member.own ? "You lose access: you" : "They"} do not see ${name} any more, and tokens ${member.own ? "you" : "they"} have made for it stop working.`,
      action: "Remove",
      danger: true,
      onsubmit: () => api("DELETE", path`/api/backpacks/${name}/members/${member.id}`),
    });
    if (answer) draw(answer);
  };

  if (owns) byId("add-member", "form").addEventListener("submit", (event) => add(event, name).then((members) => members && draw(members)));
  draw(await api("GET", path`/api/backpacks/${name}/members`));
}

/**
 * @param {SubmitEvent} event
 * @param {string} name
 * @returns {Promise<Member[] | null>}
 */
async function add(event, name) {
  event.preventDefault();
  const email = byId("email", "input");
  const problem = byId("member-problem", "p");
  problem.textContent = "";
  email.removeAttribute("aria-invalid");
  try {
    const body = { email: email.value, role: byId("role", "select").value };
    const members = await api("POST", path`/api/backpacks/${name}/members`, body);
    email.value = "";
    return members;
  } catch (error) {
    complain(error, new Map([["email", email]]), problem);
    return null;
  }
}

/**
 * @param {Member} member
 * @param {(() => void) | null} remove
 */
function row(member, remove) {
  const button = remove && act("Remove", member.name, remove);
  return el("li", {}, el("span", {}, member.name), el("span", { class: "tag" }, member.role), button);
}
