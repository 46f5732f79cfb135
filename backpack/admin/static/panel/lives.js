/** Making a backpack, deleting it, and having it back: each in a window with the lines that such a long
 * action says, as they come. */

import { ApiError, path, stream } from "./api.js";
import { ask, show } from "./dialog.js";
import { el } from "./dom.js";
import { exactly } from "./format.js";

/** The name of a new backpack, in a form. */
export const NAME = { name: "name", label: "Name", hint: "Small letters, digits and single hyphens. It becomes part of its addresses.", more: { autocomplete: "off", spellcheck: "false", autocapitalize: "off", required: true, maxlength: 41 } };

/** The URLs of servers that are there, in a form. They hold passwords. */
const URLS = [
  { name: "mongo_url", label: "MongoDB URL", type: "password", more: { autocomplete: "off", placeholder: "mongodb://" } },
  { name: "redis_url", label: "Redis URL", type: "password", more: { autocomplete: "off", placeholder: "redis://" } },
];

/**
 * Make a backpack, and show the snippet that a page needs. `onmade` is called when it is there.
 *
 * @param {() => void} onmade
 * @param {boolean} choosesDatabases
 */
export async function create(onmade, choosesDatabases) {
  const list = el("ol", { hidden: true });
  const databases = URLS.map((url) => ({ ...url, fold: "Databases of your own", hint: "Without one the backpack gets a server of its own." }));
  const made = await ask({
    title: "New backpack",
    text: list,
    fields: choosesDatabases ? [NAME, ...databases] : [NAME],
    action: "Create",
    onsubmit: ({ name, ...urls }) => followed(list, (online) => stream("POST", "/api/backpacks", { name: name.trim(), ...urls }, { online }).finally(onmade)),
  });
  if (made) showReady(made.name, list, el("p", {}, "Paste this into a page to use it:"), snippet(made));
}

/**
 * Have a backpack reach databases that are not its own by other URLs; whether it does.
 *
 * @param {string} name
 * @param {string[]} kinds of databases, such as MongoDB
 */
export async function reconnect(name, kinds) {
  const list = el("ol", { hidden: true });
  const done = await ask({
    title: "Change the URLs of the databases",
    text: [el("p", {}, "New processes take the place of those there are, if they get on with the new URLs. The data have to be there: nothing is copied."), list],
    fields: URLS.filter(({ label }) => kinds.some((kind) => label.startsWith(kind))).map((url) => ({ ...url, hint: "Where there is none it stays as it is." })),
    action: "Change",
    onsubmit: (urls) => followed(list, (online) => stream("POST", path`/api/backpacks/${name}/databases`, urls, { online })),
  });
  return done !== null;
}

/**
 * The lines of an action in a form, which says itself what goes wrong.
 *
 * @template Value
 * @param {HTMLOListElement} list
 * @param {(online: (line: string) => void) => Promise<Value>} action
 */
export function followed(list, action) {
  return follow(list, action).catch((error) => {
    list.lastElementChild?.remove();
    list.hidden = !list.firstElementChild;
    throw error;
  });
}

/**
 * @param {string} name of a backpack that is new
 * @param {...Element} content
 */
export function showReady(name, ...content) {
  const { dialog } = show({ title: `${name} is ready`, content });
  const go = el("a", { class: "button", href: path`/backpacks/${name}` }, "Open it");
  dialog.querySelector("footer")?.append(go);
  go.focus();
}

/**
 * What a page needs to use a backpack, with a button that copies it.
 *
 * @param {{backend: string, api_key: string}} backpack
 */
export function snippet({ backend, api_key }) {
  const code = [
    `<script src="${location.origin}/sdk.js"></script>`,
    "<script>",
    `  const { auth, db } = createSdk("${backend}", "${api_key}");`,
    "</script>",
  ].join("\n");
  const text = el("code", {}, code);
  return el("figure", { class: "code" }, el("figcaption", {}, "HTML", copier(text, "the snippet")), el("pre", { tabindex: "0", "aria-label": "Snippet" }, text));
}

/**
 * A button that copies the text of an element.
 *
 * @param {Element} source is selected where there is no clipboard
 * @param {string} what
 */
export function copier(source, what) {
  const label = el("span", { "aria-live": "polite" }, "Copy");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(source.textContent ?? "");
      label.textContent = "Copied";
    } catch {
      document.getSelection()?.selectAllChildren(source);
      label.textContent = "Selected";
    }
    setTimeout(() => (label.textContent = "Copy"), 1600);
  };
  return el("button", { type: "button", class: "button quiet small copy", click: copy }, label, el("span", { class: "unseen" }, ` ${what}`));
}

/**
 * Delete a backpack once its name is typed; whether it is gone.
 *
 * @param {string} name
 */
export async function discard(name) {
  const sure = await ask({
    title: `Delete ${name}?`,
    text: `Its backend and its frontend are gone at once, for everybody. All that is in it goes to the trash, and can be had back for ${document.body.dataset.kept}.`,
    word: name,
    action: "Delete",
    danger: true,
  });
  return sure ? run(`Deleting ${name}`, "DELETE", path`/api/backpacks/${name}`) : false;
}

/** @typedef {{name: string, deleted_at: string, until: string}} Deleted */

/**
 * Remove for good what is in the trash, once its name is typed; whether it is gone.
 *
 * @param {Deleted} one
 */
export async function purge({ name, deleted_at }) {
  const sure = await ask({
    title: `Delete ${name} for good?`,
    text: `It was deleted on ${exactly(deleted_at)}. Its users, records, files, site and key cannot be had back.`,
    word: name,
    action: "Delete for good",
    danger: true,
  });
  return sure ? run(`Deleting ${name} for good`, "POST", path`/api/backpacks/${name}/purge?deleted_at=${deleted_at}`) : false;
}

/** @param {Deleted} one */
export function restore({ name, deleted_at }) {
  return run(`Restoring ${name}`, "POST", path`/api/backpacks/${name}/restore?deleted_at=${deleted_at}`);
}

/**
 * An action in a window, which closes when all went well; whether it did.
 *
 * @param {string} title
 * @param {string} method
 * @param {string} url
 * @param {unknown} [body]
 */
export async function run(title, method, url, body) {
  const list = el("ol");
  const { dialog, closed } = show({ title, content: [list] });
  try {
    await follow(list, (online) => stream(method, url, body, { online }));
    dialog.close();
    return true;
  } catch {
    await closed; // what went wrong stands below the lines
    return false;
  }
}

/**
 * Run an action and show its lines in `list` (an `ol`): the last one as under way until the next
 * comes, at the end as done or, with what went wrong behind it, as failed.
 *
 * @template Value
 * @param {HTMLOListElement} list
 * @param {(online: (line: string) => void) => Promise<Value>} action
 * @returns {Promise<Value>} fails as the action does
 */
export async function follow(list, action) {
  list.classList.add("steps");
  list.setAttribute("aria-live", "polite");
  list.replaceChildren();
  list.hidden = false;
  /** @type {HTMLLIElement | null} */
  let last = null;
  const end = (/** @type {string} */ state) => last?.setAttribute("class", state);
  const online = (/** @type {string} */ line) => {
    end("done");
    last = el("li", { class: "busy" }, line);
    list.append(last);
    list.scrollTop = list.scrollHeight;
  };
  try {
    const result = await action(online);
    end("done");
    return result;
  } catch (error) {
    end("done");
    list.append(el("li", { class: "failed" }, error instanceof ApiError ? error.message : String(error)));
    list.scrollTop = list.scrollHeight;
    throw error;
  }
}
