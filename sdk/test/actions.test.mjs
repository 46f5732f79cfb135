import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { clock, connectedApp } from "./sockets.mjs";

beforeEach(() => clock());
afterEach(() => mock.timers.reset());

const requests = {
  findResource: [["cars", { a: 1 }], { action: "find", collection: "cars", query: { a: 1 } }],
  getCollection: [["cars"], { action: "getAll", collection: "cars" }],
  getResource: [["cars", "1"], { action: "getOne", collection: "cars", id: "1" }],
  createResource: [["cars", { a: 1 }], { action: "create", collection: "cars", data: { a: 1 } }],
  overwriteResource: [["cars", "1", { a: 1 }], { action: "update", collection: "cars", id: "1", data: { a: 1 } }],
  updateResource: [["cars", "1", { a: 1 }], { action: "patch", collection: "cars", id: "1", data: { a: 1 } }],
  deleteResource: [["cars", "1"], { action: "delete", collection: "cars", id: "1" }],
  open: [[{ name: "Ada" }], { action: "open", name: "Ada" }],
  close: [[{ name: "Ada" }], { action: "close", name: "Ada" }],
  broadcast: [[{ move: 1 }], { action: "broadcast", move: 1 }],
  sendMessage: [[{ action: "odd", x: 1 }], { action: "odd", x: 1 }],
  joinUsersChannels: [["info"], { action: "joinUsersChannels", usersInformationCollection: "info" }],
  createChannel: [
    ["info", "rooms", "Sailing"],
    { action: "createChannel", usersInformationCollection: "info", channelType: "rooms", name: "Sailing" },
  ],
  joinChannel: [
    ["info", "rooms", "1"],
    { action: "joinChannel", usersInformationCollection: "info", channelType: "rooms", channelId: "1" },
  ],
  leaveChannel: [
    ["info", "rooms", "1"],
    { action: "leaveChannel", usersInformationCollection: "info", channelType: "rooms", channelId: "1" },
  ],
  changeChannel: [
    ["info", "rooms", "1"],
    { action: "changeChannel", usersInformationCollection: "info", channelType: "rooms", channelId: "1" },
  ],
  deleteChannel: [
    ["info", "messages", "rooms", "1"],
    {
      action: "deleteChannel",
      usersInformationCollection: "info",
      channelMessagesCollection: "messages",
      channelType: "rooms",
      channelId: "1",
    },
  ],
  presence: [["rooms", "1"], { action: "presence", channelType: "rooms", channelId: "1" }],
};

for (const [name, [args, message]] of Object.entries(requests)) {
  test(`${name} sends its message and resolves with the answer`, async () => {
    const { socket, connection } = connectedApp();
    const answer = socket.actions[name](...args);
    assert.equal("requestId" in JSON.parse(connection.sent[0]), true);
    connection.answer({ response: "the answer" });
    assert.deepEqual(connection.heard(), [message]);
    assert.deepEqual(await answer, { action: message.action, response: "the answer" });
  });
}

