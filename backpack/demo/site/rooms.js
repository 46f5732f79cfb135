/** The list of rooms, and making one. */

import { find, findForm, findInput, make, unseen } from "./dom.js";

const form = findForm("#new-room");
const name = findInput("#room-name");
const add = find("#add-room");

/**
 * @param {import("./chat.js").Chat} chat
 * @param {(id: string) => void} open
 */
export function showRooms(chat, open) {
  const rooms = [...chat.rooms.values()].sort((one, other) => (one._id < other._id ? -1 : 1));
  const focused = document.activeElement?.getAttribute("data-room");
  find("#rooms").replaceChildren(...rooms.map((room) => item(chat, room, open)));
  if (focused) document.querySelector(`[data-room="${focused}"]`)?.parentElement?.querySelector("button")?.focus();
  showTitle(chat.titleOf(chat.current), [...chat.unread.values()]);
}

/**
 * @param {string} room
 * @param {number[]} unread
 */
function showTitle(room, unread) {
  const elsewhere = unread.reduce((sum, count) => sum + count, 0);
  find("#elsewhere").hidden = !elsewhere;
  find("#room-title").textContent = room;
  find("#text").setAttribute("placeholder", room ? `Write to ${room}` : "Write a message");
  document.title = `${elsewhere ? `(${elsewhere}) ` : ""}${room || "Chat"}, a Backpack demo`;
}

/**
 * @param {import("./chat.js").Chat} chat
 * @param {import("./chat.js").Room} room
 * @param {(id: string) => void} open
 */
function item(chat, room, open) {
  const unread = chat.unread.get(room._id) ?? 0;
  const isCurrent = room._id === chat.current;
  const button = make(
    "button",
    { type: "button", "data-room": room._id, "aria-current": isCurrent ? "true" : undefined },
    make("span", { class: "hash", "aria-hidden": "true", text: "#" }),
    make("span", { class: "label", text: chat.titleOf(room._id) }),
  );
  if (unread) {
    button.classList.add("unread");
    button.append(make("span", { class: "count", text: String(unread) }), unseen(unread === 1 ? " new message" : " new messages"));
  } else if (!chat.joined.has(room._id)) {
    button.append(make("span", { class: "join", text: "Join" }));
  }
  button.addEventListener("click", () => open(room._id));
  return make("li", {}, button);
}

/** @param {boolean} isOpen */
function toggle(isOpen) {
  form.hidden = !isOpen;
  add.setAttribute("aria-expanded", String(isOpen));
  if (isOpen) name.focus();
  else form.reset();
}

/** @param {(name: string) => Promise<boolean>} makeRoom tells whether there is one now */
export function listenForRooms(makeRoom) {
  add.addEventListener("click", () => toggle(Boolean(form.hidden)));
  form.addEventListener("keydown", ({ key }) => {
    if (key !== "Escape") return;
    toggle(false);
    add.focus();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const wanted = name.value.trim();
    if (!wanted) return name.focus();
    if (await makeRoom(wanted)) toggle(false);
  });
}
