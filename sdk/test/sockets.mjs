/** A WebSocket without a network: the test is the backend, and turns the clock. */

import { mock } from "node:test";

import { createSdk } from "../index.js";

export const GREETING = { action: "connection", response: "Websocket connection established" };
export const LOST = { name: "BackpackError", code: "connection_lost", status: 0 };
export const create = (text, more) => ({ action: "create", collection: "notes", response: { _id: "1", text }, ...more });

/** Every socket that was opened, oldest first. */
export const opened = [];

export class FakeWebSocket {
  readyState = 0;
  sent = [];

  constructor(url, protocols) {
    Object.assign(this, { url, protocols });
    opened.push(this);
  }

  send(text) {
    this.sent.push(text);
  }

  close(code, reason) {
    this.closedWith = [code, reason];
    this.readyState = 2;
  }

  /** The backend accepts the connection. */
  greet(seq) {
    this.readyState = 1;
    this.say({ ...GREETING, ...(seq && { seq }) });
  }

  /** The backend sends a message. */
  say(message) {
    this.onmessage({ data: typeof message === "string" ? message : JSON.stringify(message) });
  }

  /** The backend answers the request that was sent last. */
  answer(message) {
    const { action, requestId } = JSON.parse(this.sent.at(-1));
    this.say({ action, ...message, requestId });
  }

  /** The connection ends. */
  end(code = 1006, reason = "") {
    this.readyState = 3;
    this.onclose({ code, reason, wasClean: code !== 1006 });
  }

  /** What was sent since the last time, without the ids of requests. */
  heard() {
    return this.sent.splice(0).map((text) => JSON.parse(text, (name, value) => (name === "requestId" ? undefined : value)));
  }
}

/** A socket in an app, the newest connection below it, and what the app has seen. */
export function app(options = {}) {
  opened.length = 0;
  const socket = createSdk("http://127.0.0.1:8000/~my-app/", "k", { WebSocket: FakeWebSocket, ...options }).ws();
  const seen = [];
  socket.onopen = () => seen.push("open");
  socket.onmessage = ({ data }) => seen.push(JSON.parse(data));
  socket.onerror = () => seen.push("error");
  socket.onclose = ({ code }) => seen.push(`close ${code}`);
  for (const event of ["online", "offline", "reload", "ended"]) socket.on(event, () => seen.push(event));
  return {
    socket,
    seen,
    get connection() {
      return opened.at(-1);
    },
  };
}

/** An app that has connected, with nothing seen yet. */
export function connectedApp(seq = "7-0") {
  const made = app();
  made.connection.greet(seq);
  made.seen.length = 0;
  return made;
}

/** Let promises that are settled reach those who wait for them. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));

/** Take the place of timers; returns what moves them on by milliseconds. */
export function clock() {
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  return (ms) => mock.timers.tick(ms);
}
