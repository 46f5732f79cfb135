/** What is sent over a socket: now, or when there is a connection; and which answer belongs to what. */

import { BackpackError } from "./client.js";

const QUEUED = 1_000; // messages that wait for their turn
const RATE = 250; // messages a second, and at once: half of what a backend takes by default
const TURN = 100; // ms until more of the queue is sent
const PATIENCE = 30_000; // ms for an answer

// What may be asked twice; nobody knows of the rest whether it was done when a connection breaks.
const READS = ["find", "getAll", "getOne", "joinUsersChannels", "presence"];
const TRIES = 3; // of a read, which may itself be what the connection breaks of

/** @typedef {import("./index.d.ts").Message} Message */

/**
 * @typedef {object} Request
 * @property {Record<string, any>} message
 * @property {boolean} isRepeat asked by the SDK itself, after a break
 * @property {(answer: any) => void} resolve
 * @property {(reason: BackpackError) => void} reject
 * @property {number} [tries] how often it was sent
 * @property {ReturnType<typeof setTimeout>} [timer]
 */

/** @typedef {{ text: string, id?: string, request?: Request }} Item */

export class Requests {
  /** @param {import("./connection.js").Connection} connection */
  constructor(connection) {
    this.connection = connection;
    this.isReady = false;
    /** @type {BackpackError | null} why nothing can be sent any more */
    this.over = null;
    this.count = 0;
    this.allowance = RATE; // messages that may be sent now
    this.measured = Date.now();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.turn = undefined;
    /** @type {Item[]} what waits for a connection, or for those before it */
    this.queue = [];
    /** @type {Map<unknown, Request>} what was sent and not answered, by requestId */
    this.sent = new Map();
  }

  /** @param {Item} item what is sent in its turn; throws BackpackError when too much waits */
  post(item) {
    if (this.over) throw this.over;
    if (this.queue.length >= QUEUED) throw new BackpackError("Too many messages wait", { code: "queue_full" });
    this.queue.push(item);
    if (this.isReady) this.flush();
  }

  /**
   * @param {Record<string, unknown>} message
   * @returns {Promise<any>} the answer
   */
  ask(message) {
    return promised((resolve, reject) => this.post(this.item({ message, isRepeat: false, resolve, reject })));
  }

  /**
   * The same past everything that waits.
   *
   * @param {Record<string, unknown>} message
   */
  repeat(message) {
    return promised((resolve, reject) => this.transmit(this.item({ message, isRepeat: true, resolve, reject })));
  }

  /**
   * @param {Request} request
   * @returns {Item}
   */
  item(request) {
    this.count += 1;
    const id = `sdk-${this.count}`;
    try {
      return { text: JSON.stringify({ ...request.message, requestId: id }), id, request };
    } catch (cause) {
      throw new BackpackError(`Cannot be sent as JSON: ${cause}`, { code: "bad_argument", cause });
    }
  }

  /** @param {Item} item */
  transmit({ text, id, request }) {
    if (!this.connection.send(text)) return false;
    if (request) {
      const { received } = this.connection;
      request.tries = (request.tries ?? 0) + 1;
      request.timer = setTimeout(() => this.giveUp(request, received), PATIENCE);
      this.sent.set(id, request);
    }
    return true;
  }

  /**
   * @param {Request} request
   * @param {number} received how many messages had come when it was sent
   */
  giveUp(request, received) {
    request.reject(new BackpackError("No answer came in time", { code: "timeout" }));
    if (this.connection.received === received) this.connection.drop();
  }

  /** Send what waits, as far as the backend takes it now, and the rest later. */
  flush() {
    const now = Date.now();
    this.isReady = true;
    this.allowance = Math.min(RATE, this.allowance + ((now - this.measured) * RATE) / 1_000);
    this.measured = now;
    clearTimeout(this.turn);
    while (this.queue[0] && this.allowance >= 1 && this.transmit(this.queue[0])) {
      this.queue.shift();
      this.allowance -= 1;
    }
    if (this.queue[0]) this.turn = setTimeout(() => this.flush(), TURN);
  }

  /**
   * @param {Message} message with the requestId of a request
   * @returns {{ request: Request, answer: Message } | null} null when nobody here asked for it
   */
  settle({ requestId, ...answer }) {
    const request = this.sent.get(requestId);
    if (!request) return null;
    this.sent.delete(requestId);
    clearTimeout(request.timer);
    if (answer.action === "error") request.reject(new BackpackError(answer.message, /** @type {any} */ (answer)));
    else request.resolve(answer);
    return { request, answer };
  }

  /** The connection broke: of what was sent, some is asked again, and the rest is lost. */
  fail() {
    this.isReady = false;
    clearTimeout(this.turn);
    const requests = [...this.sent.values()];
    this.sent.clear();
    const [again, lost] = [requests.filter(mayRepeat), requests.filter((request) => !mayRepeat(request))];
    for (const { timer } of requests) clearTimeout(timer);
    this.queue.unshift(...again.map((request) => this.item(request)));
    for (const { reject } of lost) {
      reject(new BackpackError("The connection broke before the answer came", { code: "connection_lost" }));
    }
  }

  /** @param {BackpackError} reason why nothing will be sent any more */
  end(reason) {
    this.over = reason;
    this.fail();
    for (const { request } of this.queue.splice(0)) request?.reject(reason);
  }
}

/** @param {Request} request */
const mayRepeat = ({ message, isRepeat, tries = 0 }) => READS.includes(message.action) && !isRepeat && tries < TRIES;

/** @param {(resolve: (answer: any) => void, reject: (reason: unknown) => void) => void} work */
function promised(work) {
  const promise = new Promise(work);
  // Who does not wait for an answer sees a refusal as a message with the action "error".
  promise.catch(() => {});
  return promise;
}
