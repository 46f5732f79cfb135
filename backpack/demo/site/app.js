/** The demo app: a chat on the Backpack SDK. Here its parts are put together. */

import { Chat } from "./chat.js";
import { asFailure, find, findForm, findInput } from "./dom.js";
import { hideDoor, openDoor, showDoor } from "./door.js";
import { listenForScrolling, showEnd, showLog } from "./log.js";
import { showPeople } from "./people.js";
import { closeProfile, listenForProfile } from "./profile.js";
import { listenForRooms, showRooms } from "./rooms.js";

/** @typedef {import("./chat.js").Message} Message */

const screen = find("#chat");
const composer = findForm("#composer");
const text = findInput("#text");

/** @type {import("../../../sdk/index.js").Sdk} */
let sdk;
/** @type {Chat} */
let chat;
/** @type {Message | null} the message that is being changed */
let edited = null;

async function enter() {
  const user = await sdk.auth.me();
  chat = new Chat(sdk, user);
  const showMessages = () => showLog(chat, { onEdit, onDelete });
  chat.addEventListener("rooms", () => showRooms(chat, openRoom));
  chat.addEventListener("messages", showMessages);
  chat.addEventListener("people", () => (showPeople(chat), showMessages()));
  chat.addEventListener("connection", showConnection);
  chat.addEventListener("ended", () => leave("The session has ended. Log in again."));
  hideDoor();
  screen.hidden = false;
  show("room");
  find("#trouble").textContent = "";
  showConnection();
  for (const what of /** @type {const} */ (["rooms", "people"])) chat.tell(what); // not those of who was here before
  text.focus();
}

/** @param {string} [why] */
function leave(why) {
  chat.close();
  closeProfile();
  stopEditing();
  showDoor(why);
  find("#email").focus();
}

async function logOut() {
  chat.close();
  await attempt(() => sdk.auth.logout());
  leave();
}

/** @param {() => Promise<unknown>} work what the user asked for */
async function attempt(work) {
  const trouble = find("#trouble");
  trouble.textContent = "";
  try {
    await work();
  } catch (error) {
    trouble.textContent = asFailure(error).message;
  }
  return trouble.textContent === "";
}

/** @param {string} id */
async function openRoom(id) {
  show("room");
  stopEditing();
  await attempt(() => chat.open(id));
  text.focus();
}

/** @param {string} name */
async function makeRoom(name) {
  const isMade = await attempt(() => chat.makeRoom(name));
  show("room");
  if (isMade) text.focus();
  return isMade;
}

/** @param {"room" | "side" | "people"} view what small screens show */
function show(view) {
  screen.dataset.view = view;
}

function showConnection() {
  const banner = find("#banner");
  banner.hidden = chat.isConnected;
  banner.textContent = "Connecting … What you write is sent as soon as there is a connection.";
  find("#my-state").textContent = chat.isConnected ? "Online" : "Connecting …";
  screen.dataset.connected = String(chat.isConnected);
}

/** @param {Message} message */
function onEdit(message) {
  edited = message;
  text.value = message.text;
  composer.classList.add("editing");
  grow();
  text.focus();
}

function stopEditing() {
  if (edited) text.value = "";
  edited = null;
  composer.classList.remove("editing");
  grow();
}

/** @param {Message} message */
function onDelete(message) {
  if (edited?._id === message._id) stopEditing();
  attempt(() => chat.delete(message));
  text.focus();
}

/** The field is as high as its text, up to a limit of the style sheet. */
function grow() {
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + 2}px`;
}

function submit() {
  const written = text.value.trim();
  const message = edited;
  if (!written) return;
  text.value = "";
  stopEditing();
  if (message) return attempt(() => chat.edit(message, written));
  chat.send(written);
  showEnd();
}

function listen() {
  composer.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  text.addEventListener("input", () => {
    grow();
    if (text.value && !edited) chat.tellTyping();
  });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Escape") stopEditing();
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  });
  find("#earlier").addEventListener("click", () => attempt(() => chat.readEarlier()));
  find("#logout").addEventListener("click", logOut);
  find("#show-side").addEventListener("click", () => show("side"));
  find("#show-people").addEventListener("click", () => (show("people"), find("#hide-people").focus()));
  find("#hide-people").addEventListener("click", () => (show("room"), find("#show-people").focus()));
  listenForRooms(makeRoom);
  listenForScrolling();
  listenForProfile(() => chat);
}

async function start() {
  if (typeof createSdk !== "function") {
    showDoor("The SDK did not load. Can this browser reach the admin host?");
    return;
  }
  const { backend = "", apiKey = "" } = document.body.dataset;
  sdk = createSdk(backend, apiKey);
  listen();
  openDoor(sdk, enter);
  try {
    await enter();
  } catch (error) {
    const { status, message } = asFailure(error);
    showDoor(status === 403 ? "" : message);
  }
}

start();
