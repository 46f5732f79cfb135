/** Calls of the panel's own routes: with the CSRF token, failures as ApiError, long actions line by
 * line. */

/** A request that was refused or did not arrive; `message` is for the developer who reads it. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {{code?: string, status?: number, fields?: Record<string, string>, cause?: unknown}} [known]
   */
  constructor(message, { code = "no_answer", status = 0, fields = {}, cause } = {}) {
    super(message, { cause });
    this.name = "ApiError";
    this.code = code;
    this.status = status;
    this.fields = fields;
  }

  /** The message with what is wrong with each field. */
  get full() {
    return [this.message, ...Object.entries(this.fields).map(([name, why]) => `${name} ${why}`.trim())].join(": ");
  }
}

const PAUSES = [300, 1_000, 3_000]; // ms before what is only read is asked for again
const AWAY = "Backpack cannot be reached. Check that it runs and that you are online, then try again.";

const RENEWED = "The panel cannot be reached at the moment. It may be being renewed: try again in some seconds.";
const AT_PROXY = "bad_gateway"; // the code of what a proxy answers in the place of Backpack

/**
 * A path whose variable parts are encoded: path`/api/backpacks/${name}/site`.
 *
 * @param {TemplateStringsArray} texts
 * @param {...(string | number)} values
 */
export function path(texts, ...values) {
  return texts.reduce((done, text, at) => done + encodeURIComponent(values[at - 1] ?? "") + text);
}

/**
 * What a route answers, as JSON; `body` is sent as JSON, a Blob or FormData as it is. What is only
 * read is asked for again when a proxy cannot reach the panel: that is away while it is renewed.
 *
 * @param {string} method
 * @param {string} url
 * @param {unknown} [body]
 * @param {{signal?: AbortSignal}} [options]
 * @returns {Promise<any>}
 */
export async function api(method, url, body, { signal } = {}) {
  for (const pause of method === "GET" ? PAUSES : []) {
    try {
      return await once(method, url, body, signal);
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== AT_PROXY || signal?.aborted) throw error;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
  return once(method, url, body, signal);
}

/**
 * @param {string} method
 * @param {string} url
 * @param {unknown} body
 * @param {AbortSignal | undefined} signal
 */
async function once(method, url, body, signal) {
  const [sent, headers] = encode(body);
  /** @type {RequestInit} */
  const request = { method, headers, cache: "no-store", ...(sent !== undefined && { body: sent }), ...(signal && { signal }) };
  const answer = await fetch(url, request).catch((cause) => {
    throw signal?.aborted ? cause : new ApiError(AWAY);
  });
  const text = await answer.text();
  if (!answer.ok) throw refusal(answer.status, text);
  return text ? JSON.parse(text) : null;
}

/**
 * The result of a long action, or of one that takes a long body. Each line it says goes to `online`, how much of `body` has been sent
 * (from 0 to 1) to `onsent`.
 *
 * @param {string} method
 * @param {string} url
 * @param {unknown} [body]
 * @param {{online?: (line: string) => void, onsent?: (share: number) => void, signal?: AbortSignal}} [options]
 * @returns {Promise<any>}
 */
export function stream(method, url, body, { online, onsent, signal } = {}) {
  const [sent, headers] = encode(body);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not tell how much it has sent
    const reader = lines((message) => {
      if (message.line !== undefined) online?.(message.line);
      else if (message.error) reject(new ApiError(message.error.message, message.error));
      else resolve(message.result);
    });
    const isOk = () => request.status >= 200 && request.status < 300;
    request.open(method, url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => onsent?.(event.total ? event.loaded / event.total : 0);
    request.onprogress = () => isOk() && reader(request.responseText);
    request.onload = () => {
      if (!isOk()) return reject(refusal(request.status, request.responseText));
      if (request.getResponseHeader("content-type") === "application/json") return resolve(JSON.parse(request.responseText));
      reader(request.responseText);
      reject(new ApiError("The action ended without a result. Look at the log, then try again."));
    };
    request.onerror = () => reject(new ApiError(AWAY));
    request.onabort = () => reject(new DOMException("Stopped", "AbortError"));
    signal?.addEventListener("abort", () => request.abort());
    request.send(sent ?? null);
  });
}

/**
 * A function that is told the whole text so far, and calls `each` with every new line's JSON.
 *
 * @param {(message: any) => void} each
 */
function lines(each) {
  let read = 0;
  return (/** @type {string} */ text) => {
    for (let end = text.indexOf("\n", read); end >= 0; end = text.indexOf("\n", read)) {
      if (end > read) each(JSON.parse(text.slice(read, end)));
      read = end + 1;
    }
  };
}

/**
 * @param {unknown} body
 * @returns {[string | Blob | FormData | undefined, Record<string, string>]}
 */
function encode(body) {
  const token = document.querySelector('meta[name="csrf-token"]')?.getAttribute("content") ?? "";
  const headers = { accept: "application/json", "x-csrf-token": token };
  if (body === undefined) return [undefined, headers];
  if (body instanceof Blob || body instanceof FormData) return [body, headers];
  return [JSON.stringify(body), { ...headers, "content-type": "application/json" }];
}

/**
 * @param {number} status
 * @param {string} text
 */
function refusal(status, text) {
  /** @type {{message?: string, code?: string, fields?: Record<string, string>}} */
  let known = {};
  try {
    known = JSON.parse(text);
  } catch {
    // A proxy's page: its status has to do.
  }
  if (known.code === "not_signed_in") location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  if (!known.code && [502, 503, 504].includes(status)) return new ApiError(RENEWED, { code: AT_PROXY, status });
  return new ApiError(known.message ?? `The server answered ${status}`, { ...known, status });
}
