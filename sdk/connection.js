/**
 * A connection that lasts: opened again after a break, from where it broke off.
 * Lives here: when to connect, and `seq`. Not here: what the messages mean.
 */

import { decode } from "./client.js";

const GREETING = 10_000; // ms in which a new connection must be greeted
const FIRST_PAUSE = 250; // ms before the second attempt; twice as long before each that follows
const LONGEST_PAUSE = 15_000; // ms
const STEADY = 5_000; // ms that a connection must last for the pauses to start anew

export const SESSION_ENDED = 4401; // nobody is logged in (any more): another attempt would end the same way
const BROKEN = { code: 1006, reason: "", wasClean: false };

/** @typedef {import("./index.d.ts").Message} Message */
/** @typedef {{ code: number, reason: string, wasClean: boolean }} End */

/**
 * @typedef {object} Owner
 * @property {(greeting: Message) => void} onConnect
 * @property {(message: Message, isBroadcast: boolean) => void} onMessage
 * @property {() => void} onReload messages are missing that came during a break
 * @property {() => void} onBreak it connects again
 * @property {() => void} onError
 * @property {(end: End) => void} onEnd it does not connect again
 */

export class Connection {
  /**
   * @param {(seq: string) => WebSocket} open
   * @param {Owner} owner
   */
  constructor(open, owner) {
    this.open = open;
    this.owner = owner;
    this.seq = ""; // of the last broadcast that was heard
    this.start = ""; // where the backend was when it greeted
    this.received = 0; // messages
    this.failures = 0; // in a row
    this.isGreeted = false;
    this.isResuming = false;
    this.isClosing = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.hurry = this.hurry.bind(this);
    // Browsers tell when the network is back.
    globalThis.addEventListener?.("online", this.hurry);
    /** @type {WebSocket | null} null between two attempts */
    this.socket = null;
    this.connect();
  }

  connect() {
    const socket = this.open(this.seq);
    this.socket = socket;
    this.isGreeted = false;
    this.wait(GREETING, () => this.drop());
    socket.onmessage = ({ data }) => this.receive(decode(data));
    socket.onerror = () => this.owner.onError();
    socket.onclose = ({ code, reason, wasClean }) => this.lose({ code, reason, wasClean });
  }

  /**
   * @param {number} pause ms
   * @param {() => void} work in place of what was waited for before
   */
  wait(pause, work) {
    clearTimeout(this.timer);
    this.timer = setTimeout(work, pause);
  }

  /** @param {any} frame */
  receive(frame) {
    if (typeof frame?.action !== "string") return;
    this.received += 1;
    const { seq, ...message } = frame;
    if (!this.isGreeted) return this.greet(message, seq);
    const isReload = message.action === "reload";
    if (isReload) this.seq = this.start;
    if (seq) this.seq = seq;
    if (isReload) this.owner.onReload();
    else this.owner.onMessage(message, Boolean(seq));
  }

  /**
   * @param {Message} greeting
   * @param {string} [seq]
   */
  greet(greeting, seq = "") {
    const isUnsure = this.isResuming && !this.seq;
    this.isGreeted = this.isResuming = true;
    this.start = seq;
    // On a connection that resumes, what was missed stands between this.seq and the start.
    this.seq ||= seq;
    this.wait(STEADY, () => (this.failures = 0));
    this.owner.onConnect(greeting);
    if (isUnsure) this.owner.onReload();
  }

  /**
   * @param {string} text
   * @returns {boolean} whether it could be sent
   */
  send(text) {
    if (this.socket?.readyState !== 1) return false;
    this.socket.send(text);
    return true;
  }

  /** Take the connection for dead. */
  drop() {
    const socket = this.socket;
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    socket.onerror = () => {}; // the package ws makes an exception of an error that nobody hears
    socket.close();
    this.lose(BROKEN);
  }

  /** @param {End} end */
  lose(end) {
    this.socket = null;
    if (this.isClosing || end.code === SESSION_ENDED) return this.end(end);
    const pause = Math.min(FIRST_PAUSE * 2 ** this.failures, LONGEST_PAUSE);
    this.failures += 1;
    // Not all at once: whoever was on a server that restarts is back at another moment.
    this.wait(pause * (0.5 + Math.random() / 2), () => this.connect());
    if (this.isGreeted) this.owner.onBreak();
  }

  hurry() {
    if (!this.socket && !this.isClosing) this.wait(0, () => this.connect());
  }

  /**
   * @param {number} [code]
   * @param {string} [reason]
   */
  close(code, reason) {
    if (this.isClosing) return;
    this.socket?.close(code, reason);
    this.isClosing = true;
    if (!this.socket) this.wait(0, () => this.end(BROKEN));
  }

  /** @param {End} end */
  end(end) {
    clearTimeout(this.timer);
    this.isClosing = true;
    globalThis.removeEventListener?.("online", this.hurry);
    this.owner.onEnd(end);
  }
}
