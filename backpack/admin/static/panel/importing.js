/** Documents from a file into a collection: read in pieces, sent in pieces, so that a large one takes no
 * more memory than a small one. */

import { ApiError } from "./api.js";
import { STAMPS } from "./columns.js";
import { Mistake, nameProblem, parse } from "./json.js";

/** @typedef {{ line: number, why: string }} Refused */
/** @typedef {{ added: number, refused: number, refusals: Refused[], share: number }} Progress `share` from 0 to 1 */
/** @typedef {{ text: string, line: number }} Piece a document's text, and the line it begins on */
/** @typedef {{ document: Record<string, unknown>, line: number }} Entry */

const LARGEST = 4 * 1024 * 1024; // characters; four times what a document may have
const MOST = 500; // documents at once
const LONGEST = 300_000; // characters at once
const LISTED = 200; // refusals that are kept
const HOPELESS = 1_000; // refusals after which the file is taken for a wrong one

/**
 * Add the documents of `file`, JSON or NDJSON, by `send`. What is refused is told with its line, and
 * the rest goes on; what stops it all is thrown. Documents that were added by then stay.
 *
 * @param {Blob} file
 * @param {(documents: Record<string, unknown>[]) => Promise<unknown>} send
 * @param {{ keep: boolean, signal: AbortSignal, onprogress: (progress: Progress) => void }} options
 *   `keep`: with the `_id` and the times that they have
 * @returns {Promise<Progress>}
 */
export async function importFile(file, send, { keep, signal, onprogress }) {
  const sending = new Sending(send, signal, onprogress);
  const splitter = new Splitter();
  const decoder = new TextDecoder();
  const reader = /** @type {ReadableStream<Uint8Array>} */ (file.stream()).getReader();
  let read = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      read += value?.length ?? 0;
      const text = decoder.decode(value, { stream: !done });
      const pieces = [...splitter.push(text), ...(done ? splitter.end() : [])];
      for (const piece of pieces) await sending.add(piece, keep);
      if (done) await sending.flush();
      sending.tell(file.size ? read / file.size : 1);
      if (done) return sending.progress;
    }
  } finally {
    await reader.cancel();
  }
}

class Sending {
  /** @type {Progress} */
  progress = { added: 0, refused: 0, refusals: [], share: 0 };
  /** @type {Entry[]} */
  #entries = [];
  #length = 0;

  /**
   * @param {(documents: Record<string, unknown>[]) => Promise<unknown>} send
   * @param {AbortSignal} signal
   * @param {(progress: Progress) => void} onprogress
   */
  constructor(send, signal, onprogress) {
    this.send = send;
    this.signal = signal;
    this.onprogress = onprogress;
  }

  /** @param {Piece} piece @param {boolean} keep */
  async add({ text, line }, keep) {
    if (this.#entries.length >= MOST || this.#length + text.length > LONGEST) await this.flush();
    const document = this.#read(text, line);
    if (!document) return;
    if (!keep) for (const name of STAMPS) delete document[name];
    this.#entries.push({ document, line });
    this.#length += text.length;
  }

  async flush() {
    const entries = this.#entries;
    this.#entries = [];
    this.#length = 0;
    if (entries.length) await this.#deliver(entries);
    this.tell(this.progress.share);
  }

  /** @param {number} share */
  tell(share) {
    this.progress = { ...this.progress, share };
    this.onprogress(this.progress);
  }

  /**
   * @param {string} text
   * @param {number} line
   * @returns {Record<string, unknown> | null}
   */
  #read(text, line) {
    try {
      const value = parse(text, { name: nameProblem });
      if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
      this.#refuse(line, "is no document: a document is an object, {…}");
    } catch (error) {
      if (!(error instanceof Mistake)) throw error;
      this.#refuse(line + error.line - 1, `column ${error.column}: ${error.why}`);
    }
    return null;
  }

  /** @param {Entry[]} entries they are stored all or none, so the bad ones are looked for by halves */
  async #deliver(entries) {
    this.signal.throwIfAborted();
    try {
      await this.send(entries.map((entry) => entry.document));
      this.progress.added += entries.length;
    } catch (error) {
      if (!(error instanceof ApiError) || !isRefusal(error)) throw error;
      const [first] = entries;
      if (entries.length === 1 && first) return this.#refuse(first.line, error.full);
      const half = Math.ceil(entries.length / 2);
      await this.#deliver(entries.slice(0, half));
      await this.#deliver(entries.slice(half));
    }
  }

  /** @param {number} line @param {string} why */
  #refuse(line, why) {
    this.progress.refused += 1;
    if (this.progress.refusals.length < LISTED) this.progress.refusals.push({ line, why });
    if (this.progress.refused >= HOPELESS) throw new Error(`${HOPELESS} lines were refused, so the rest was not tried`);
  }
}

const OUTAGES = ["bad_gateway", "internal_error", "no_answer", "no_space", "read_only", "timeout", "unavailable", "unknown_collection"];

/** @param {ApiError} error whether it is about what was sent, and not about the other side */
const isRefusal = ({ code }) => !OUTAGES.includes(code);

/** The documents of a file while it is being read: of a JSON array, or one on each line (NDJSON). */
class Splitter {
  /** @type {"start" | "lines" | "array" | "end"} */
  #in = "start";
  #rest = "";
  #line = 1; // of the beginning of `#rest`
  #isFirst = true; // of an array's elements
  #scanned = 0; // how far `#rest` has been looked through
  #depth = 0;
  #inString = false;

  /**
   * @param {string} text the next part of the file
   * @returns {Piece[]} what has come to its end in it; throws an Error where nothing can follow
   */
  push(text) {
    this.#rest += text;
    if (this.#in === "start") this.#recognise();
    const pieces = this.#in === "lines" ? this.#lines() : this.#in === "array" ? this.#array() : [];
    if (this.#in === "end" && this.#rest.trim()) throw new Error(`Line ${this.#line}: there is something after the end of the array`);
    if (this.#rest.length > LARGEST) throw new Error(`What begins on line ${this.#line} is too long for a document`);
    return pieces;
  }

  /** @returns {Piece[]} what the end of the file ends; throws an Error when it ends too early */
  end() {
    if (this.#in === "array") throw new Error(`The file ends inside of its array, in what begins on line ${this.#line}`);
    return this.#in === "lines" ? this.push("\n") : [];
  }

  #recognise() {
    const first = this.#rest.search(/[^\s\uFEFF]/);
    if (first < 0) return;
    this.#in = this.#rest[first] === "[" ? "array" : "lines";
    this.#drop(this.#in === "array" ? first + 1 : first);
  }

  /** @param {number} length @returns {string} the beginning of what is left, which is dropped */
  #drop(length) {
    const dropped = this.#rest.slice(0, length);
    this.#rest = this.#rest.slice(length);
    this.#line += dropped.split("\n").length - 1;
    return dropped;
  }

  #lines() {
    const texts = this.#drop(this.#rest.lastIndexOf("\n") + 1).split("\n");
    const first = this.#line - texts.length + 1;
    return texts.map((text, place) => ({ text: text.trim(), line: first + place })).filter(({ text }) => text);
  }

  #array() {
    /** @type {number[]} where commas and the last bracket are */
    const ends = [];
    const marks = /\\[^]|["{}[\],]/g;
    marks.lastIndex = this.#scanned;
    let last = this.#scanned;
    for (let mark = marks.exec(this.#rest); mark && this.#in === "array"; mark = marks.exec(this.#rest)) {
      last = marks.lastIndex;
      if (this.#separates(mark[0])) ends.push(mark.index);
    }
    // A backslash at the end waits for what it escapes.
    this.#scanned = this.#rest.endsWith("\\") && last < this.#rest.length ? this.#rest.length - 1 : this.#rest.length;
    return this.#cut(ends);
  }

  /** @param {string} mark @returns {boolean} whether an element ends before it */
  #separates(mark) {
    if (mark === '"') this.#inString = !this.#inString;
    else if (this.#inString) return false;
    else if (mark === "{" || mark === "[") this.#depth += 1;
    else if (mark === ",") return this.#depth === 0;
    else if (this.#depth) this.#depth -= 1;
    else {
      this.#in = "end";
      return true;
    }
    return false;
  }

  /** @param {number[]} ends */
  #cut(ends) {
    /** @type {Piece[]} */
    const pieces = [];
    let cut = 0;
    let line = this.#line;
    for (const end of ends) {
      const text = this.#rest.slice(cut, end);
      const start = text.search(/\S|$/);
      const begins = line + text.slice(0, start).split("\n").length - 1;
      // Between the brackets of an empty array there is nothing, but after a comma there is something.
      if (text.trim() || !this.#isFirst || this.#rest[end] === ",") pieces.push({ text: text.trim(), line: begins });
      this.#isFirst = false;
      line += text.split("\n").length - 1;
      cut = end + 1;
    }
    this.#drop(cut);
    this.#scanned -= cut;
    return pieces;
  }
}
