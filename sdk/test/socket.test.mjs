import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { BackpackError, createSdk } from "../index.js";
import { app, clock, connectedApp, create, FakeWebSocket, GREETING, opened, settle } from "./sockets.mjs";

let tick;
beforeEach(() => {
  tick = clock();
});
afterEach(() => mock.timers.reset());


for (const [url, address] of [
  ["http://my-app-be.bkpk.localhost:8000", "ws://my-app-be.bkpk.localhost:8000/?resume="],
  ["https://my-app-be.example.org/", "wss://my-app-be.example.org/?resume="],
  ["http://127.0.0.1:8000/~my-app/", "ws://127.0.0.1:8000/~my-app/?resume="],
]) {
  test(`${url} is reached as ${address}`, () => {
    opened.length = 0;
    createSdk(url, "k", { WebSocket: FakeWebSocket }).ws();
    assert.deepEqual([opened[0].url, opened[0].protocols], [address, []]);
  });
}

test("a token goes as a subprotocol", () => {
  assert.deepEqual(app({ session: "t0ken" }).connection.protocols, ["backpack", "backpack.session.t0ken"]);
});

test("where there is no WebSocket, ws says what to do", () => {
  assert.throws(() => createSdk("http://localhost", "k", { WebSocket: null }).ws(), TypeError);
});

test("it is open when the backend has greeted", () => {
  const { socket, seen, connection } = app();
  assert.equal(socket.readyState, 0);
  connection.greet("1-0");
  assert.equal(socket.readyState, 1);
  assert.deepEqual(seen, ["open", GREETING, "online"]);
});

test("addEventListener works as on a WebSocket", () => {
  const { socket, connection } = app();
  const types = [];
  for (const type of ["open", "message"]) socket.addEventListener(type, (event) => types.push(event.type));
  connection.greet("1-0");
  assert.deepEqual(types, ["open", "message"]);
});

test("nobody logged in: it ends, and is not tried again", () => {
  const { socket, seen, connection } = app();
  connection.readyState = 1;
  connection.end(4401);
  tick(60_000);
  assert.deepEqual(seen, ["ended", "close 4401"]);
  assert.deepEqual([socket.readyState, opened.length], [3, 1]);
});

test("an app's message is not changed by sending it", () => {
  const message = Object.freeze({ name: "Ada" });
  connectedApp().socket.actions.open(message);
});

test("answers find who asked, in any order", async () => {
  const { socket, connection } = connectedApp();
  const [one, two] = ["1", "2"].map((id) => socket.actions.getResource("cars", id));
  const [first, second] = connection.sent.map((text) => JSON.parse(text).requestId);
  connection.say({ action: "getOne", collection: "cars", response: 2, requestId: second });
  connection.say({ action: "getOne", collection: "cars", response: 1, requestId: first });
  assert.deepEqual([(await one).response, (await two).response], [1, 2]);
});

test("a refusal rejects, and is a message too", async () => {
  const { socket, seen, connection } = connectedApp();
  const refused = socket.actions.createResource("cars", { _id: "x" });
  const error = { action: "error", message: "invalid entry", code: "invalid_entry", request: "create" };
  connection.answer({ ...error, fields: { _id: "is bad" } });
  await assert.rejects(refused, { name: "BackpackError", message: "invalid entry", code: "invalid_entry", status: 0, fields: { _id: "is bad" } });
  assert.deepEqual(seen, [{ ...error, fields: { _id: "is bad" } }]);
});

test("a refusal that nobody waits for disturbs nothing", async () => {
  const unhandled = [];
  const hear = (reason) => unhandled.push(reason);
  process.on("unhandledRejection", hear);
  const { socket, connection } = connectedApp();
  socket.actions.getCollection("cars");
  connection.answer({ action: "error", message: "no", code: "forbidden" });
  socket.actions.createResource("cars", { big: 1n });
  socket.actions.getCollection("cars");
  connection.end();
  await settle();
  process.off("unhandledRejection", hear);
  assert.deepEqual(unhandled, []);
});

test("data that is no JSON is not sent", async () => {
  const { socket, connection } = connectedApp();
  await assert.rejects(socket.actions.createResource("cars", { big: 1n }), { name: "BackpackError", code: "bad_argument" });
  assert.deepEqual(connection.sent, []);
});

test("onmessage sees neither requestId nor seq", () => {
  const { socket, seen, connection } = connectedApp();
  connection.say(create("from others", { seq: "8-0" }));
  socket.actions.createResource("notes", { text: "mine" });
  connection.answer(create("mine", { seq: "9-0" }));
  socket.actions.getResource("notes", "1");
  connection.answer({ collection: "notes", response: null });
  assert.deepEqual(seen, [create("from others"), create("mine"), { action: "getOne", collection: "notes", response: null }]);
});

test("an answer and its broadcast are one message", async () => {
  const { socket, seen, connection } = connectedApp();
  const answer = socket.actions.createResource("notes", { text: "mine" });
  connection.answer(create("mine"));
  connection.say(create("mine", { seq: "8-0" }));
  assert.deepEqual(await answer, create("mine"));
  assert.deepEqual(seen, [create("mine")]);
});

test("a write that is broadcast to nobody is no message", async () => {
  const { socket, seen, connection } = connectedApp();
  const answer = socket.actions.createResource("notes", { text: "mine", broadcast: false });
  connection.answer(create("mine"));
  await answer;
  assert.deepEqual(seen, []);
});

test("an app's own requestId comes back", () => {
  const { socket, seen, connection } = connectedApp();
  socket.send('{"action":"getAll","collection":"cars","requestId":5}');
  assert.deepEqual(connection.sent, ['{"action":"getAll","collection":"cars","requestId":5}']);
  connection.say({ action: "getAll", collection: "cars", response: [], requestId: 5 });
  assert.deepEqual(seen, [{ action: "getAll", collection: "cars", response: [], requestId: 5 }]);
});

for (const odd of ["", "{", "[]", "null", '"text"', "{}", '{"action":1}', '{"action":"error"}']) {
  test(`the message ${odd} disturbs nothing`, () => {
    const { socket, seen, connection } = connectedApp();
    connection.say(odd);
    connection.say(create("next"));
    assert.deepEqual(seen.at(-1), create("next"));
    assert.equal(socket.readyState, 1);
  });
}

const message = { action: "create", collection: "messages", response: { channelType: "rooms", channelId: "1" } };
const joined = { action: "joinChannel", userId: "u", channelType: "rooms", channelId: "1" };
for (const [where, heard] of [
  [{}, [message]],
  [{ collection: "messages" }, [message]],
  [{ collection: "cars" }, []],
  [{ channelType: "rooms", channelId: "1" }, [message]],
  [{ channelId: "2" }, []],
  [{ collection: "messages", channelId: "1" }, [message]],
]) {
  test(`on("create") hears ${heard.length} where ${JSON.stringify(where)}`, () => {
    const { socket, connection } = connectedApp();
    const all = [];
    socket.on("create", where, (each) => all.push(each));
    connection.say({ ...message, seq: "8-0" });
    connection.say(joined);
    connection.say({ action: "create", collection: "other", response: null });
    assert.deepEqual(all.filter(({ collection }) => collection !== "other"), heard);
  });
}

test("on hears a channel by the message's own members", () => {
  const { socket, connection } = connectedApp();
  const all = [];
  socket.on("joinChannel", { channelType: "rooms", channelId: "1" }, (each) => all.push(each));
  connection.say(joined);
  connection.say({ ...joined, channelId: "2" });
  assert.deepEqual(all, [joined]);
});

test("on returns what ends it", () => {
  const { socket, connection } = connectedApp();
  const all = [];
  const stop = socket.on("create", (each) => all.push(each));
  connection.say(message);
  stop();
  connection.say(message);
  assert.deepEqual(all, [message]);
});

test("what is sent too early waits, in order, and goes before what onopen sends", () => {
  const { socket, connection } = app();
  socket.onopen = () => socket.actions.getCollection("third");
  socket.actions.getCollection("first");
  socket.send('{"action":"getAll","collection":"second"}');
  assert.deepEqual(connection.sent, []);
  connection.greet("1-0");
  assert.deepEqual(connection.heard().map(({ collection }) => collection), ["first", "second", "third"]);
});

test("the queue has an end", async () => {
  const { socket } = app();
  for (let number = 0; number < 1_000; number += 1) socket.send("{}");
  await assert.rejects(socket.actions.getCollection("cars"), { code: "queue_full" });
  assert.throws(() => socket.send("{}"), BackpackError);
});

test("many messages are sent as the backend takes them, in order", () => {
  const { socket, connection } = connectedApp();
  for (let number = 0; number < 1_000; number += 1) socket.send(String(number));
  const counts = [connection.sent.length];
  for (let second = 0; second < 4; second += 1) {
    tick(1_000);
    counts.push(connection.sent.length);
  }
  assert.deepEqual(counts, [250, 500, 750, 1_000, 1_000]);
  assert.deepEqual(connection.sent, [...connection.sent].sort((one, other) => one - other));
});

