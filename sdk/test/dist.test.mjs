import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { gzipSync } from "node:zlib";

import { build } from "../build.mjs";

const BUDGET = 7000; // bytes after gzip
const dist = new URL("../dist/", import.meta.url);

for (const [name, text] of Object.entries(await build())) {
  test(`dist/${name} is fresh`, async () => {
    assert.equal(await readFile(new URL(name, dist), "utf8"), text, "run: node build.mjs");
  });

  test(`dist/${name} is small`, () => {
    const size = gzipSync(text).length;
    assert.ok(size <= BUDGET, `${size} bytes`);
  });
}

test("the classic script adds one global", async () => {
  const page = { URL, EventTarget };
  runInNewContext(await readFile(new URL("backpack.js", dist), "utf8"), page);
  assert.deepEqual(Object.keys(page), ["URL", "EventTarget", "createSdk"]);
  assert.deepEqual(Object.keys(page.createSdk("http://localhost", "k")), ["db", "auth", "storage", "ws"]);
  assert.equal(new page.createSdk.BackpackError("no", { code: "c" }).code, "c");
});

test("the one-file module exports what index.js does", async () => {
  const [single, many] = await Promise.all([import("../dist/backpack.mjs"), import("../index.js")]);
  assert.deepEqual(Object.keys(single), Object.keys(many));
});

test("the package exports the same by its own name", async () => {
  assert.deepEqual(Object.keys(await import("backpack-baas")), ["BackpackError", "createSdk"]);
});
