import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { createSdk } from "../index.js";
import { backend } from "./server.mjs";

const { db } = createSdk(backend.url, "the-key");
const id = "0123456789abcdef01234567";

beforeEach(() => {
  backend.answers.length = 0;
  backend.heard();
});

const calls = {
  getCollectionsList: [[], "GET /collections"],
  createNewCollection: [["cars"], "POST /collections", '{"collectionName":"cars"}'],
  getCollection: [["cars"], "GET /cars"],
  getResource: [["cars", id], `GET /cars/${id}`],
  createResource: [["cars", { brand: "Volvo", sold: null }], "POST /cars", '{"brand":"Volvo","sold":null}'],
  updateResource: [["cars", id, { "engine.kw": 110 }], `PATCH /cars/${id}`, '{"engine.kw":110}'],
  overwriteResource: [["cars", id, {}], `PUT /cars/${id}`, "{}"],
  deleteResource: [["cars", id], `DELETE /cars/${id}`],
};

for (const [name, [args, call, body = ""]] of Object.entries(calls)) {
  test(`${name} sends ${call}`, async () => {
    backend.answer(["the answer"]);
    assert.deepEqual(await db[name](...args), ["the answer"]);
    assert.deepEqual(backend.heard(), [{ call, body, ...(body && { type: "application/json" }) }]);
  });
}

test("createResource sends an array as one", async () => {
  await db.createResource("cars", [{ brand: "Volvo" }, { brand: "Saab" }]);
  assert.equal(backend.heard()[0].body, '[{"brand":"Volvo"},{"brand":"Saab"}]');
});

test("createResource without data sends no body", async () => {
  await db.createResource("cars");
  assert.deepEqual(backend.heard(), [{ call: "POST /cars", body: "" }]);
});

const queries = {
  "an empty query": [{}, ""],
  "absent options": [{ filter: undefined, after: null, count: false }, ""],
  "a filter": [{ filter: { brand: "Volvo & Söner", price: { $gte: 1 } } }, '?filter={"brand":"Volvo & Söner","price":{"$gte":1}}'],
  "an array to sort by": [{ sort: ["-price", "name"] }, "?sort=-price,name"],
  "a string to sort by": [{ sort: "-price,name" }, "?sort=-price,name"],
  "numbers, zero too": [{ skip: 0, limit: 30 }, "?skip=0&limit=30"],
  "an array of fields": [{ fields: ["a", "b.c"] }, "?fields=a,b.c"],
  "the last id of a page": [{ after: id }, `?after=${id}`],
  "an unknown option": [{ where: "x" }, "?where=x"],
};

for (const [name, [query, search]] of Object.entries(queries)) {
  test(`getCollection writes ${name}`, async () => {
    backend.answer([]);
    await db.getCollection("cars", query);
    const written = backend.heard()[0].call.replaceAll("+", "%20");
    assert.equal(decodeURIComponent(written), `GET /cars${search}`);
  });
}

test("getCollection counts when asked", async () => {
  backend.answer([{ _id: id }], 200, { "x-total-count": "1234" });
  const page = await db.getCollection("cars", { limit: 1, count: true });
  assert.equal(page.total, 1234);
  assert.deepEqual(page, [{ _id: id }]);
  assert.equal(JSON.stringify(page), `[{"_id":"${id}"}]`);
  assert.equal(backend.heard()[0].call, "GET /cars?limit=1&count=1");
});

test("getCollection has no total unless asked", async () => {
  backend.answer([]);
  assert.equal("total" in (await db.getCollection("cars")), false);
});
