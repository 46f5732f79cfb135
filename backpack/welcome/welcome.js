/** The start page's app: register, log in, and notes that everyone with an account shares. */

/** @typedef {import("../../sdk/index.js").Stored<{ text?: string, author?: string }>} Note */

const COLLECTION = "notes";
const SHOWN = 50; // notes, the newest

/** @param {string} selector */
function find(selector) {
  const found = document.querySelector(selector);
  if (!(found instanceof HTMLElement)) throw new Error(`The page has no ${selector}`);
  return found;
}

const app = find("#app");
const account = /** @type {HTMLFormElement} */ (find("#account"));
const write = /** @type {HTMLFormElement} */ (find("#write"));
const text = /** @type {HTMLInputElement} */ (find("#text"));
const notes = find("#notes");
const list = find("#list");

/** @type {import("../../sdk/index.js").Sdk} */
let sdk;
let author = "";

/**
 * Do one call of the SDK and write it down for the reader.
 *
 * @template T
 * @param {string} code
 * @param {() => Promise<T>} call
 * @param {Record<number, string>} [expected] what a refusal means that is no failure here, by status
 */
async function shown(code, call, expected = {}) {
  const entry = element("li", "");
  const result = element("span", "", "result");
  entry.append(coloured(code), result);
  find("#calls").prepend(entry);
  const started = performance.now();
  try {
    const answer = await call();
    result.textContent = `done in ${Math.max(1, Math.round(performance.now() - started))} ms`;
    return answer;
  } catch (error) {
    const { status, message } = asFailure(error);
    const meaning = expected[status];
    result.textContent = [status, meaning ?? message].filter(Boolean).join(": ");
    result.classList.toggle("bad", !meaning);
    throw error;
  }
}

/** @param {string} code */
function coloured(code) {
  const line = element("code", "");
  for (const part of code.split(/("(?:[^"\\]|\\.)*"|\bawait\b)/)) {
    if (part === "await") line.append(element("span", part, "word"));
    else line.append(part.startsWith('"') ? element("span", part, "string") : part);
  }
  return line;
}

/**
 * @param {string} name
 * @param {string} content
 * @param {string} [kind]
 */
function element(name, content, kind) {
  const made = document.createElement(name);
  made.textContent = content;
  if (kind) made.className = kind;
  return made;
}

/** @param {unknown} error */
function asFailure(error) {
  if (error instanceof createSdk.BackpackError) return error;
  throw error;
}

/** @param {string} [ended] what to say when nobody is logged in */
async function start(ended = "") {
  try {
    const { email } = await shown("await auth.me()", () => sdk.auth.me(), { 403: "nobody is logged in" });
    await showNotes(email);
  } catch (error) {
    const { status, message } = asFailure(error);
    showAccount(status === 403 ? ended : message);
  }
}

/** @param {string} problem */
function showAccount(problem) {
  notes.hidden = true;
  account.hidden = false;
  complain(account, problem);
}

/** @param {string} email */
async function showNotes(email) {
  author = email.slice(0, email.lastIndexOf("@"));
  find("#user").textContent = email;
  await refresh();
  account.hidden = true;
  notes.hidden = false;
  complain(write, "");
}

async function refresh() {
  const records = await readNotes();
  list.replaceChildren(...records.map(noteItem));
  find("#empty").hidden = records.length > 0;
  const all = records.total > records.length ? `newest ${records.length} of ${records.total}` : records.total;
  find("#total").textContent = String(all || "");
}

/** The first visit finds no collection, and makes it. */
async function readNotes() {
  const code = `await db.getCollection("${COLLECTION}", { sort: "-_id", limit: ${SHOWN}, count: true })`;
  /** @returns {Promise<import("../../sdk/index.js").Counted<Note>>} */
  const read = () => sdk.db.getCollection(COLLECTION, { sort: "-_id", limit: SHOWN, count: true });
  try {
    return await shown(code, read, { 404: "no such collection yet" });
  } catch (error) {
    if (asFailure(error).status !== 404) throw error;
    await shown(`await db.createNewCollection("${COLLECTION}")`, () => sdk.db.createNewCollection(COLLECTION));
    return shown(code, read);
  }
}

/** @param {Note} note */
function noteItem(note) {
  const words = element("div", "");
  const about = element("p", `${note.author ?? "somebody"}, `, "muted");
  const made = new Date(note.createdAt).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const time = element("time", made);
  time.setAttribute("datetime", note.createdAt);
  about.append(time);
  words.append(element("p", String(note.text ?? "")), about);
  const button = element("button", "Delete", "button quiet small");
  button.append(element("span", ` the note ${note.text ?? ""}`, "unseen"));
  button.addEventListener("click", () => act(write, () => remove(note._id)));
  const item = element("li", "");
  item.append(words, button);
  return item;
}

/** @param {string} id */
async function remove(id) {
  await shown(`await db.deleteResource("${COLLECTION}", "${id}")`, () => sdk.db.deleteResource(COLLECTION, id));
  await refresh();
  find("#notes-title").focus();
}

async function add() {
  const note = { text: text.value.trim(), author };
  text.focus();
  if (!note.text) return complain(write, "Write something first", { text: "is empty" });
  const code = `{ text: ${JSON.stringify(note.text)}, author: ${JSON.stringify(author)} }`;
  await shown(`await db.createResource("${COLLECTION}", ${code})`, () => sdk.db.createResource(COLLECTION, note));
  text.value = "";
  await refresh();
  list.scrollTop = 0;
}

async function enter() {
  const entered = new FormData(account);
  const [email, password] = [String(entered.get("email")).trim(), String(entered.get("password"))];
  const args = `(${JSON.stringify(email)}, "…")`;
  if (entered.get("mode") === "register") {
    await shown(`await auth.register${args}`, () => sdk.auth.register(email, password));
  }
  await shown(`await auth.login${args}`, () => sdk.auth.login(email, password));
  const user = await shown("await auth.me()", () => sdk.auth.me());
  await showNotes(user.email);
  account.reset();
  chooseMode("login");
  text.focus();
}

async function leave() {
  await shown("await auth.logout()", () => sdk.auth.logout());
  list.replaceChildren();
  showAccount("");
  find("#email").focus();
}

/** @param {string} mode */
function chooseMode(mode) {
  const isNew = mode === "register";
  /** @type {RadioNodeList} */ (account.elements.namedItem("mode")).value = mode;
  find("#account h2").textContent = isNew ? "Make an account" : "Log in";
  find("#account .button").textContent = isNew ? "Register" : "Log in";
  find("#password").setAttribute("autocomplete", isNew ? "new-password" : "current-password");
  find("#password-hint").hidden = !isNew;
  complain(account, "");
}

/**
 * Say what went wrong, in the form where it did.
 *
 * @param {HTMLFormElement} form
 * @param {string} message empty when nothing is wrong
 * @param {Readonly<Record<string, string>>} [fields]
 */
function complain(form, message, fields = {}) {
  find(form === write ? "#notes .problem" : "#account .problem").textContent = message;
  for (const input of form.querySelectorAll("input:not([type=radio])")) {
    input.setAttribute("aria-invalid", String((input.getAttribute("name") ?? "") in fields));
  }
  const wrong = form.querySelector("[aria-invalid=true]");
  if (wrong instanceof HTMLElement) wrong.focus();
}

/**
 * Run what the user asked for, one thing at a time; a session that has ended leads back to the log-in.
 *
 * @param {HTMLFormElement} form
 * @param {() => Promise<void>} work
 */
async function act(form, work) {
  if (app.getAttribute("aria-busy") === "true") return;
  app.setAttribute("aria-busy", "true");
  complain(form, "");
  try {
    await work();
  } catch (error) {
    const { status, message, fields } = asFailure(error);
    const details = Object.entries(fields).map(([name, why]) => `${name} ${why}`);
    complain(form, [message, ...details].join(": "), fields);
    if (status === 403 && form === write) await start("The session has ended. Log in again.");
  } finally {
    app.setAttribute("aria-busy", "false");
  }
}

/**
 * @param {HTMLFormElement} form
 * @param {() => Promise<void>} work
 */
function onSubmit(form, work) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    act(form, work);
  });
}

if (typeof createSdk === "function") {
  sdk = createSdk(app.dataset.backend ?? "", app.dataset.apiKey ?? "");
  onSubmit(account, enter);
  onSubmit(write, add);
  find("#logout").addEventListener("click", () => act(write, leave));
  for (const radio of account.querySelectorAll("input[type=radio]")) {
    radio.addEventListener("change", () => chooseMode(radio.getAttribute("value") ?? ""));
  }
  start();
} else {
  const problem = find("#account .problem");
  account.replaceChildren(problem);
  account.hidden = false;
  problem.textContent = "The SDK did not load. Can this browser reach the admin host?";
}
