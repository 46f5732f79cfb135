/**
 * JSON that people write: what is wrong with it, and where. Integers that a JavaScript number cannot
 * hold keep their digits, in browsers that can.
 */

/** @typedef {{ rawJSON: string }} Exact an integer beyond 2^53, by its digits */

const DEEPEST = 64;
const LARGEST = 2n ** 63n;
const NUMBER = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;
const WORD = /[A-Za-z_$][\w$.-]*/y;
// eslint-disable-next-line no-control-regex -- JSON has none in a string
const PLAIN = { '"': /[^"\\\u0000-\u001f]*/y, "'": /[^'\\\u0000-\u001f]*/y };
const SHORT = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };
const LITERALS = new Map(/** @type {[string, unknown][]} */ ([["true", true], ["false", false], ["null", null]]));

const exact = /** @type {{ rawJSON?: (text: string) => Exact, isRawJSON?: (value: unknown) => boolean }} */ (JSON);

/** What is wrong in a text: `at` counts characters from 0, `line` and `column` from 1. */
export class Mistake extends Error {
  /**
   * @param {string} why
   * @param {string} text
   * @param {number} at
   */
  constructor(why, text, at) {
    const before = text.slice(0, at).split("\n");
    const line = before.length;
    const column = (before.at(-1) ?? "").length + 1;
    super(`Line ${line}, column ${column}: ${why}`);
    this.why = why;
    this.at = at;
    this.line = line;
    this.column = column;
  }
}

/** What is wrong with the name of a document's field, as the server has it. @param {string} name */
export function nameProblem(name) {
  if (name === "") return "a name cannot be empty";
  if (name.startsWith("$")) return "a name cannot start with $";
  return /[.\0]/.test(name) ? "a name cannot contain a dot" : "";
}

/** @param {unknown} value @returns {value is Exact} */
export const isExact = (value) => exact.isRawJSON?.(value) ?? false;

/** @param {string} digits */
function integer(digits) {
  const value = Number(digits);
  return Number.isSafeInteger(value) || !exact.rawJSON ? value : exact.rawJSON(digits);
}

/** @param {unknown} value @returns {boolean} whether an integer in it has lost its last digits */
export function isRounded(value) {
  if (typeof value === "number") return Number.isInteger(value) && Math.abs(value) > Number.MAX_SAFE_INTEGER && Math.abs(value) < 2 ** 63;
  return typeof value === "object" && value !== null && !isExact(value) && Object.values(value).some(isRounded);
}

/**
 * The value of a message from the server.
 *
 * @param {string} text
 * @returns {any}
 */
export function read(text) {
  if (!exact.rawJSON || !/\d{16}/.test(text)) return JSON.parse(text);
  const reviver = (/** @type {string} */ _, /** @type {unknown} */ value, /** @type {{ source?: string }} */ { source = "" }) =>
    typeof value === "number" && /^-?\d+$/.test(source) ? integer(source) : value;
  return JSON.parse(text, /** @type {any} */ (reviver));
}

/**
 * @param {unknown} value
 * @param {number} [indent]
 */
export const write = (value, indent = 2) => JSON.stringify(value, null, indent);

/**
 * The value of a text that somebody wrote; throws a Mistake. Names may be there once.
 *
 * @param {string} text
 * @param {{ relaxed?: boolean, name?: (name: string, depth: number) => string }} [options] `relaxed`:
 *   names without quotes, single quotes and commas at the end are fine; `name`: what is wrong with one
 * @returns {any}
 */
export function parse(text, options = {}) {
  return new Reading(text, options).whole();
}

class Reading {
  /**
   * @param {string} text
   * @param {{ relaxed?: boolean, name?: (name: string, depth: number) => string }} options
   */
  constructor(text, { relaxed = false, name = () => "" }) {
    this.text = text;
    this.relaxed = relaxed;
    this.problem = name;
    this.at = 0;
  }

  whole() {
    const value = this.value(1);
    if (this.peek()) throw this.mistake(`${this.here()} cannot stand after the end`);
    return value;
  }

  /** @param {string} why @param {number} [at] */
  mistake(why, at = this.at) {
    return new Mistake(why, this.text, at);
  }

  /** The next character that is no space, or nothing at the end. */
  peek() {
    while (" \t\n\r".includes(this.text[this.at] ?? "x")) this.at += 1;
    return this.text[this.at] ?? "";
  }

  here() {
    const found = this.text.slice(this.at, this.at + 12).split(/\s/)[0];
    return found ? `“${found}”` : "the end";
  }

  /** @param {string} character */
  take(character) {
    if (this.peek() !== character) return false;
    this.at += 1;
    return true;
  }

  /** @param {RegExp} pattern a sticky one */
  match(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found) this.at = pattern.lastIndex;
    return found;
  }

  /** @param {number} depth @returns {unknown} */
  value(depth) {
    const first = this.peek();
    if (first === "{" || first === "[") {
      if (depth > DEEPEST) throw this.mistake(`nested deeper than ${DEEPEST} levels`);
      return first === "{" ? this.object(depth) : this.array(depth);
    }
    if (this.quoted(first)) return this.string();
    if (first === "-" || (first >= "0" && first <= "9")) return this.number();
    return this.literal();
  }

  /** @param {string} first */
  quoted(first) {
    return first === '"' || (this.relaxed && first === "'");
  }

  literal() {
    const start = this.at;
    const word = this.match(WORD)?.[0] ?? "";
    if (LITERALS.has(word)) return LITERALS.get(word);
    const next = word && this.peek();
    this.at = start;
    if (next === ":") throw this.mistake(`braces are missing: {"${word}": …}`);
    if (next === "(") throw this.mistake(`${word}(…) is no JSON; a time is a string: "2026-01-31T12:00:00Z"`);
    if (this.peek() === "'") throw this.mistake('a string stands in double quotes: "…"');
    throw this.mistake(word ? `a string stands in quotes: "${word}"` : `a value is missing before ${this.here()}`);
  }

  number() {
    const start = this.at;
    const found = this.match(NUMBER);
    if (!found || /[\w.]/.test(this.text[this.at] ?? "")) throw this.mistake("this is no number as JSON has them", start);
    const [digits, fraction, exponent] = found;
    if (fraction || exponent) {
      if (!Number.isFinite(Number(digits))) throw this.mistake("this number is too large", start);
      return Number(digits);
    }
    const size = BigInt(digits);
    if (size >= LARGEST || size < -LARGEST) throw this.mistake("this integer does not fit into 64 bits", start);
    const value = integer(digits);
    if (isRounded(value)) throw this.mistake("this browser cannot keep an integer beyond 2^53", start);
    return value;
  }

  string() {
    const start = this.at;
    const quote = /** @type {'"' | "'"} */ (this.text[this.at]);
    this.at += 1;
    let value = "";
    for (;;) {
      value += this.match(PLAIN[quote])?.[0] ?? "";
      const next = this.text[this.at];
      if (next === undefined) throw this.mistake("this string does not end", start);
      if (next < " ") throw this.mistake(next === "\n" ? "a string ends on its line; a new line in it is \\n" : "control characters are written \\u00…");
      this.at += 1;
      if (next === quote) return value;
      value += this.escaped();
    }
  }

  escaped() {
    const character = this.text[this.at] ?? "";
    this.at += 1;
    if (character === "u") {
      const code = this.match(/[0-9a-fA-F]{4}/y);
      if (!code) throw this.mistake("\\u needs four hex digits");
      return String.fromCharCode(parseInt(code[0], 16));
    }
    if (character && '"\\/'.includes(character)) return character;
    if (character === "'" && this.relaxed) return character;
    if (!(character in SHORT)) throw this.mistake(`\\${character} is no escape; a backslash is written \\\\`, this.at - 2);
    return SHORT[/** @type {keyof typeof SHORT} */ (character)];
  }

  /** @param {number} depth */
  array(depth) {
    this.at += 1;
    /** @type {unknown[]} */
    const items = [];
    if (this.take("]")) return items;
    do {
      if (this.relaxed && items.length && this.peek() === "]") break;
      items.push(this.value(depth + 1));
    } while (this.take(","));
    if (!this.take("]")) throw this.mistake(`a comma or ] is missing before ${this.here()}`);
    return items;
  }

  /** @param {number} depth */
  object(depth) {
    this.at += 1;
    /** @type {Map<string, unknown>} */
    const fields = new Map();
    if (this.take("}")) return {};
    do {
      if (this.relaxed && fields.size && this.peek() === "}") break;
      const [name, at] = this.name(depth);
      if (fields.has(name)) throw this.mistake(`"${name}" is there twice`, at);
      if (!this.take(":")) throw this.mistake(`a colon is missing after "${name}"`);
      fields.set(name, this.value(depth + 1));
    } while (this.take(","));
    if (!this.take("}")) throw this.mistake(`a comma or } is missing before ${this.here()}`);
    return Object.fromEntries(fields);
  }

  /** @param {number} depth @returns {[name: string, at: number]} */
  name(depth) {
    const first = this.peek();
    const at = this.at;
    if (first === "}") throw this.mistake("there is a comma too many before }");
    const word = this.quoted(first) ? this.string() : this.match(WORD)?.[0];
    if (word === undefined) throw this.mistake(`a name in double quotes is missing before ${this.here()}`);
    if (!this.quoted(first) && !this.relaxed) throw this.mistake(`a name stands in double quotes: "${word}"`, at);
    const problem = this.problem(word, depth);
    if (problem) throw this.mistake(problem, at);
    return [word, at];
  }
}
