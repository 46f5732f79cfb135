/** The SDK's front door: `createSdk` and the error that its calls reject with. */

import { createAuth } from "./auth.js";
import { BackpackError, Client } from "./client.js";
import { createDb } from "./db.js";
import { createSocket } from "./socket.js";
import { createStorage } from "./storage.js";

/** @type {typeof import("./index.d.ts").createSdk} */
export function createSdk(url, apiKey, { session, WebSocket = globalThis.WebSocket } = {}) {
  const client = new Client(url, apiKey, session);
  return {
    db: createDb(client),
    auth: createAuth(client),
    storage: createStorage(client),
    ws: () => createSocket(client, WebSocket),
  };
}

export { BackpackError };
