/** The frontend's own code against a real backend: `npm test`. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { createSdk } from "backpack-baas";

import { createGuestbook } from "../site/guestbook.js";
import { startBackpack } from "./backpack.mjs";

let server;
let visits = 0;

before(async () => {
  server = await startBackpack("--backpack", "guestbook");
});
after(() => server.stop());

/** A visitor who has just come, as one browser would be. */
function visit() {
  const { connect, api_key } = server.backpacks.find(({ name }) => name === "guestbook");
  return createGuestbook(createSdk(connect, api_key));
}

async function enter() {
  const guestbook = visit();
  await guestbook.enter(`visitor${++visits}@example.org`, "correct horse");
  return guestbook;
}

test("nobody has signed an empty guestbook", async () => {
  const guestbook = await enter();

  assert.deepEqual(await guestbook.latest(), []);
});

test("the first visit makes an account, the second uses it", async () => {
  const first = visit();
  const second = visit();

  await first.enter("ada@example.org", "correct horse");
  await second.enter("ada@example.org", "correct horse");

  assert.deepEqual(await second.visitor(), await first.visitor());
});

test("who leaves is a guest", async () => {
  const guestbook = await enter();

  await guestbook.leave();

  assert.equal(await guestbook.visitor(), null);
});

test("a weak password is refused", async () => {
  await assert.rejects(visit().enter("bob@example.org", "short"), { code: "weak_password" });
});

test("entries come newest first, and can be erased", async () => {
  const guestbook = await enter();

  await guestbook.sign("Ada", " Lovely! ");
  const second = await guestbook.sign("Bob", "Indeed.");
  const before = await guestbook.latest();
  await guestbook.erase(second);
  const left = await guestbook.latest();

  assert.deepEqual(
    before.map(({ name, text }) => [name, text]),
    [
      ["Bob", "Indeed."],
      ["Ada", "Lovely!"],
    ],
  );
  assert.deepEqual(left, before.slice(1));
});
