/** The live console of a backpack: one websocket, opened again when it breaks. */

import { ApiError, api, path } from "./api.js";
import { byId, el, fill } from "./dom.js";
import { read } from "./json.js";

/** @typedef {"connecting" | "open" | "closed"} State */
/** @typedef {{ask: Ask, on: On, onstate: OnState, close: () => void}} Console */
/** @typedef {(action: "get" | "post" | "put" | "patch" | "delete", model: string, data?: unknown, more?: Record<string, unknown>) => Promise<any>} Ask */
/** @typedef {(model: string, listener: (event: any) => void) => () => void} On */
/** @typedef {(listener: (state: State) => void) => () => void} OnState */
/** @typedef {{text: string, isSent: boolean, resolve: (data: any) => void, reject: (error: Error) => void, timer?: ReturnType<typeof setTimeout>}} Waiting */

const PATIENCE = 30_000; // ms until an answer
const LONGEST = 10_000; // ms between two tries to connect
/** Messages whose answers the page has brought along, with the data of these; each is good for once.
 * @type {[Record<string, unknown>, any][]} */
const foreseen = read(document.getElementById("foreseen")?.textContent || "[]");
const isForeseen = foreseen.length > 0;

const BROKEN = "The connection to the backpack broke. It is being opened again; try once more.";

/**
 * `ask` answers the data of the answer, and fails with an ApiError. What is asked before the
 * connection is there waits for it: a change only for as long as an answer may take. `on` is for
 * events of a model ("*" for all), `onstate` for the connection: it is called at once and at every
 * change. Both answer a function that ends it. After a break pages ask again for what they show
 * when the state is "open".
 *
 * @param {string} name
 * @returns {Console}
 */
export function connect(name) {
  return new Connection(name).door;
}

/**
 * Say in the page whether it hears of changes, and ask anew when it has not.
 *
 * @param {Console} live
 * @param {() => void} reload what is shown has to be asked for again: changes may have been missed
 */
export function whenMissed(live, reload) {
  const said = byId("connection", "p");
  let isOld = isForeseen;
  live.onstate((state) => {
    said.className = state === "open" ? "state up" : "state degraded";
    said.textContent = state === "open" ? "Live" : "Connecting";
    if (state === "open" && isOld) reload();
    isOld ||= state === "open";
  });
  live.on("*", ({ action }) => action === "reload" && reload());
}

/** @param {Record<string, unknown>} one @param {Record<string, unknown>} other */
const isSame = (one, other) => Object.keys({ ...one, ...other }).every((name) => one[name] === other[name]);

class Connection {
  /** @type {State} */
  #state = "connecting";
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {Map<string, Waiting>} */
  #waiting = new Map();
  /** @type {Map<string, Set<(event: any) => void>>} */
  #listeners = new Map();
  /** @type {Set<(state: State) => void>} */
  #watchers = new Set();
  #last = 0;
  #failures = 0;
  #end = "Closed"; // why, once it is

  /** @param {string} name */
  constructor(name) {
    this.name = name;
    /** @type {Console} */
    this.door = {
      ask: (action, model, data, more) => this.#ask({ action, model, data, ...more }),
      on: (model, listener) => this.#on(model, listener),
      onstate: (listener) => this.#onstate(listener),
      close: () => this.#close(),
    };
    this.#open();
  }

  #open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}${path`/backpacks/${this.name}/console`}`);
    this.#socket = socket;
    socket.onopen = () => {
      this.#failures = 0;
      foreseen.length = 0; // from now on there is what is newer
      for (const [id, waiting] of this.#waiting) this.#send(id, waiting);
      this.#turn("open");
    };
    socket.onmessage = ({ data }) => this.#take(read(data));
    socket.onclose = () => this.#broke();
  }

  #broke() {
    if (this.#state === "closed") return;
    for (const [id, { isSent }] of [...this.#waiting]) {
      if (isSent) this.#settle(id)?.reject(new ApiError(BROKEN));
    }
    this.#turn("connecting");
    this.#failures += 1;
    // Browsers do not tell why a socket was refused; a session that has ended leads to the login.
    if (this.#failures > 1) api("GET", path`/api/backpacks/${this.name}`).catch(({ status }) => status === 404 && this.#leave());
    const wait = Math.min(LONGEST, 250 * 2 ** this.#failures) * (0.5 + Math.random() / 2);
    setTimeout(() => this.#state !== "closed" && this.#open(), wait);
  }

  /** The developer may not see the backpack, or there is none: what the page shows of it goes too. */
  #leave() {
    this.#end = `${this.name} has been deleted, or is not shared with you any more.`;
    this.#close();
    fill(byId("content", "main"), el("div", { class: "empty card", role: "alert" }, el("p", {}, this.#end), el("a", { class: "button", href: "/" }, "Backpacks")));
  }

  /** @param {Record<string, unknown>} message */
  #ask(message) {
    const known = foreseen.findIndex(([asked]) => isSame(asked, message));
    if (known >= 0) return Promise.resolve(foreseen.splice(known, 1)[0]?.[1]);
    if (this.#state === "closed") return Promise.reject(new ApiError(this.#end));
    this.#last += 1;
    const requestId = String(this.#last);
    const text = JSON.stringify({ ...message, requestId });
    return new Promise((resolve, reject) => {
      /** @type {Waiting} */
      const waiting = { text, isSent: false, resolve, reject };
      this.#waiting.set(requestId, waiting);
      if (this.#state === "open") this.#send(requestId, waiting);
      else if (message.action !== "get") this.#limit(requestId, waiting);
    });
  }

  /** @param {string} id @param {Waiting} waiting */
  #send(id, waiting) {
    this.#socket?.send(waiting.text);
    waiting.isSent = true;
    this.#limit(id, waiting);
  }

  /** @param {string} id @param {Waiting} waiting */
  #limit(id, waiting) {
    clearTimeout(waiting.timer);
    waiting.timer = setTimeout(() => {
      this.#settle(id)?.reject(new ApiError("There was no answer in time. Try again.", { code: "timeout" }));
    }, PATIENCE);
  }

  /** @param {{type: string, model: string, data: any, requestId?: string}} message */
  #take(message) {
    if (message.type === "event") {
      for (const key of [message.model, "*"]) {
        for (const listener of [...(this.#listeners.get(key) ?? [])]) listener(message);
      }
      return;
    }
    const waiting = this.#settle(message.requestId ?? "");
    if (message.type === "success") waiting?.resolve(message.data);
    else waiting?.reject(new ApiError(message.data.message, message.data));
  }

  /** @param {string} id */
  #settle(id) {
    const waiting = this.#waiting.get(id);
    if (waiting) clearTimeout(waiting.timer);
    this.#waiting.delete(id);
    return waiting;
  }

  /** @type {On} */
  #on(model, listener) {
    const listeners = this.#listeners.get(model) ?? new Set();
    this.#listeners.set(model, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** @type {OnState} */
  #onstate(listener) {
    this.#watchers.add(listener);
    listener(this.#state);
    return () => this.#watchers.delete(listener);
  }

  /** @param {State} state */
  #turn(state) {
    if (state === this.#state) return;
    this.#state = state;
    for (const watcher of [...this.#watchers]) watcher(state);
  }

  #close() {
    this.#turn("closed");
    this.#socket?.close();
    for (const id of [...this.#waiting.keys()]) this.#settle(id)?.reject(new ApiError(this.#end));
  }
}
