/** The page of a backpack's frontend: deploying a zip or a folder, versions, and back to one. */

import { api, path, stream } from "./api.js";
import { backpack, byId, el, fill } from "./dom.js";
import { filesOfDrop, filesOfInput, onlyZip, pack } from "./folder.js";
import { bytes, count, number, when } from "./format.js";
import { follow } from "./lives.js";
import { act, say, sayError } from "./toast.js";

/** @typedef {{version: number, live: boolean, at: string, who: string, size: number, files: number}} Version */

const name = backpack();

async function showVersions() {
  /** @type {Version[]} */
  const versions = await api("GET", path`/api/backpacks/${name}/sites`);
  const none = el("tr", {}, el("td", { colspan: "6", class: "empty" }, "Nothing has been deployed: the welcome page is shown."));
  fill(byId("versions", "tbody"), ...(versions.length ? versions.reverse().map(row) : [none]));
}

/** @param {Version} version */
function row({ version, live, at, who, size, files }) {
  const back = act("Roll back", `to version ${version}`, () => rollBack(version));
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, number(version)),
    el("td", {}, when(at)),
    el("td", {}, who),
    el("td", { class: "number" }, number(files)),
    el("td", { class: "number" }, bytes(size)),
    el("td", { class: "tight" }, el("div", { class: "actions" }, live ? el("span", { class: "tag good" }, "live") : back)),
  );
}

/** @param {number} version */
async function rollBack(version) {
  await api("POST", path`/api/backpacks/${name}/rollback`, { version });
  say(`Version ${version} is live`);
  await showVersions();
}

/** @param {import("./folder.js").Entry[]} entries */
async function deploy(entries) {
  const bar = byId("bar", "progress");
  const label = byId("bar-label", "label");
  const tell = (/** @type {string} */ text, /** @type {number} */ share) => {
    label.textContent = text;
    bar.value = share;
  };
  busy(true);
  try {
    await follow(byId("lines", "ol"), async (online) => {
      const zip = onlyZip(entries) ?? (await pack(entries, (share) => tell(`Packing ${count(entries.length, "file")}`, share)));
      const onsent = (/** @type {number} */ share) => tell(share < 1 ? `Uploading ${bytes(zip.size)}` : `Uploaded ${bytes(zip.size)}`, share);
      onsent(0);
      return stream("POST", path`/api/backpacks/${name}/site`, zip, { online, onsent });
    });
    say("The new site is live");
    await showVersions();
  } catch (error) {
    label.textContent = "Nothing has changed.";
    sayError(error);
  } finally {
    busy(false);
  }
}

let isBusy = false;

/** @param {boolean} is */
function busy(is) {
  isBusy = is;
  byId("progress", "div").hidden = false;
  for (const button of byId("drop", "div").querySelectorAll("button")) button.disabled = is;
}

/** @param {HTMLInputElement} input */
function take(input) {
  const entries = filesOfInput(input);
  input.value = "";
  if (entries.length) deploy(entries).catch(sayError);
}

// Anywhere: the browser would leave the page for a file that misses the box.
const drop = byId("drop", "div").classList;
for (const kind of ["dragenter", "dragover"]) {
  window.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.add("over");
  });
}
window.addEventListener("dragleave", () => drop.remove("over"));
window.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.remove("over");
  if (isBusy) return;
  filesOfDrop(event.dataTransfer)
    .then((entries) => deploy(entries))
    .catch(sayError);
});
for (const kind of /** @type {const} */ (["zip", "folder"])) {
  const input = byId(kind, "input");
  byId(`choose-${kind}`, "button").addEventListener("click", () => input.click());
  input.addEventListener("change", () => take(input));
}
showVersions().catch(sayError);
