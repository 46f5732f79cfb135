/* Backpack SDK 0.1.0, MIT */
(() => {
"use strict";

class BackpackError extends Error {
  constructor(message, { status = 0, code, fields = {}, cause }) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "BackpackError";
    this.status = status;
    this.code = code;
    this.fields = fields;
  }
}

class Client {
  constructor(url, apiKey, session) {
    this.base = baseOf(url);
    if (typeof apiKey !== "string" || !apiKey) throw new TypeError("createSdk needs an API key");
    this.apiKey = apiKey;
    this.session = session ?? null;
    this.usesCookies = !session && keepsCookies();
  }

  async send(method, path, { query, data } = {}) {
    const search = query?.toString();
    const address = [this.base, ...path.map(segment)].join("/") + (search ? `?${search}` : "");
    const body = data === undefined ? null : encode(data);
    const { response, text } = await this.exchange(address, { method, body, headers: this.headers(body) });
    const answer = decode(text);
    if (response.ok && answer !== undefined) return { body: answer, headers: response.headers };
    throw refusal(response, answer);
  }

  headers(body) {
    const headers = { authorization: `key ${this.apiKey}` };
    if (body !== null) headers["content-type"] = "application/json";
    if (this.session) headers["x-backpack-session"] = this.session;
    return headers;
  }

  async exchange(address, init) {
    if (this.usesCookies) init.credentials = "include";
    try {
      const response = await fetch(address, init);
      return { response, text: await response.text() };
    } catch (cause) {
      throw new BackpackError(`No answer from ${this.base}`, { code: "network_error", cause });
    }
  }
}

function baseOf(url) {
  const { protocol, origin, pathname } = new URL(url);
  if (!protocol.startsWith("http")) throw new TypeError(`createSdk needs a URL with http or https, not ${url}`);
  return (origin + pathname).replace(/\/+$/, "");
}

function keepsCookies() {
  const versions = typeof process === "object" ? process.versions : undefined;
  return typeof location === "object" && (!versions?.node || "electron" in versions);
}

function segment(name) {
  if (typeof name !== "string" || ["", ".", ".."].includes(name) || /\p{Surrogate}/u.test(name)) {
    throw new BackpackError(`Not a name or id: "${String(name)}"`, { code: "bad_argument" });
  }
  return encodeURIComponent(name);
}

function encode(data) {
  try {
    return JSON.stringify(data);
  } catch (cause) {
    throw new BackpackError(`Cannot be sent as JSON: ${cause}`, { code: "bad_argument", cause });
  }
}

function decode(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refusal({ ok, status, statusText }, answer) {
  const message = answer?.message ?? (ok ? "The answer is not a backpack's" : `${status} ${statusText}`.trim());
  return new BackpackError(message, { status, code: answer?.code ?? "bad_answer", fields: answer?.fields });
}

function createAuth(client) {
  return {
    get session() {
      return client.session;
    },

    async register(email, password) {
      const { body } = await client.send("POST", ["register"], { data: { email, password } });
      return body;
    },

    async login(email, password) {
      const data = client.usesCookies ? { email, password } : { email, password, token: true };
      const { body } = await client.send("POST", ["login"], { data });
      if (!client.usesCookies) client.session = body.token;
      return { id: body.id };
    },

    async logout() {
      const { body } = await client.send("POST", ["logout"]);
      client.session = null;
      return body;
    },

    async me() {
      const { body } = await client.send("GET", ["me"]);
      return body;
    },

    async changePassword(current, next) {
      const { body } = await client.send("PUT", ["me", "password"], { data: { current, new: next } });
      return body;
    },
  };
}

function createDb(client) {
  async function send(method, path, data) {
    const { body } = await client.send(method, path, { data });
    return body;
  }

  return {
    getCollectionsList: () => send("GET", ["collections"]),
    createNewCollection: (name) => send("POST", ["collections"], { collectionName: name }),

    async getCollection(collection, query = {}) {
      const { body, headers } = await client.send("GET", [collection], { query: parameters(query) });
      // Not enumerable, so that the answer compares and prints as the plain array it is.
      if (query.count) Object.defineProperty(body, "total", { value: Number(headers.get("x-total-count")) });
      return body;
    },

    getResource: (collection, id) => send("GET", [collection, id]),
    createResource: (collection, data) => send("POST", [collection], data),
    updateResource: (collection, id, data) => send("PATCH", [collection, id], data),
    overwriteResource: (collection, id, data) => send("PUT", [collection, id], data),
    deleteResource: (collection, id) => send("DELETE", [collection, id]),
  };
}

function parameters(query) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== false) search.set(name, written(name, value));
  }
  return search;
}

function written(name, value) {
  if (value === true) return "1";
  if (Array.isArray(value)) return value.join(",");
  if (typeof value !== "object") return String(value);
  try {
    return JSON.stringify(value);
  } catch (cause) {
    throw new BackpackError(`Cannot be sent as JSON: ${name}`, { code: "bad_argument", cause });
  }
}

function createSdk(url, apiKey, { session } = {}) {
  const client = new Client(url, apiKey, session);
  return { db: createDb(client), auth: createAuth(client) };
}

createSdk.BackpackError = BackpackError;
globalThis.createSdk = createSdk;
})();
