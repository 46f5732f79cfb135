/** The messages of a room: drawn once each, changed where they change. */

import { avatar } from "./avatar.js";
import { find, icon, make, unseen } from "./dom.js";

const log = find("#log");
const scroll = find("#scroll");
const TOGETHER = 5 * 60_000; // ms between two messages of one person that stand together
const NEAR = 80; // pixels from the end that count as being there

const PEN = "M4 20l1-5L16 4l4 4L9 19zM14 6l4 4";
const BIN = "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13";

/** @typedef {import("./chat.js").Chat} Chat */
/** @typedef {import("./chat.js").Message} Message */
/** @typedef {import("./outbox.js").Letter} Letter */
/** @typedef {{ key: string, look: string, draw: () => HTMLElement }} Line what is shown, and all that its look depends on */

/** @type {Chat | null} */
let shownChat = null;
let shownRoom = "";
let first = ""; // the message that is shown first
let follows = true; // whether the end stays in view, whatever comes
/** @type {Map<string, { look: string, element: HTMLElement }>} */
let drawn = new Map();

/**
 * @param {Chat} chat
 * @param {{ onEdit: (message: Message) => void, onDelete: (message: Message) => void }} handlers
 */
export function showLog(chat, handlers) {
  turnTo(chat);
  const fromEnd = scroll.scrollHeight - scroll.scrollTop;
  const messages = chat.shown();
  const letters = [...chat.outbox.letters.values()].filter(({ channelId }) => channelId === chat.current);
  arrange([...messageLines(chat, messages, handlers), ...letters.map((letter) => letterLine(chat, letter))]);
  const isComplete = chat.complete.has(chat.current);
  find("#earlier").hidden = isComplete || messages.length === 0;
  showEmpty(chat, isComplete && messages.length + letters.length === 0);
  if (follows) showEnd();
  else if (messages[0]?._id !== first) scroll.scrollTop = scroll.scrollHeight - fromEnd;
  first = messages[0]?._id ?? "";
}

/** @param {Chat} chat whose room is shown from now on, if it was not already */
function turnTo(chat) {
  if (shownChat === chat && shownRoom === chat.current) return;
  shownChat = chat;
  shownRoom = chat.current;
  drawn = new Map();
  follows = true;
}

export function showEnd() {
  follows = true;
  scroll.scrollTop = scroll.scrollHeight;
}

export function listenForScrolling() {
  scroll.addEventListener("scroll", () => {
    follows = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < NEAR;
  });
  // Keyboards on the screen and lines of notice take room away.
  new ResizeObserver(() => follows && showEnd()).observe(scroll);
}

/** @param {Line[]} lines */
function arrange(lines) {
  const before = drawn;
  drawn = new Map();
  for (const { key, look, draw } of lines) {
    const known = before.get(key);
    drawn.set(key, known?.look === look ? known : { look, element: draw() });
  }
  const wanted = [...drawn.values()].map(({ element }) => element);
  const kept = new Set(/** @type {Element[]} */ (wanted));
  for (const child of [...log.children]) if (!kept.has(child)) child.remove();
  wanted.forEach((element, index) => {
    if (log.children[index] !== element) log.insertBefore(element, log.children[index] ?? null);
  });
}

/**
 * @param {Chat} chat
 * @param {boolean} isEmpty
 */
function showEmpty(chat, isEmpty) {
  const empty = find("#empty");
  empty.hidden = !isEmpty;
  empty.replaceChildren(
    make("strong", { text: `This is the start of ${chat.titleOf(chat.current)}` }),
    make("p", { text: "Say hello. To see it arrive, open this page in a second window with another account." }),
  );
}

/**
 * @param {Chat} chat
 * @param {Message[]} messages
 * @param {Parameters<typeof showLog>[1]} handlers
 */
function messageLines(chat, messages, handlers) {
  /** @type {Line[]} */
  const lines = [];
  messages.forEach((message, index) => {
    const previous = messages[index - 1];
    const day = dayOf(message.createdAt);
    const isNewDay = !previous || dayOf(previous.createdAt) !== day;
    if (isNewDay) lines.push({ key: `day ${day}`, look: day, draw: () => make("li", { class: "day" }, make("span", { text: day })) });
    const isNext = !isNewDay && previous.userId === message.userId && Date.parse(message.createdAt) - Date.parse(previous.createdAt) < TOGETHER;
    const { _id, userId, updatedAt } = message;
    const look = [isNext, updatedAt, chat.nameOf(userId), chat.avatarOf(userId)].join();
    lines.push({ key: _id, look, draw: () => bubble(chat, message, isNext, handlers) });
  });
  return lines;
}

/**
 * @param {Chat} chat
 * @param {Message} message
 * @param {boolean} isNext whether it goes with the one before
 * @param {Parameters<typeof showLog>[1]} handlers
 */
function bubble(chat, message, isNext, handlers) {
  const { userId, createdAt, edited } = message;
  const isOwn = userId === chat.user.id;
  const time = make("time", { datetime: createdAt, text: timeOf(createdAt) });
  const about = make("p", { class: "about" }, make("strong", { text: isOwn ? "You" : chat.nameOf(userId) }), " ", time);
  const body = make("div", { class: "bubble" }, make("p", { text: String(message.text ?? "") }));
  if (edited) body.append(make("span", { class: "edited", text: "edited" }));
  if (isNext) about.classList.add("unseen");
  const row = make("div", { class: "row" }, body);
  if (isOwn) row.prepend(tools(message, handlers));
  return make("li", { class: `message${isOwn ? " own" : ""}${isNext ? " next" : ""}` }, avatar(chat, userId), about, row);
}

/**
 * @param {Message} message
 * @param {Parameters<typeof showLog>[1]} handlers
 */
function tools(message, { onEdit, onDelete }) {
  const edit = make("button", { type: "button", class: "icon" }, icon(PEN), unseen(`Edit: ${message.text}`));
  const remove = make("button", { type: "button", class: "icon" }, icon(BIN), unseen(`Delete: ${message.text}`));
  edit.addEventListener("click", () => onEdit(message));
  remove.addEventListener("click", () => onDelete(message));
  return make("span", { class: "tools" }, edit, remove);
}

/**
 * @param {Chat} chat
 * @param {Letter} letter
 * @returns {Line}
 */
function letterLine(chat, letter) {
  const hasFailed = letter.state === "failed";
  const draw = () => {
    const about = make("p", { class: "about" }, make("strong", { text: "You" }), ` ${hasFailed ? `Not sent: ${letter.why}` : "Sending …"}`);
    const row = make("div", { class: "row" }, make("div", { class: "bubble" }, make("p", { text: letter.text })));
    if (hasFailed) row.prepend(rescue(chat, letter));
    return make("li", { class: `message own letter${hasFailed ? " failed" : ""}` }, avatar(chat, chat.user.id), about, row);
  };
  return { key: letter.nonce, look: String(hasFailed), draw };
}

/**
 * @param {Chat} chat
 * @param {Letter} letter
 */
function rescue(chat, letter) {
  const again = make("button", { type: "button", class: "button quiet small", text: "Try again" });
  const drop = make("button", { type: "button", class: "button quiet small", text: "Discard" });
  again.addEventListener("click", () => chat.outbox.retry(letter));
  drop.addEventListener("click", () => chat.outbox.drop(letter));
  return make("span", { class: "rescue" }, again, drop);
}

/** @param {string} at */
const timeOf = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

/** @param {string} at */
function dayOf(at) {
  const day = new Date(at).toDateString();
  if (day === new Date().toDateString()) return "Today";
  return new Date(at).toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" });
}
