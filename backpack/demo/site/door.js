/** Making an account and logging in. */

import { asFailure, complain, find, findForm } from "./dom.js";

const form = findForm("#account");

/**
 * @param {import("../../../sdk/index.js").Sdk} sdk
 * @param {() => Promise<void>} enter what to do when somebody is logged in
 */
export function openDoor(sdk, enter) {
  for (const radio of form.querySelectorAll("input[type=radio]")) radio.addEventListener("change", showMode);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    complain(form, "");
    setBusy(true);
    try {
      await logIn(sdk);
      await enter();
    } catch (error) {
      const { message, fields } = asFailure(error);
      complain(form, message, fields);
    } finally {
      setBusy(false);
    }
  });
}

/** @param {import("../../../sdk/index.js").Sdk} sdk */
async function logIn({ auth }) {
  const entered = new FormData(form);
  const [email, password] = [String(entered.get("email")).trim(), String(entered.get("password"))];
  if (entered.get("mode") === "register") await auth.register(email, password);
  await auth.login(email, password);
}

/** @param {string} [problem] why nobody is logged in any more */
export function showDoor(problem = "") {
  find("#chat").hidden = true;
  find("#door").hidden = false;
  showMode();
  complain(form, problem);
}

export function hideDoor() {
  find("#door").hidden = true;
  form.reset();
  /** @type {RadioNodeList} */ (form.elements.namedItem("mode")).value = "login";
}

function showMode() {
  const isNew = new FormData(form).get("mode") === "register";
  find("#account h2").textContent = isNew ? "Make an account" : "Welcome back";
  find("#account .button").textContent = isNew ? "Register and enter" : "Log in";
  find("#password").setAttribute("autocomplete", isNew ? "new-password" : "current-password");
  find("#password-hint").hidden = !isNew;
  complain(form, "");
}

/** @param {boolean} isBusy */
function setBusy(isBusy) {
  form.setAttribute("aria-busy", String(isBusy));
  /** @type {HTMLButtonElement} */ (find("#account .button")).disabled = isBusy;
}
