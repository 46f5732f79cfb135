/**
 * A socket as an app sees it: like one plain WebSocket that never breaks.
 * Lives here: events, and what a new connection must be told. Not here: when to connect.
 */

import { createActions } from "./actions.js";
import { BackpackError } from "./client.js";
import { Connection, SESSION_ENDED } from "./connection.js";
import { Requests } from "./requests.js";

// Others see these too. The answer to one that is no broadcast is for the asker's promise only.
const BROADCASTS = ["create", "update", "patch", "delete", "open", "close", "broadcast"];
const JOINS = ["joinUsersChannels", "joinChannel", "createChannel"];

/** @typedef {import("./index.d.ts").Message} Message */

/**
 * @param {import("./client.js").Client} client
 * @param {import("./index.d.ts").Options["WebSocket"]} WebSocket
 * @returns {import("./index.d.ts").Socket}
 */
export function createSocket(client, WebSocket) {
  if (!WebSocket) throw new TypeError("There is no WebSocket here: createSdk(url, apiKey, { WebSocket })");
  const address = `${client.base.replace(/^http/, "ws")}/?resume=`;
  return new Socket((seq) => {
    const { session } = client;
    return new WebSocket(address + encodeURIComponent(seq), session ? ["backpack", `backpack.session.${session}`] : []);
  });
}

class Socket extends EventTarget {
  CONNECTING = /** @type {const} */ (0);
  OPEN = /** @type {const} */ (1);
  CLOSING = /** @type {const} */ (2);
  CLOSED = /** @type {const} */ (3);

  /** @type {((event: any) => void) | null} */
  onopen = null;
  /** @type {((event: any) => void) | null} */
  onmessage = null;
  /** @type {((event: any) => void) | null} */
  onerror = null;
  /** @type {((event: any) => void) | null} */
  onclose = null;

  /** @type {0 | 1 | 2 | 3} */
  #state = 0;
  #events = new EventTarget();
  #connections = 0;
  #isMissing = false; // messages: to be told when there is a connection to ask for them
  /** @type {Map<string, Message>} what each new connection must be told */
  #lasting = new Map();
  /** @type {Connection} */
  #connection;
  /** @type {Requests} */
  #requests;

  /** @param {(seq: string) => WebSocket} open makes a connection that goes on after `seq` */
  constructor(open) {
    super();
    for (const type of /** @type {const} */ (["open", "message", "error", "close"])) {
      this.addEventListener(type, (event) => this[`on${type}`]?.(event));
    }
    this.#connection = new Connection(open, {
      onConnect: (greeting) => this.#connected(greeting),
      onMessage: (message, isBroadcast) => this.#receive(message, isBroadcast),
      onReload: () => this.#miss(),
      onBreak: () => this.#broken(),
      onError: () => this.#fire("error"),
      onEnd: (end) => this.#ended(end),
    });
    this.#requests = new Requests(this.#connection);
    this.actions = createActions((message) => this.#requests.ask(message));
  }

  get readyState() {
    return this.#state;
  }

  /** @param {string} text */
  send(text) {
    if (this.#state < this.CLOSING) this.#requests.post({ text });
  }

  /**
   * @param {number} [code]
   * @param {string} [reason]
   */
  close(code, reason) {
    if (this.#state >= this.CLOSING) return;
    this.#connection.close(code, reason);
    this.#state = this.CLOSING;
  }

  /**
   * @param {string} event
   * @param {any} where left out, it is the listener
   * @param {(message: any) => void} [listener]
   */
  on(event, where, listener) {
    const [filter, call] = listener ? [where, listener] : [{}, where];
    /** @param {any} heard */
    const hear = ({ message }) => {
      if (matches(message, filter)) call(message);
    };
    this.#events.addEventListener(event, hear);
    return () => this.#events.removeEventListener(event, hear);
  }

  /** @param {Message} greeting */
  async #connected(greeting) {
    const connection = (this.#connections += 1);
    const told = [...this.#lasting.values()].map((message) => this.#requests.repeat(message));
    if (told.length) await Promise.allSettled(told);
    if (connection !== this.#connections || this.#state >= this.CLOSING) return;
    this.#state = this.OPEN;
    this.#requests.flush();
    if (connection === 1) {
      this.#fire("open");
      this.#show(greeting);
    }
    this.#emit("online");
    if (this.#isMissing) this.#miss();
  }

  /**
   * @param {Message} message
   * @param {boolean} isBroadcast
   */
  #receive(message, isBroadcast) {
    const settled = this.#requests.settle(message);
    if (!settled) return this.#show(message);
    const { request, answer } = settled;
    if (answer.action !== "error") this.#remember(request.message);
    const isHidden = request.isRepeat ? answer.action !== "presence" : BROADCASTS.includes(answer.action) && !isBroadcast;
    if (!isHidden) this.#show(answer);
  }

  /** @param {Record<string, any>} asked */
  #remember(asked) {
    const { action, usersInformationCollection, channelType, channelId } = asked;
    if (JOINS.includes(action)) {
      const again = { action: "joinUsersChannels", usersInformationCollection };
      this.#lasting.set(JSON.stringify([usersInformationCollection]), again);
    }
    if (action === "presence") this.#lasting.set(JSON.stringify([channelType, channelId]), { action, channelType, channelId });
  }

  /** @param {Message} message */
  #show(message) {
    this.#fire("message", { data: JSON.stringify(message) });
    this.#emit(message.action, message);
  }

  #miss() {
    this.#isMissing = this.#state !== this.OPEN;
    if (!this.#isMissing) this.#emit("reload");
  }

  #broken() {
    this.#connections += 1; // whatever still waits for the one that broke, waits in vain
    const wasOpen = this.#state === this.OPEN;
    if (wasOpen) this.#state = this.CONNECTING;
    this.#requests.fail();
    if (wasOpen) this.#emit("offline");
  }

  /** @param {import("./connection.js").End} end */
  #ended(end) {
    const isOver = end.code === SESSION_ENDED;
    this.#state = this.CLOSED;
    this.#requests.end(
      isOver
        ? new BackpackError("The session has ended", { code: "session_ended" })
        : new BackpackError("The socket is closed", { code: "closed" }),
    );
    if (isOver) this.#emit("ended");
    this.#fire("close", end);
  }

  /**
   * @param {string} type
   * @param {object} [details]
   */
  #fire(type, details) {
    this.dispatchEvent(Object.assign(new Event(type), details));
  }

  /**
   * @param {string} name
   * @param {Message} [message]
   */
  #emit(name, message) {
    this.#events.dispatchEvent(Object.assign(new Event(name), { message }));
  }
}

/**
 * Whether a message, or the record in it, has everything that `where` names.
 *
 * @param {Message | undefined} message
 * @param {Record<string, unknown>} where
 */
function matches(message, where) {
  return Object.entries(where).every(([name, value]) => (message?.[name] ?? message?.response?.[name]) === value);
}
