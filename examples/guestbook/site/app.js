/** The page: shows what the guestbook holds, and hands it what the visitor types. */

import { createGuestbook } from "./guestbook.js";

const API_KEY = "guestbook-key"; // names this app; it gives no access by itself

// This page is http://guestbook.DOMAIN; its backend and the SDK are on hosts beside it.
const beside = (label) => location.origin.replace("://guestbook.", `://${label}.`);
const { createSdk } = await import(`${beside("admin")}/sdk.mjs`);
const guestbook = createGuestbook(createSdk(beside("guestbook-be"), API_KEY));

const [enter, sign, leave, message, list] = ["enter", "sign", "leave", "message", "entries"].map(
  (id) => document.getElementById(id),
);

async function show() {
  const [visitor, entries] = await Promise.all([guestbook.visitor(), guestbook.latest()]);
  enter.hidden = Boolean(visitor);
  sign.hidden = !visitor;
  list.replaceChildren(...entries.map((entry) => item(entry, entry.userId === visitor?.id)));
}

function item(entry, isOwn) {
  const row = document.createElement("li");
  const text = row.appendChild(document.createElement("p"));
  text.textContent = `${entry.text} — ${entry.name}`;
  if (isOwn) {
    const erase = row.appendChild(document.createElement("button"));
    erase.textContent = "Erase";
    erase.addEventListener("click", () => run(() => guestbook.erase(entry)));
  }
  return row;
}

/** Does something, then shows how things are now; says what went wrong. */
async function run(action) {
  message.textContent = "";
  try {
    await action();
    await show();
  } catch (error) {
    message.textContent = error.message;
  }
}

function onSubmit(form, action) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run(async () => {
      await action(Object.fromEntries(new FormData(form)));
      form.reset();
    });
  });
}

onSubmit(enter, ({ email, password }) => guestbook.enter(email, password));
onSubmit(sign, ({ name, text }) => guestbook.sign(name, text));
leave.addEventListener("click", () => run(guestbook.leave));
run(() => {});
