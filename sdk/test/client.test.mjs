import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { BackpackError, createSdk } from "../index.js";
import { backend } from "./server.mjs";

beforeEach(() => {
  backend.answers.length = 0;
  backend.heard();
});

for (const end of ["", "/", "//", "/~my-app", "/~my-app/", "/?x#y"]) {
  test(`a url may end with "${end}"`, async () => {
    await createSdk(backend.url + end, "k").db.getResource("cars", "1");
    const path = end.includes("~") ? "/~my-app/cars/1" : "/cars/1";
    assert.equal(backend.heard()[0].call, `GET ${path}`);
  });
}

for (const [url, key] of [
  ["my-app-be.bkpk.localhost:8000", "k"],
  ["/api", "k"],
  ["ftp://example.org", "k"],
  [undefined, "k"],
  ["http://example.org", ""],
  ["http://example.org", undefined],
]) {
  test(`createSdk(${url}, ${key}) throws a TypeError`, () => {
    assert.throws(() => createSdk(url, key), TypeError);
  });
}

test("names and ids are encoded", async () => {
  await createSdk(backend.url, "k").db.getResource("a/b?c", "#d e%2f/ö");
  assert.equal(backend.heard()[0].call, "GET /a%2Fb%3Fc/%23d%20e%252f%2F%C3%B6");
});

for (const name of ["", ".", "..", "\ud800", undefined, null, 12, 1n, ["a"]]) {
  test(`the id ${typeof name} "${name}" is not sent`, async () => {
    const { db } = createSdk(backend.url, "k");
    await assert.rejects(db.deleteResource("cars", name), { name: "BackpackError", status: 0, code: "bad_argument" });
    assert.deepEqual(backend.heard(), []);
  });
}

test("data that is no JSON is not sent", async () => {
  const { db } = createSdk(backend.url, "k");
  const circle = {};
  circle.self = circle;
  await assert.rejects(db.createResource("cars", circle), { code: "bad_argument" });
  await assert.rejects(db.createResource("cars", { big: 1n }), { code: "bad_argument" });
  await assert.rejects(db.getCollection("cars", { filter: circle }), { code: "bad_argument" });
  assert.deepEqual(backend.heard(), []);
});

test("a refusal carries message, status, code and fields", async () => {
  const { auth } = createSdk(backend.url, "k");
  backend.answer({ message: "Weak password", code: "weak_password", fields: { password: "too short" } }, 422);
  const error = await auth.register("a@b.c", "x").catch((reason) => reason);
  assert.ok(error instanceof BackpackError && error instanceof Error);
  assert.deepEqual(
    [error.name, error.message, error.status, error.code, error.fields],
    ["BackpackError", "Weak password", 422, "weak_password", { password: "too short" }],
  );
});

test("a refusal without fields has none", async () => {
  backend.answer({ message: "Unauthorized", code: "forbidden" }, 403);
  await assert.rejects(createSdk(backend.url, "k").auth.me(), { message: "Unauthorized", fields: {} });
});

for (const [name, status, body, message] of [
  ["a proxy's page", 502, "<h1>Bad Gateway</h1>", "502 Bad Gateway"],
  ["an empty refusal", 500, "", "500 Internal Server Error"],
  ["JSON of another shape", 404, "[1]", "404 Not Found"],
  ["a page in place of an answer", 200, "<!doctype html>", "The answer is not a backpack's"],
]) {
  test(`${name} is a bad_answer`, async () => {
    backend.answer(body, status);
    await assert.rejects(createSdk(backend.url, "k").auth.me(), { message, status, code: "bad_answer" });
  });
}

test("no answer is a network_error with its cause", async () => {
  backend.answer({}, 0);
  const error = await createSdk(`${backend.url}/`, "k").auth.me().catch((reason) => reason);
  assert.ok(error instanceof BackpackError);
  assert.deepEqual([error.status, error.code], [0, "network_error"]);
  assert.equal(error.message, `No answer from ${backend.url}`);
  assert.ok(error.cause instanceof TypeError);
});

test("an answer that breaks off is a network_error", async () => {
  backend.answer('{"id":', 200, { "content-length": "100" });
  await assert.rejects(createSdk(backend.url, "k").auth.me(), { code: "network_error" });
});

const { fetch } = globalThis;
afterEach(() => {
  globalThis.fetch = fetch;
  delete globalThis.location;
});

/** Make this process look like a browser's page, and return what is handed to fetch. */
function page({ versions = {} } = {}) {
  const seen = [];
  globalThis.location = { origin: "http://my-app.bkpk.localhost" };
  globalThis.fetch = async (address, init) => {
    seen.push({ address, ...init });
    return new Response('{"id":"1"}');
  };
  const { process } = globalThis;
  globalThis.process = { versions };
  const sdk = createSdk("http://my-app-be.bkpk.localhost/", "k");
  globalThis.process = process;
  return { sdk, seen };
}

test("browsers send cookies and see no token", async () => {
  const { sdk, seen } = page();
  await sdk.auth.login("a@b.c", "password");
  assert.deepEqual(seen, [
    {
      address: "http://my-app-be.bkpk.localhost/login",
      method: "POST",
      body: '{"email":"a@b.c","password":"password"}',
      headers: { authorization: "key k", "content-type": "application/json" },
      credentials: "include",
    },
  ]);
  assert.equal(sdk.auth.session, null);
});

test("Electron's pages use cookies", async () => {
  const { sdk, seen } = page({ versions: { node: "20", electron: "30" } });
  await sdk.auth.me();
  assert.equal(seen[0].credentials, "include");
});

test("a test runner's document in Node uses tokens", async () => {
  const { sdk, seen } = page({ versions: { node: "20" } });
  await sdk.auth.login("a@b.c", "password");
  assert.equal(seen[0].body, '{"email":"a@b.c","password":"password","token":true}');
  assert.equal("credentials" in seen[0], false);
});
