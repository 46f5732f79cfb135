/**
 * One door to a backpack: every request of the SDK passes `Client.send`.
 * Lives here: HTTP, the session and the one error. Not here: what collections or accounts are.
 */

import { upload } from "./upload.js";

/**
 * What a request may carry: `data` goes as JSON, `form` as multipart.
 *
 * @typedef {object} Content
 * @property {URLSearchParams} [query]
 * @property {unknown} [data]
 * @property {FormData} [form]
 * @property {AbortSignal | undefined} [signal]
 * @property {((progress: import("./index.d.ts").Progress) => void) | undefined} [onProgress]
 */

/** A request that failed: refused by the backend, answered by something else, or never answered. */
export class BackpackError extends Error {
  /**
   * @param {string} message
   * @param {{ status?: number, code: string, fields?: Record<string, string>, cause?: unknown }} details
   */
  constructor(message, { status = 0, code, fields = {}, cause }) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "BackpackError";
    this.status = status;
    this.code = code;
    this.fields = fields;
  }
}

export class Client {
  /**
   * @param {string | URL} url
   * @param {string} apiKey
   * @param {string} [session] a token to go on with
   */
  constructor(url, apiKey, session) {
    this.base = baseOf(url);
    if (typeof apiKey !== "string" || !apiKey) throw new TypeError("createSdk needs an API key");
    this.apiKey = apiKey;
    /** @type {string | null} */
    this.session = session ?? null;
    this.usesCookies = !session && keepsCookies();
  }

  /**
   * @param {string} method
   * @param {string[]} path names that are neither encoded nor empty
   * @param {Content} [content]
   * @returns {Promise<{ body: any, headers: Headers }>} rejects with BackpackError only
   */
  async send(method, path, content = {}) {
    const response = await this.exchange(method, path, content);
    const answer = decode(await this.attempt(() => response.text(), content.signal));
    if (response.ok && answer !== undefined) return { body: answer, headers: response.headers };
    throw refusal(response, answer);
  }

  /**
   * The same for an answer that is no JSON: its body is left to be read.
   *
   * @param {string[]} path
   * @param {Content} content
   */
  async open(path, content) {
    const response = await this.exchange("GET", path, content);
    if (response.ok) return response;
    throw refusal(response, decode(await this.attempt(() => response.text(), content.signal)));
  }

  /** @param {string[]} path */
  address(path) {
    return [this.base, ...path.map(segment)].join("/");
  }

  /**
   * @param {string} method
   * @param {string[]} path
   * @param {Content} content
   */
  async exchange(method, path, { query, data, form, signal, onProgress }) {
    const search = query?.toString();
    const address = this.address(path) + (search ? `?${search}` : "");
    const json = data === undefined ? null : encode(data);
    /** @type {RequestInit & { headers: Record<string, string> }} */
    const init = { method, body: form ?? json, headers: this.headers(json) };
    if (this.usesCookies) init.credentials = "include";
    if (signal) init.signal = signal;
    return this.attempt(() => (onProgress ? upload(address, init, onProgress) : fetch(address, init)), signal);
  }

  /** @param {string | null} json */
  headers(json) {
    /** @type {Record<string, string>} */
    const headers = { authorization: `key ${this.apiKey}` };
    if (json !== null) headers["content-type"] = "application/json";
    if (this.session) headers["x-backpack-session"] = this.session;
    return headers;
  }

  /**
   * @template T
   * @param {() => Promise<T>} work
   * @param {AbortSignal} [signal]
   */
  async attempt(work, signal) {
    try {
      return await work();
    } catch (cause) {
      if (signal?.aborted) throw new BackpackError("Aborted", { code: "aborted", cause });
      throw new BackpackError(`No answer from ${this.base}`, { code: "network_error", cause });
    }
  }
}

/** @param {string | URL} url */
function baseOf(url) {
  const { protocol, origin, pathname } = new URL(url);
  if (!protocol.startsWith("http")) throw new TypeError(`createSdk needs a URL with http or https, not ${url}`);
  return (origin + pathname).replace(/\/+$/, "");
}

/**
 * Whether fetch keeps cookies here: in pages and workers of a browser. A test runner's document
 * (jsdom) has a location too, but Node's fetch below it; Electron's pages have both, and cookies.
 */
function keepsCookies() {
  const versions = typeof process === "object" ? process.versions : undefined;
  return typeof location === "object" && (!versions?.node || "electron" in versions);
}

/**
 * Names that no encoding carries are refused here: a URL loses "." and "..", which would turn a
 * request for one record into one for its collection (https://url.spec.whatwg.org/#double-dot-path-segment).
 *
 * @param {string} name
 */
function segment(name) {
  if (typeof name !== "string" || ["", ".", ".."].includes(name) || /\p{Surrogate}/u.test(name)) {
    throw new BackpackError(`Not a name or id: "${String(name)}"`, { code: "bad_argument" });
  }
  return encodeURIComponent(name);
}

/** @param {unknown} data */
function encode(data) {
  try {
    return JSON.stringify(data);
  } catch (cause) {
    throw new BackpackError(`Cannot be sent as JSON: ${cause}`, { code: "bad_argument", cause });
  }
}

/** @param {string} text */
export function decode(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * @param {Response} response
 * @param {any} answer undefined when it is no JSON, as a proxy's page is
 */
function refusal({ ok, status, statusText }, answer) {
  const message = answer?.message ?? (ok ? "The answer is not a backpack's" : `${status} ${statusText}`.trim());
  return new BackpackError(message, { status, code: answer?.code ?? "bad_answer", fields: answer?.fields });
}
