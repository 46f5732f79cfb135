/** The start page's app: register, log in, and notes that everyone with an account shares. */

const COLLECTION = "notes";
const SHOWN = 50; // notes, the newest

/**
 * @template {HTMLElement} T
 * @param {string} id
 */
const find = (id) => /** @type {T} */ (document.getElementById(id));

const app = find("app");
const account = /** @type {HTMLFormElement} */ (find("account"));
const notes = find("notes");
const write = /** @type {HTMLFormElement} */ (find("write"));
const list = find("list");

/** @type {import("../../sdk/index.js").Sdk} */
let sdk;
let author = "";

/**
 * Do one call of the SDK and write it down for the reader.
 *
 * @template T
 * @param {string} code
 * @param {() => Promise<T>} call
 */
async function shown(code, call) {
  const entry = document.createElement("li");
  const result = element("span", "", "result");
  entry.append(coloured(code), result);
  find("calls").prepend(entry);
  const started = performance.now();
  try {
    const answer = await call();
    result.textContent = `done in ${Math.max(1, Math.round(performance.now() - started))} ms`;
    return answer;
  } catch (error) {
    result.textContent = error.status ? `${error.status} ${error.message}` : error.message;
    result.classList.add("bad");
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
 * @param {string} text
 * @param {string} [kind]
 */
function element(name, text, kind) {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

async function start() {
  try {
    const { email } = await shown("await auth.me()", () => sdk.auth.me());
    await showNotes(email);
  } catch (error) {
    showAccount(error.status === 403 ? "" : error.message);
  }
}

/** @param {string} [problem] */
function showAccount(problem = "") {
  notes.hidden = true;
  account.hidden = false;
  complain(account, problem);
}

/** @param {string} email */
async function showNotes(email) {
  author = email.slice(0, email.lastIndexOf("@"));
  find("user").textContent = email;
  await refresh();
  account.hidden = true;
  notes.hidden = false;
  complain(write, "");
}

async function refresh() {
  const records = await readNotes();
  list.replaceChildren(...records.map(noteItem));
  find("empty").hidden = records.length > 0;
  const { total } = records;
  const all = total === 1 ? "1 note" : `${total} notes`;
  find("total").textContent = total > records.length ? `the newest ${records.length} of ${total}` : total ? all : "";
}

/** The first visit finds no collection, and makes it. */
async function readNotes() {
  const code = `await db.getCollection("${COLLECTION}", { sort: "-createdAt", limit: ${SHOWN}, count: true })`;
  const read = () =>
    shown(code, () => sdk.db.getCollection(COLLECTION, { sort: "-createdAt", limit: SHOWN, count: true }));
  try {
    return await read();
  } catch (error) {
    if (error.status !== 404) throw error;
    await shown(`await db.createNewCollection("${COLLECTION}")`, () => sdk.db.createNewCollection(COLLECTION));
    return read();
  }
}

/** @param {import("../../sdk/index.js").Stored<Record<string, any>>} note */
function noteItem(note) {
  const item = element("li", "");
  const words = element("div", "");
  const about = element("p", `${note.author ?? "somebody"}, `, "muted");
  const time = element("time", new Date(note.createdAt).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }));
  time.setAttribute("datetime", note.createdAt);
  about.append(time);
  words.append(element("p", String(note.text ?? "")), about);
  const button = element("button", "Delete", "button quiet small");
  button.append(element("span", ` the note ${note.text ?? ""}`, "unseen"));
  button.addEventListener("click", () => act(write, () => remove(note._id)));
  item.append(words, button);
  return item;
}

/** @param {string} id */
async function remove(id) {
  await shown(`await db.deleteResource("${COLLECTION}", "${id}")`, () => sdk.db.deleteResource(COLLECTION, id));
  await refresh();
  find("notes-title").focus();
}

async function add() {
  const field = /** @type {HTMLInputElement} */ (find("text"));
  const text = field.value.trim();
  field.focus();
  if (!text) return complain(write, "Write something first", { text: "" });
  const note = { text, author };
  const code = `await db.createResource("${COLLECTION}", { text: ${JSON.stringify(text)}, author: ${JSON.stringify(author)} })`;
  await shown(code, () => sdk.db.createResource(COLLECTION, note));
  field.value = "";
  await refresh();
  list.scrollTop = 0;
}

async function enter() {
  const { mode, email, password } = Object.fromEntries(new FormData(account));
  const address = String(email).trim();
  const args = `(${JSON.stringify(address)}, "…")`;
  if (mode === "register") {
    await shown(`await auth.register${args}`, () => sdk.auth.register(address, String(password)));
  }
  await shown(`await auth.login${args}`, () => sdk.auth.login(address, String(password)));
  const user = await shown("await auth.me()", () => sdk.auth.me());
  await showNotes(user.email);
  account.reset();
  chooseMode("login");
  find("text").focus();
}

async function leave() {
  await shown("await auth.logout()", () => sdk.auth.logout());
  list.replaceChildren();
  showAccount();
  find("email").focus();
}

/** @param {string} mode */
function chooseMode(mode) {
  const isNew = mode === "register";
  for (const radio of account.querySelectorAll("input[name=mode]")) {
    const input = /** @type {HTMLInputElement} */ (radio);
    input.checked = input.value === mode;
  }
  account.querySelector("h2").textContent = isNew ? "Make an account" : "Log in again";
  account.querySelector("button").textContent = isNew ? "Register" : "Log in";
  find("password").setAttribute("autocomplete", isNew ? "new-password" : "current-password");
  find("password-hint").hidden = !isNew;
  complain(account, "");
}

/**
 * Say what went wrong, in the form where it did.
 *
 * @param {HTMLFormElement} form
 * @param {string} message
 * @param {Record<string, string>} [fields]
 */
function complain(form, message, fields = {}) {
  const place = form === write ? notes : form;
  place.querySelector(".problem").textContent = message;
  for (const input of form.querySelectorAll("input:not([type=radio])")) {
    input.setAttribute("aria-invalid", String(input.getAttribute("name") in fields));
  }
}

/**
 * Run what the user asked for, once at a time; a session that has ended leads back to the log-in.
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
    const fields = error.fields ?? {};
    const details = Object.entries(fields).map(([name, why]) => `${name} ${why}`);
    complain(form, [error.message, ...details].join(": "), fields);
    if (error.status === 403 && form === write) await start();
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

onSubmit(account, enter);
onSubmit(write, add);
find("logout").addEventListener("click", () => act(write, leave));
account.addEventListener("change", (event) => {
  const input = /** @type {HTMLInputElement} */ (event.target);
  if (input.name === "mode") chooseMode(input.value);
});

if (typeof createSdk === "function") {
  sdk = createSdk(app.dataset.backend, app.dataset.apiKey);
  await start();
} else {
  showAccount("The SDK did not load. Is the admin host reachable from this browser?");
}
