import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { app, clock, connectedApp, create, GREETING, LOST, opened, settle } from "./sockets.mjs";

let tick;
beforeEach(() => {
  tick = clock();
});
afterEach(() => mock.timers.reset());

/** The backend goes away, and is back after a while. */
async function restart(made, seq) {
  made.connection.end(1012);
  tick(1_000);
  made.connection.greet(seq);
  await settle();
}

/** The same, with all that is asked after it answered. */
async function restartAndAnswer(made, seq) {
  made.connection.end(1012);
  tick(1_000);
  made.connection.greet(seq);
  for (const text of made.connection.sent) {
    const { requestId, action } = JSON.parse(text);
    made.connection.say({ action, requestId, ...(action === "presence" ? { users: ["u"] } : { usersChannels: [] }) });
  }
  await settle();
}

test("a break is hidden from the handlers of a plain WebSocket", async () => {
  const made = connectedApp();
  made.connection.say(create("before", { seq: "8-0" }));
  made.connection.end(1006);
  assert.equal(made.socket.readyState, 0);
  tick(1_000);
  made.connection.greet("12-0");
  await settle();
  assert.equal(made.socket.readyState, 1);
  assert.deepEqual(made.seen, [create("before"), "offline", "online"]);
});

test("a new connection resumes after the last broadcast", async () => {
  const made = connectedApp("7-0");
  await restart(made, "9-0");
  assert.equal(made.connection.url, "ws://127.0.0.1:8000/~my-app/?resume=7-0");
  made.connection.say(create("missed", { seq: "8-0" }));
  await restart(made, "9-0");
  assert.equal(made.connection.url.split("?")[1], "resume=8-0");
  made.connection.say({ action: "getAll", collection: "cars", response: [] });
  await restart(made, "9-0");
  assert.equal(made.connection.url.split("?")[1], "resume=8-0");
});

test("a seq travels encoded", async () => {
  const made = connectedApp("a b&c");
  await restart(made, "");
  assert.equal(made.connection.url.split("?")[1], "resume=a%20b%26c");
});

test("the session's token of that moment is used", async () => {
  const made = app({ session: "t0ken" });
  made.connection.greet("1-0");
  await restart(made, "1-0");
  assert.deepEqual(made.connection.protocols, ["backpack", "backpack.session.t0ken"]);
});

test("reload comes when there is a connection to read again over", async () => {
  const made = connectedApp("7-0");
  made.connection.end(1012);
  tick(1_000);
  made.connection.greet("3-9");
  made.connection.say({ action: "reload" });
  await settle();
  assert.deepEqual(made.seen, ["offline", "online", "reload"]);
  await restart(made, "4-0");
  assert.equal(made.connection.url.split("?")[1], "resume=3-9");
});

test("a backend that tells no seq may always have said something", async () => {
  const made = connectedApp("");
  await restart(made, "");
  assert.deepEqual(made.seen, ["offline", "online", "reload"]);
});

test("what was asked and not answered is lost, what was not sent is not", async () => {
  const made = connectedApp();
  const lost = made.socket.actions.createResource("notes", {});
  made.connection.end(1006);
  const kept = made.socket.actions.getCollection("notes");
  await assert.rejects(lost, LOST);
  tick(1_000);
  made.connection.greet("8-0");
  await settle();
  assert.deepEqual(made.connection.sent.map((text) => JSON.parse(text).action), ["getAll"]);
  made.connection.answer({ response: [] });
  assert.deepEqual((await kept).response, []);
});

test("what only reads is asked again, first of all", async () => {
  const made = connectedApp();
  const asked = [made.socket.actions.getCollection("notes"), made.socket.actions.presence("rooms", "1")];
  made.connection.end(1006);
  made.socket.actions.getResource("notes", "1");
  tick(1_000);
  made.connection.greet("8-0");
  await settle();
  assert.deepEqual(made.connection.sent.map((text) => JSON.parse(text).action), ["getAll", "presence", "getOne"]);
  for (const text of made.connection.sent) {
    const { action, requestId } = JSON.parse(text);
    made.connection.say({ action, response: [], requestId });
  }
  assert.deepEqual((await Promise.all(asked)).map(({ action }) => action), ["getAll", "presence"]);
});

test("a read of which the connection breaks each time is given up", async () => {
  const made = connectedApp();
  const answer = made.socket.actions.findResource("notes", { text: "too long" });
  for (let round = 0; round < 3; round += 1) {
    assert.equal(made.connection.sent.length, 1);
    await restart(made, "8-0");
  }
  await assert.rejects(answer, LOST);
  assert.deepEqual(made.connection.sent, []);
});

test("a socket that is closing sends nothing", () => {
  const made = connectedApp();
  made.connection.readyState = 2;
  made.socket.send('{"action":"getAll"}');
  assert.deepEqual(made.connection.sent, []);
  made.connection.end();
  tick(1_000);
  made.connection.greet("8-0");
  assert.deepEqual(made.connection.heard(), [{ action: "getAll" }]);
});

test("channels are joined again before anything else is sent", async () => {
  const made = connectedApp();
  made.socket.actions.joinChannel("info", "rooms", "1");
  made.connection.answer({ channelType: "rooms", channelId: "1" });
  made.socket.actions.createChannel("info", "rooms", "Sailing");
  made.connection.answer({ response: {} });
  made.socket.actions.joinUsersChannels("other");
  made.connection.answer({ usersChannels: [] });
  made.seen.length = 0;
  made.connection.end(1012);
  made.socket.actions.getCollection("cars");
  tick(1_000);
  made.connection.greet("9-0");
  assert.deepEqual(made.connection.sent.map((text) => JSON.parse(text).usersInformationCollection), ["info", "other"]);
  for (const text of made.connection.sent.slice()) {
    made.connection.say({ action: "joinUsersChannels", usersChannels: [], requestId: JSON.parse(text).requestId });
  }
  await settle();
  assert.equal(JSON.parse(made.connection.sent.at(-1)).action, "getAll");
  assert.deepEqual(made.seen, ["offline", "online"]);
});

test("a join that was refused is not repeated", async () => {
  const made = connectedApp();
  made.socket.actions.joinChannel("info", "rooms", "1");
  made.connection.answer({ action: "error", message: "There is no such channel", code: "not_found" });
  await restart(made, "8-0");
  assert.deepEqual(made.connection.sent, []);
});

test("a break while joining again starts over", async () => {
  const made = connectedApp();
  made.socket.actions.joinUsersChannels("info");
  made.connection.answer({ usersChannels: [] });
  made.seen.length = 0;
  await restart(made, "8-0");
  await restart(made, "8-0");
  assert.deepEqual(made.seen, ["offline"]);
  await restartAndAnswer(made, "8-0");
  assert.deepEqual(made.connection.heard(), [{ action: "joinUsersChannels", usersInformationCollection: "info" }]);
  assert.deepEqual(made.seen, ["offline", "online"]);
});

test("presence is asked again, and its answer is a message", async () => {
  const made = connectedApp();
  made.socket.actions.presence();
  made.connection.answer({ users: [] });
  made.seen.length = 0;
  await restartAndAnswer(made, "8-0");
  assert.deepEqual(made.connection.heard(), [{ action: "presence" }]);
  assert.deepEqual(made.seen, ["offline", { action: "presence", users: ["u"] }, "online"]);
});

test("pauses grow to a limit, and differ", () => {
  const { connection } = connectedApp();
  connection.end();
  const pauses = [];
  for (let attempt = 0; attempt < 9; attempt += 1) {
    const before = opened.length;
    let waited = 0;
    while (opened.length === before) {
      tick(5);
      waited += 5;
    }
    pauses.push(waited);
    opened.at(-1).end();
  }
  [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000].forEach((longest, index) => {
    assert.ok(pauses[index] >= longest / 2 && pauses[index] <= longest + 5, `${index}: ${pauses[index]}`);
  });
});

test("pauses start anew after a connection that lasted", () => {
  const made = connectedApp();
  for (let round = 0; round < 6; round += 1) {
    made.connection.end();
    tick(20_000);
  }
  made.connection.greet("8-0");
  tick(5_000);
  made.connection.end();
  const before = opened.length;
  tick(250);
  assert.equal(opened.length, before + 1);
});

test("a connection that is not greeted is given up", () => {
  const made = app();
  const { connection } = made;
  tick(10_000);
  assert.deepEqual(connection.closedWith, [undefined, undefined]);
  tick(1_000);
  assert.equal(opened.length, 2);
  made.connection.greet("1-0");
  assert.deepEqual(made.seen, ["open", GREETING, "online"]);
});

test("an answer that does not come is no longer waited for", async () => {
  const { socket, connection } = connectedApp();
  const answer = socket.actions.getCollection("cars");
  connection.say(create("something else"));
  tick(30_000);
  await assert.rejects(answer, { code: "timeout" });
  assert.equal(socket.readyState, 1);
});

test("a connection on which nothing comes any more is given up", async () => {
  const made = connectedApp();
  const answer = made.socket.actions.getCollection("cars");
  tick(30_000);
  await assert.rejects(answer, { code: "timeout" });
  tick(1_000);
  assert.equal(opened.length, 2);
});

test("a network that is back is tried at once", async () => {
  const listeners = new EventTarget();
  globalThis.addEventListener = listeners.addEventListener.bind(listeners);
  globalThis.removeEventListener = listeners.removeEventListener.bind(listeners);
  const made = connectedApp();
  delete globalThis.addEventListener;
  listeners.dispatchEvent(new Event("online"));
  assert.equal(opened.length, 1);
  for (let round = 0; round < 6; round += 1) {
    made.connection.end();
    tick(20_000);
  }
  made.connection.end();
  const before = opened.length;
  listeners.dispatchEvent(new Event("online"));
  tick(0);
  assert.equal(opened.length, before + 1);
  made.socket.close();
  made.connection.end();
  listeners.dispatchEvent(new Event("online"));
  tick(60_000);
  assert.equal(opened.length, before + 1);
  delete globalThis.removeEventListener;
});

test("close is for good", async () => {
  const { socket, seen, connection } = connectedApp();
  const answer = socket.actions.createResource("cars", {});
  const read = socket.actions.getCollection("cars");
  socket.close(1000, "bye");
  assert.deepEqual([connection.closedWith, socket.readyState], [[1000, "bye"], 2]);
  const late = socket.actions.getCollection("cars");
  connection.end(1000);
  tick(60_000);
  assert.deepEqual([seen, socket.readyState, opened.length], [["close 1000"], 3, 1]);
  await assert.rejects(answer, LOST);
  await assert.rejects(read, { code: "closed" });
  await assert.rejects(late, { code: "closed" });
  await assert.rejects(socket.actions.getCollection("cars"), { code: "closed" });
  socket.send("{}");
  socket.close();
});

test("close works between two attempts", () => {
  const made = connectedApp();
  made.connection.end();
  made.seen.length = 0;
  made.socket.close();
  tick(60_000);
  assert.deepEqual([made.seen, made.socket.readyState, opened.length], [["close 1006"], 3, 1]);
});

test("a code that WebSocket refuses leaves the socket open", () => {
  const { socket, connection } = connectedApp();
  connection.close = () => {
    throw new RangeError("no such code");
  };
  assert.throws(() => socket.close(1), RangeError);
  assert.equal(socket.readyState, 1);
});

test("a session that ends is no break", async () => {
  const made = connectedApp();
  made.connection.end(1006);
  const waiting = made.socket.actions.getCollection("cars");
  tick(1_000);
  made.seen.length = 0;
  made.connection.end(4401);
  await assert.rejects(waiting, { code: "session_ended" });
  assert.deepEqual(made.seen, ["ended", "close 4401"]);
});

test("an error below is an error event", () => {
  const { seen, connection } = app();
  connection.onerror({});
  assert.deepEqual(seen, ["error"]);
});
