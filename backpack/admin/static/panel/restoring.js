/** Backups that come in: as a new backpack, or in place of what is in one. */

import { path, stream } from "./api.js";
import { ask } from "./dialog.js";
import { el } from "./dom.js";
import { NAME, followed, showReady } from "./lives.js";

const FILE = { name: "file", label: "Backup", type: "file", more: { accept: ".tar", required: true } };

/**
 * Ask for a backup and a name, and make a backpack of them. `onmade` is called when it is there.
 *
 * @param {() => void} [onmade]
 */
export async function importAsNew(onmade) {
  const done = await send({
    title: "New backpack from a backup",
    text: "A file that Backup, or backpack export, has made: users, records, files, rules and site are as they were then.",
    fields: [FILE, NAME],
    action: "Import",
  }, ({ name }) => path`/api/backups/${name.trim()}`);
  if (!done) return;
  onmade?.();
  showReady(done.name.trim(), done.list);
}

/**
 * Ask for a backup and put it in the place of what is in a backpack; null where that was not done.
 *
 * @param {string} name
 */
export function replaceBy(name) {
  return send({
    title: `Replace what is in ${name}?`,
    text: "Its users, records, files, rules and site are gone then, and those of the backup take their place. The API key stays. If the backup cannot be read, nothing is changed.",
    fields: [FILE],
    word: name,
    action: "Replace",
    danger: true,
  }, () => path`/api/backpacks/${name}/backup`);
}

/**
 * Send the file that a form asks for, and show how far that is; the end of the form ends it too.
 *
 * @param {import("./dialog.js").Question} question
 * @param {(values: Record<string, any>) => string} urlOf
 */
async function send(question, urlOf) {
  const progress = el("progress", { max: "1", "aria-label": "Uploaded", hidden: true });
  const list = el("ol", { hidden: true });
  const stopping = new AbortController();
  const onsent = (/** @type {number} */ share) => (progress.value = share);
  const onsubmit = async (/** @type {Record<string, any>} */ values) => {
    progress.hidden = false;
    await followed(list, (online) => stream("POST", urlOf(values), values.file, { online, onsent, signal: stopping.signal }));
    return { ...values, list };
  };
  const done = await ask({ ...question, text: [question.text, progress, list].flat(), onsubmit });
  stopping.abort();
  return done;
}
