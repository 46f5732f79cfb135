import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { createSdk } from "../index.js";
import { backend } from "./server.mjs";

let sdk = createSdk(backend.url, "the-key");

beforeEach(() => {
  sdk = createSdk(backend.url, "the-key");
  backend.answers.length = 0;
  backend.heard();
});

test("register sends the account and returns its id", async () => {
  backend.answer({ id: "1".repeat(24) });
  assert.deepEqual(await sdk.auth.register("ada@example.org", "correct horse"), { id: "1".repeat(24) });
  assert.deepEqual(backend.keys, ["key the-key"]);
  assert.deepEqual(backend.heard(), [
    {
      call: "POST /register",
      body: '{"email":"ada@example.org","password":"correct horse"}',
      type: "application/json",
    },
  ]);
  assert.equal(sdk.auth.session, null);
});

test("login asks for a token and keeps it", async () => {
  backend.answer({ id: "1", token: "secret" }).answer({ id: "1", email: "a@b.c", createdAt: "now" });
  assert.deepEqual(await sdk.auth.login("a@b.c", "password"), { id: "1" });
  assert.equal(sdk.auth.session, "secret");
  assert.deepEqual(await sdk.auth.me(), { id: "1", email: "a@b.c", createdAt: "now" });
  assert.deepEqual(backend.heard(), [
    {
      call: "POST /login",
      body: '{"email":"a@b.c","password":"password","token":true}',
      type: "application/json",
    },
    { call: "GET /me", body: "", session: "secret" },
  ]);
});

test("a failed login keeps the session there was", async () => {
  const restored = createSdk(backend.url, "the-key", { session: "old" });
  backend.answer({ message: "Wrong email or password", code: "bad_login" }, 401);
  await assert.rejects(restored.auth.login("a@b.c", "wrong"), { status: 401, code: "bad_login" });
  assert.equal(restored.auth.session, "old");
});

test("logout sends the token and drops it", async () => {
  const restored = createSdk(backend.url, "the-key", { session: "secret" });
  backend.answer({ message: "OK" });
  assert.deepEqual(await restored.auth.logout(), { message: "OK" });
  assert.equal(restored.auth.session, null);
  await restored.auth.me();
  assert.deepEqual(backend.heard(), [
    { call: "POST /logout", body: "", session: "secret" },
    { call: "GET /me", body: "" },
  ]);
});

test("a logout that does not arrive keeps the token", async () => {
  const restored = createSdk(backend.url, "the-key", { session: "secret" });
  backend.answer({}, 0);
  await assert.rejects(restored.auth.logout(), { code: "network_error" });
  assert.equal(restored.auth.session, "secret");
});

test("changePassword sends both passwords", async () => {
  await sdk.auth.changePassword("correct horse", "battery staple");
  assert.deepEqual(backend.heard(), [
    {
      call: "PUT /me/password",
      body: '{"current":"correct horse","new":"battery staple"}',
      type: "application/json",
    },
  ]);
});

test("two clients have a session each", async () => {
  const other = createSdk(backend.url, "the-key", { session: "b" });
  backend.answer({ id: "1", token: "a" });
  await sdk.auth.login("a@b.c", "password");
  assert.deepEqual([sdk.auth.session, other.auth.session], ["a", "b"]);
});
