/** Who is in the room, who is elsewhere, and who is writing. */

import { avatar } from "./avatar.js";
import { find, make } from "./dom.js";

/** @param {import("./chat.js").Chat} chat */
export function showPeople(chat) {
  const here = new Set(chat.present.get(chat.current));
  if (chat.isConnected) here.add(chat.user.id);
  const away = [...chat.online].filter((user) => !here.has(user));
  fill(chat, "#here", [...here]);
  fill(chat, "#away", away);
  find("#room-state").textContent = here.size === 1 ? "You are the only one here" : `${here.size} people here`;
  find("#my-avatar").replaceChildren(avatar(chat, chat.user.id));
  find("#my-name").textContent = chat.nameOf(chat.user.id);
  showTyping(chat);
}

/**
 * @param {import("./chat.js").Chat} chat
 * @param {string} section
 * @param {string[]} users
 */
function fill(chat, section, users) {
  const named = users.map((user) => ({ user, name: chat.nameOf(user) }));
  named.sort((one, other) => one.name.localeCompare(other.name) || one.user.localeCompare(other.user));
  find(`${section} .amount`).textContent = String(users.length);
  find(`${section} ul`).replaceChildren(...named.map(({ user, name }) => person(chat, user, name)));
  find(section).hidden = users.length === 0;
}

/**
 * @param {import("./chat.js").Chat} chat
 * @param {string} user
 * @param {string} name
 */
function person(chat, user, name) {
  const picture = make("span", { class: "with-state" }, avatar(chat, user), make("span", { class: "state" }));
  const own = user === chat.user.id ? [make("span", { class: "muted", text: "you" })] : [];
  return make("li", {}, picture, make("span", { class: "label", text: name }), ...own);
}

/** @param {import("./chat.js").Chat} chat */
function showTyping(chat) {
  const names = [...chat.typing.keys()].map((user) => chat.nameOf(user));
  const who = names.length > 2 ? "Several people are" : names.join(" and ") + (names.length > 1 ? " are" : " is");
  find("#typing").textContent = names.length ? `${who} writing …` : "";
}
