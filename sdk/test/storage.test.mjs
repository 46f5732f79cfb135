import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { createSdk } from "../index.js";
import { backend } from "./server.mjs";

const { storage } = createSdk(backend.url, "the-key");
const file = new Blob(["content"], { type: "text/plain" });

beforeEach(() => {
  backend.answers.length = 0;
  backend.heard();
});

/** What was sent as multipart: the call, and its fields in their order. */
async function heardForm() {
  const [{ call, body, type }] = backend.heard();
  const form = await new Response(body, { headers: { "content-type": type } }).formData();
  const fields = [];
  for (const [name, value] of form) {
    fields.push(typeof value === "string" ? [name, value] : [name, value.name, value.type, await value.text()]);
  }
  return { call, fields };
}

const plain = {
  getListOfUserFiles: [["u"], { call: "GET /uploads/u", body: "" }],
  updateFile: [
    ["a.txt", "b.txt", "texts"],
    { call: "PATCH /uploads/a.txt", body: '{"filename":"b.txt","bucket":"texts"}', type: "application/json" },
  ],
  deleteFile: [["a b/c.txt"], { call: "DELETE /uploads/a%20b%2Fc.txt", body: "" }],
};

for (const [name, [args, request]] of Object.entries(plain)) {
  test(`${name} sends ${request.call}`, async () => {
    backend.answer({ the: "answer" });
    assert.deepEqual(await storage[name](...args), { the: "answer" });
    assert.deepEqual(backend.heard(), [request]);
  });
}

test("uploadFile sends the file last", async () => {
  backend.answer({ filename: "a.txt" });
  assert.deepEqual(await storage.uploadFile(file, "a.txt", "texts"), { filename: "a.txt" });
  assert.deepEqual(await heardForm(), {
    call: "POST /uploads",
    fields: [
      ["bucket", "texts"],
      ["filename", "a.txt"],
      ["file", "file", "text/plain", "content"],
    ],
  });
});

for (const [what, content] of [
  ["text", "content"],
  ["bytes", new TextEncoder().encode("content")],
  ["a buffer", new TextEncoder().encode("content").buffer],
]) {
  test(`uploadFile takes ${what}`, async () => {
    await storage.uploadFile(content, "a.txt");
    const { fields } = await heardForm();
    assert.deepEqual(fields.map((field) => field.at(-1)), ["a.txt", "content"]);
  });
}

test("a file has its own name unless another is given", async () => {
  const named = new File(["content"], "own.txt", { type: "text/plain" });
  await storage.uploadFile(named);
  assert.deepEqual((await heardForm()).fields, [
    ["filename", "own.txt"],
    ["file", "own.txt", "text/plain", "content"],
  ]);
  await storage.overwriteFile(named);
  assert.equal((await heardForm()).call, "PUT /uploads/own.txt");
});

test("uploadFile leaves it to the backend to miss a file", async () => {
  backend.answer({ message: "no file uploaded", code: "no_file" }, 400);
  await assert.rejects(storage.uploadFile(undefined, "a.txt"), { status: 400, message: "no file uploaded" });
  assert.deepEqual((await heardForm()).fields, [["filename", "a.txt"]]);
});

test("overwriteFile sends the file only", async () => {
  backend.answer({ message: "file overwritten" });
  assert.deepEqual(await storage.overwriteFile(file, "a.txt"), { message: "file overwritten" });
  assert.deepEqual(await heardForm(), {
    call: "PUT /uploads/a.txt",
    fields: [["file", "file", "text/plain", "content"]],
  });
});

test("overwriteFile without any name is not sent", async () => {
  await assert.rejects(storage.overwriteFile(file), { code: "bad_argument" });
  assert.deepEqual(backend.heard(), []);
});

test("getFile resolves with the response", async () => {
  backend.answer("content", 200, { "content-type": "text/plain", etag: '"1"' });
  const response = await storage.getFile("u", "a.txt");
  assert.deepEqual([await response.text(), response.headers.get("etag")], ["content", '"1"']);
  assert.deepEqual(backend.heard(), [{ call: "GET /uploads/u/a.txt", body: "" }]);
});

test("getFile rejects when there is no such file", async () => {
  backend.answer({ message: "There is no such file", code: "not_found" }, 404);
  await assert.rejects(storage.getFile("u", "a.txt"), { name: "BackpackError", status: 404, code: "not_found" });
});

test("getFileUrl sends nothing", () => {
  assert.equal(storage.getFileUrl("u", "a b?.png"), `${backend.url}/uploads/u/a%20b%3F.png`);
  assert.throws(() => storage.getFileUrl("u", ".."), { code: "bad_argument" });
  assert.deepEqual(backend.heard(), []);
});

for (const [name, call] of Object.entries({
  getFile: (signal) => storage.getFile("u", "a.txt", { signal }),
  uploadFile: (signal) => storage.uploadFile(file, "a.txt", "texts", { signal }),
  overwriteFile: (signal) => storage.overwriteFile(file, "a.txt", { signal }),
})) {
  test(`${name} can be aborted`, async () => {
    const reason = new Error("enough");
    const error = await call(AbortSignal.abort(reason)).catch((caught) => caught);
    assert.deepEqual([error.name, error.code, error.status, error.cause], ["BackpackError", "aborted", 0, reason]);
    assert.deepEqual(backend.heard(), []);
  });
}

test("Node tells the end of an upload", async () => {
  const told = [];
  await storage.uploadFile(file, "a.txt", "texts", { onProgress: (progress) => told.push(progress) });
  assert.deepEqual(told, [{ loaded: 7, total: 7 }]);
});

afterEach(() => {
  delete globalThis.XMLHttpRequest;
});

/** A browser's XMLHttpRequest; each test says what becomes of the one that is sent. */
function fakeRequests(become) {
  const made = [];
  globalThis.XMLHttpRequest = class {
    headers = {};
    upload = {};

    constructor() {
      made.push(this);
    }

    open(method, address) {
      this.call = `${method} ${address}`;
    }

    setRequestHeader(name, value) {
      this.headers[name] = value;
    }

    send(body) {
      this.body = body;
      setImmediate(() => become(this));
    }

    abort() {
      this.onabort();
      this.onloadend();
    }
  };
  return made;
}

test("browsers tell how far an upload is", async () => {
  const made = fakeRequests((request) => {
    request.upload.onprogress({ loaded: 3, total: 7, lengthComputable: true });
    Object.assign(request, { status: 200, statusText: "OK", responseText: '{"filename":"a.txt"}' });
    request.onload();
    request.onloadend();
  });
  const told = [];
  const onProgress = (progress) => told.push(progress);
  assert.deepEqual(await storage.uploadFile(file, "a.txt", "texts", { onProgress }), { filename: "a.txt" });
  assert.deepEqual(told, [{ loaded: 3, total: 7 }]);
  assert.deepEqual([made[0].call, made[0].headers], [`POST ${backend.url}/uploads`, { authorization: "key the-key" }]);
  assert.equal(made[0].body.get("filename"), "a.txt");
});

test("a refusal of an upload in a browser is a refusal", async () => {
  fakeRequests((request) => {
    Object.assign(request, { status: 400, statusText: "Bad Request", responseText: '{"message":"file already exists","code":"x"}' });
    request.onload();
  });
  const refused = storage.uploadFile(file, "a.txt", "texts", { onProgress: () => {} });
  await assert.rejects(refused, { status: 400, message: "file already exists" });
});

test("a broken upload in a browser is a network_error", async () => {
  fakeRequests((request) => request.onerror());
  await assert.rejects(storage.overwriteFile(file, "a.txt", { onProgress: () => {} }), { code: "network_error" });
});

test("an upload in a browser can be aborted, before and while it travels", async () => {
  const controller = new AbortController();
  const made = fakeRequests(() => controller.abort());
  const options = { onProgress: () => {}, signal: controller.signal };
  await assert.rejects(storage.uploadFile(file, "a.txt", "texts", options), { code: "aborted", status: 0 });
  await assert.rejects(storage.uploadFile(file, "a.txt", "texts", options), { code: "aborted" });
  assert.equal(made.length, 1);
});
