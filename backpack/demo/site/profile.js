/** One's own name and picture. */

import { avatar, portrait } from "./avatar.js";
import { asFailure, complain, find, findForm, findInput } from "./dom.js";

const dialog = /** @type {HTMLDialogElement} */ (find("#profile"));
const form = findForm("#profile-form");
const name = findInput("#name");
const picture = findInput("#picture");
const progress = /** @type {HTMLProgressElement} */ (find("#progress"));

/** @type {AbortController | null} of the upload that runs */
let upload = null;

/** @param {() => import("./chat.js").Chat} current */
export function listenForProfile(current) {
  find("#edit-me").addEventListener("click", () => {
    name.value = current().nameOf(current().user.id);
    complain(form, "");
    showPortrait(current());
    dialog.showModal();
  });
  find("#close-profile").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => upload?.abort());
  find("#abort").addEventListener("click", () => upload?.abort());
  picture.addEventListener("change", () => change(current()));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    save(current());
  });
}

export function closeProfile() {
  dialog.close();
}

/** @param {import("./chat.js").Chat} chat */
function showPortrait(chat) {
  find("#portrait").replaceChildren(avatar(chat, chat.user.id));
}

/** @param {import("./chat.js").Chat} chat */
async function save(chat) {
  const wanted = name.value.trim();
  if (!wanted) return complain(form, "Everybody needs a name", { name: "is empty" });
  try {
    await chat.changeProfile({ name: wanted });
    dialog.close();
  } catch (error) {
    complain(form, asFailure(error).message);
  }
}

/** @param {import("./chat.js").Chat} chat */
async function change(chat) {
  const [file] = picture.files ?? [];
  picture.value = "";
  if (!file || upload) return;
  complain(form, "");
  const content = await portrait(file).catch(() => null);
  if (!content) return complain(form, "This file is no picture that the browser can read");
  upload = new AbortController();
  find("#upload").hidden = false;
  try {
    await replace(chat, content, upload.signal);
    showPortrait(chat);
  } catch (error) {
    const { code, message } = asFailure(error);
    if (code !== "aborted") complain(form, message);
  } finally {
    upload = null;
    find("#upload").hidden = true;
    progress.value = 0;
  }
}

/**
 * A new picture has a new name, so that nobody is shown the old one; that one goes.
 *
 * @param {import("./chat.js").Chat} chat
 * @param {Blob} content
 * @param {AbortSignal} signal
 */
async function replace(chat, content, signal) {
  const { storage } = chat.sdk;
  const before = chat.profiles.get(chat.user.id)?.avatar;
  /** @param {import("../../../sdk/index.js").Progress} state */
  const onProgress = ({ loaded, total }) => (progress.value = loaded / total);
  const { filename } = await storage.uploadFile(content, `avatar-${Date.now()}.png`, "avatars", { signal, onProgress });
  await chat.changeProfile({ avatar: filename });
  if (before) await storage.deleteFile(before);
}
