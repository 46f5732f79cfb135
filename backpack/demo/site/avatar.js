/** Pictures of people: their own or, without one, their first letter on a colour of theirs. */

import { make } from "./dom.js";

const SIDE = 256; // pixels of a stored picture

/**
 * @param {import("./chat.js").Chat} chat
 * @param {string} userId
 */
export function avatar(chat, userId) {
  const made = make("span", { class: "avatar", "aria-hidden": "true" });
  made.style.setProperty("--hue", String(hue(userId)));
  const source = chat.avatarOf(userId);
  if (source) made.append(make("img", { src: source, alt: "", width: "64", height: "64" }));
  else made.textContent = [...chat.nameOf(userId)][0]?.toUpperCase() ?? "?";
  return made;
}

/** @param {string} userId ids of one second differ little, colours should much */
const hue = (userId) => [...userId].reduce((sum, digit) => Math.imul(sum ^ digit.charCodeAt(0), 16777619) >>> 0, 7) % 360;

/**
 * The middle of a picture, as a square.
 *
 * @param {Blob} file
 * @returns {Promise<Blob>} rejects when it is no picture
 */
export async function portrait(file) {
  const image = await createImageBitmap(file);
  const side = Math.min(image.width, image.height);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  const [left, top] = [(image.width - side) / 2, (image.height - side) / 2];
  canvas.getContext("2d")?.drawImage(image, left, top, side, side, 0, 0, SIDE, SIDE);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("No picture"))), "image/png");
  });
}
