/** Questions in a window of their own: forms, and what has to be confirmed. Escape and a click
 * outside close them, and the focus goes back to where it was. */

import { ApiError } from "./api.js";
import { drawing, el } from "./dom.js";

/** @typedef {import("./dom.js").Child} Child */

/**
 * @typedef {object} Field
 * @property {string} name
 * @property {string} label
 * @property {string} [type] of an input; "textarea", "select" and "checkbox" too
 * @property {string | boolean} [value]
 * @property {string} [hint]
 * @property {[string, string][]} [options] value and label, of a select
 * @property {string} [fold] the word of what it is folded away in; one for all that are
 * @property {Record<string, unknown>} [more] further attributes
 */

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {Child | Child[]} [text]
 * @property {Field[]} [fields]
 * @property {string} action the word on the button
 * @property {boolean} [danger]
 * @property {string} [word] what has to be typed before
 * @property {(values: Record<string, any>) => unknown} [onsubmit] what fails in it is shown, and the window stays
 */

/**
 * The values of the question's fields, or what its `onsubmit` answers if that is anything; null
 * where it was called off.
 *
 * @param {Question} question
 * @returns {Promise<any>}
 */
export function ask(question) {
  const word = question.word === undefined ? [] : [wordField(question.word)];
  const fields = [...(question.fields ?? []), ...word];
  const inputs = new Map(fields.map((field) => [field.name, input(field)]));
  const problem = el("p", { class: "problem", role: "alert" });
  const submit = el("button", { class: question.danger ? "button danger" : "button" }, question.action);
  const folded = fields.filter(({ fold }) => fold);
  /** @type {HTMLElement[]} */
  const rows = fields.filter(({ fold }) => !fold).map((field) => row(field, inputs));
  if (folded[0]) rows.push(el("details", {}, el("summary", {}, folded[0].fold ?? ""), ...folded.map((field) => row(field, inputs))));
  const form = el("form", { class: "form" }, ...rows, problem);
  const { dialog, closed } = show({
    title: question.title,
    content: [...[question.text ?? null].flat().map((part) => (typeof part === "string" ? el("p", {}, part) : part)), form],
    actions: [submit],
  });
  submit.setAttribute("form", (form.id = `form-${dialog.id}`));
  if (question.word !== undefined) hold(submit, /** @type {HTMLInputElement} */ (inputs.get("word")), question.word);
  return new Promise((resolve) => {
    closed.then(() => resolve(null));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const answer = await attempt(question, inputs, problem, submit);
      if (answer === undefined) return;
      resolve(answer);
      dialog.close();
    });
    focusFirst(dialog, form);
  });
}

/**
 * A window with any content; `closed` is when it has gone. `keep` is asked whether it stays at Escape
 * and at a click outside.
 *
 * @param {{title: string, content: Child[], actions?: Child[], wide?: boolean, keep?: () => boolean}} parts
 */
export function show({ title, content, actions = [], wide = false, keep = () => false }) {
  last += 1;
  const id = `dialog-${last}`;
  const close = el("button", { type: "button", class: "plain", "aria-label": "Close" }, drawing("m4 4 8 8m0-8-8 8"));
  const cancel = el("button", { type: "button", class: "button quiet" }, actions.length ? "Cancel" : "Close");
  const dialog = el(
    "dialog",
    { id, class: wide ? "dialog wide" : "dialog", "aria-labelledby": `${id}-title` },
    el("header", {}, el("h2", { id: `${id}-title` }, title), close),
    el("div", { class: "body" }, ...content),
    el("footer", {}, cancel, ...actions),
  );
  for (const button of [close, cancel]) button.addEventListener("click", () => dialog.close());
  // Only where the press began outside too: who selects text may let go there.
  let outside = false;
  dialog.addEventListener("pointerdown", (event) => (outside = event.target === dialog));
  dialog.addEventListener("click", (event) => {
    if (outside && event.target === dialog && !keep()) dialog.close();
  });
  // Browsers let the second Escape in a row close it, unless the key itself is stopped.
  const stay = (/** @type {Event} */ event) => keep() && event.preventDefault();
  dialog.addEventListener("cancel", stay);
  dialog.addEventListener("keydown", (event) => event.key === "Escape" && stay(event));
  document.body.append(dialog);
  dialog.showModal();
  const closed = new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.remove())));
  return { dialog, closed };
}

let last = 0;

/** @typedef {Map<string, HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement>} Inputs */

/**
 * What came of the question; undefined where it has to be asked again.
 *
 * @param {Question} question
 * @param {Inputs} inputs
 * @param {HTMLElement} problem
 * @param {HTMLButtonElement} submit
 */
async function attempt(question, inputs, problem, submit) {
  const values = Object.fromEntries([...inputs].map(([name, one]) => [name, valueOf(one)]));
  problem.textContent = "";
  for (const one of inputs.values()) one.removeAttribute("aria-invalid");
  submit.disabled = true;
  try {
    const answer = await question.onsubmit?.(values);
    return answer === undefined ? values : answer;
  } catch (error) {
    complain(error, inputs, problem);
    return undefined;
  } finally {
    submit.disabled = false;
  }
}

/**
 * Say what is wrong, and go to the first field that it is about.
 *
 * @param {unknown} error
 * @param {Inputs} inputs
 * @param {HTMLElement} problem
 */
export function complain(error, inputs, problem) {
  const fields = error instanceof ApiError ? error.fields : {};
  const wrong = Object.keys(fields).filter((name) => inputs.has(name));
  const said = error instanceof Error ? error.message : String(error);
  problem.textContent = wrong.map((name) => `${inputs.get(name)?.labels?.[0]?.textContent} ${fields[name]}`).join("; ") || said;
  for (const name of wrong) inputs.get(name)?.setAttribute("aria-invalid", "true");
  const first = wrong[0] === undefined ? inputs.values().next().value : inputs.get(wrong[0]);
  first?.closest("details")?.setAttribute("open", "");
  first?.focus();
}

/**
 * @param {HTMLDialogElement} dialog
 * @param {HTMLFormElement} form
 */
function focusFirst(dialog, form) {
  const first = form.querySelector("input, select, textarea") ?? dialog.querySelector("footer .button");
  /** @type {HTMLElement | null} */ (first)?.focus();
}

/**
 * @param {string} word
 * @returns {Field}
 */
function wordField(word) {
  return { name: "word", label: `Type ${word} to confirm`, more: { autocomplete: "off", spellcheck: "false", autocapitalize: "off" } };
}

/**
 * @param {HTMLButtonElement} submit
 * @param {HTMLInputElement} typed
 * @param {string} word
 */
function hold(submit, typed, word) {
  submit.disabled = true;
  typed.addEventListener("input", () => (submit.disabled = typed.value.trim() !== word));
}

/**
 * What was entered: of a checkbox whether it is checked, of a file field the file.
 *
 * @param {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} one
 */
function valueOf(one) {
  if (!(one instanceof HTMLInputElement)) return one.value;
  if (one.type === "file") return one.files?.[0] ?? null;
  return one.type === "checkbox" ? one.checked : one.value;
}

/** @param {Field} field */
function input(field) {
  const { name, type = "text", value = "", more = {} } = field;
  const id = `ask-${name}`;
  const told = field.hint ? { "aria-describedby": `${id}-hint` } : {};
  if (type === "textarea") return el("textarea", { id, name, value, ...told, ...more });
  if (type === "checkbox") return el("input", { id, name, type, checked: value === true, ...told, ...more });
  if (type !== "select") return el("input", { id, name, type, value, ...told, ...more });
  const options = (field.options ?? []).map(([key, label]) => el("option", { value: key, selected: key === value }, label));
  return el("select", { id, name, ...told, ...more }, ...options);
}

/**
 * @param {Field} field
 * @param {Map<string, HTMLElement>} inputs
 */
function row(field, inputs) {
  const one = /** @type {HTMLElement} */ (inputs.get(field.name));
  const label = el("label", { for: one.id }, field.label);
  const hint = field.hint ? el("p", { class: "hint", id: `${one.id}-hint` }, field.hint) : null;
  if (field.type === "checkbox") return el("div", { class: "field check" }, one, label, hint);
  return el("div", { class: "field" }, label, one, hint);
}
