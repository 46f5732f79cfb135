/* Backpack SDK 0.1.0, MIT */
async function upload(address, init, onProgress) {
  if (typeof XMLHttpRequest === "function") return transfer(address, init, onProgress);
  const response = await fetch(address, init);
  const file = init.body instanceof FormData ? init.body.get("file") : null;
  const total = file instanceof Blob ? file.size : 0;
  onProgress({ loaded: total, total });
  return response;
}

function transfer(address, { method = "POST", body, headers, credentials, signal }, onProgress) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const request = new XMLHttpRequest();
    request.open(method, address);
    request.withCredentials = credentials === "include";
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => onProgress({ loaded, total });
    request.onload = () => resolve(answerOf(request));
    request.onerror = () => reject(new TypeError("The upload failed"));
    request.onabort = () => reject(signal?.reason);
    const abort = () => request.abort();
    signal?.addEventListener("abort", abort);
    request.onloadend = () => signal?.removeEventListener("abort", abort);
    request.send((body));
  });
}

function answerOf({ responseText, status, statusText }) {
  return new Response(responseText || null, { status, statusText });
}

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

  async send(method, path, content = {}) {
    const response = await this.exchange(method, path, content);
    const answer = decode(await this.attempt(() => response.text(), content.signal));
    if (response.ok && answer !== undefined) return { body: answer, headers: response.headers };
    throw refusal(response, answer);
  }

  async open(path, content) {
    const response = await this.exchange("GET", path, content);
    if (response.ok) return response;
    throw refusal(response, decode(await this.attempt(() => response.text(), content.signal)));
  }

  address(path) {
    return [this.base, ...path.map(segment)].join("/");
  }

  async exchange(method, path, { query, data, form, signal, onProgress }) {
    const search = query?.toString();
    const address = this.address(path) + (search ? `?${search}` : "");
    const json = data === undefined ? null : encode(data);
    const init = { method, body: form ?? json, headers: this.headers(json) };
    if (this.usesCookies) init.credentials = "include";
    if (signal) init.signal = signal;
    return this.attempt(() => (onProgress ? upload(address, init, onProgress) : fetch(address, init)), signal);
  }

  headers(json) {
    const headers = { authorization: `key ${this.apiKey}` };
    if (json !== null) headers["content-type"] = "application/json";
    if (this.session) headers["x-backpack-session"] = this.session;
    return headers;
  }

  async attempt(work, signal) {
    try {
      return await work();
    } catch (cause) {
      if (signal?.aborted) throw new BackpackError("Aborted", { code: "aborted", cause });
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

function createStorage(client) {
  async function send(method, path, content) {
    const { body } = await client.send(method, ["uploads", ...path], content);
    return body;
  }

  return {
    getFile: (userId, filename, { signal } = {}) => client.open(["uploads", userId, filename], { signal }),
    getFileUrl: (userId, filename) => client.address(["uploads", userId, filename]),
    getListOfUserFiles: (userId) => send("GET", [userId]),

    async uploadFile(file, filename = nameOf(file), bucket, { signal, onProgress } = {}) {
      return send("POST", [], { form: formOf({ bucket, filename }, file), signal, onProgress });
    },

    async updateFile(filename, newFilename, bucket) {
      return send("PATCH", [filename], { data: { filename: newFilename, bucket } });
    },

    async overwriteFile(file, filename = nameOf(file) ?? "", { signal, onProgress } = {}) {
      return send("PUT", [filename], { form: formOf({}, file), signal, onProgress });
    },

    deleteFile: (filename) => send("DELETE", [filename]),
  };
}

function formOf(fields, file) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) form.append(name, value);
  // Without one, "no file uploaded" is the backend's answer.
  if (file !== undefined && file !== null) form.append("file", file instanceof Blob ? file : new Blob([file]), nameOf(file) ?? "file");
  return form;
}

function nameOf(file) {
  return typeof File === "function" && file instanceof File ? file.name : undefined;
}

const GREETING = 10_000; // ms in which a new connection must be greeted
const FIRST_PAUSE = 250; // ms before the second attempt; twice as long before each that follows
const LONGEST_PAUSE = 15_000; // ms
const STEADY = 5_000; // ms that a connection must last for the pauses to start anew

const SESSION_ENDED = 4401; // nobody is logged in (any more): another attempt would end the same way
const BROKEN = { code: 1006, reason: "", wasClean: false };

class Connection {
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
    this.timer = undefined;
    this.hurry = this.hurry.bind(this);
    // Browsers tell when the network is back.
    globalThis.addEventListener?.("online", this.hurry);
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

  wait(pause, work) {
    clearTimeout(this.timer);
    this.timer = setTimeout(work, pause);
  }

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

  send(text) {
    if (this.socket?.readyState !== 1) return false;
    this.socket.send(text);
    return true;
  }

  drop() {
    const socket = this.socket;
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    socket.onerror = () => {}; // the package ws makes an exception of an error that nobody hears
    socket.close();
    this.lose(BROKEN);
  }

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

  close(code, reason) {
    if (this.isClosing) return;
    this.socket?.close(code, reason);
    this.isClosing = true;
    if (!this.socket) this.wait(0, () => this.end(BROKEN));
  }

  end(end) {
    clearTimeout(this.timer);
    this.isClosing = true;
    globalThis.removeEventListener?.("online", this.hurry);
    this.owner.onEnd(end);
  }
}

const QUEUED = 1_000; // messages that wait for their turn
const RATE = 250; // messages a second, and at once: half of what a backend takes by default
const TURN = 100; // ms until more of the queue is sent
const PATIENCE = 30_000; // ms for an answer

// What may be asked twice; nobody knows of the rest whether it was done when a connection breaks.
const READS = ["find", "getAll", "getOne", "joinUsersChannels", "presence"];
const TRIES = 3; // of a read, which may itself be what the connection breaks of

class Requests {
  constructor(connection) {
    this.connection = connection;
    this.isReady = false;
    this.over = null;
    this.count = 0;
    this.allowance = RATE; // messages that may be sent now
    this.measured = Date.now();
    this.turn = undefined;
    this.queue = [];
    this.sent = new Map();
  }

  post(item) {
    if (this.over) throw this.over;
    if (this.queue.length >= QUEUED) throw new BackpackError("Too many messages wait", { code: "queue_full" });
    this.queue.push(item);
    if (this.isReady) this.flush();
  }

  ask(message) {
    return promised((resolve, reject) => this.post(this.item({ message, isRepeat: false, resolve, reject })));
  }

  repeat(message) {
    return promised((resolve, reject) => this.transmit(this.item({ message, isRepeat: true, resolve, reject })));
  }

  item(request) {
    this.count += 1;
    const id = `sdk-${this.count}`;
    try {
      return { text: JSON.stringify({ ...request.message, requestId: id }), id, request };
    } catch (cause) {
      throw new BackpackError(`Cannot be sent as JSON: ${cause}`, { code: "bad_argument", cause });
    }
  }

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

  giveUp(request, received) {
    request.reject(new BackpackError("No answer came in time", { code: "timeout" }));
    if (this.connection.received === received) this.connection.drop();
  }

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

  settle({ requestId, ...answer }) {
    const request = this.sent.get(requestId);
    if (!request) return null;
    this.sent.delete(requestId);
    clearTimeout(request.timer);
    if (answer.action === "error") request.reject(new BackpackError(answer.message, (answer)));
    else request.resolve(answer);
    return { request, answer };
  }

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

  end(reason) {
    this.over = reason;
    this.fail();
    for (const { request } of this.queue.splice(0)) request?.reject(reason);
  }
}

const mayRepeat = ({ message, isRepeat, tries = 0 }) => READS.includes(message.action) && !isRepeat && tries < TRIES;

function promised(work) {
  const promise = new Promise(work);
  // Who does not wait for an answer sees a refusal as a message with the action "error".
  promise.catch(() => {});
  return promise;
}

function createActions(send) {
  return {
    findResource: (collection, query) => send({ action: "find", collection, query }),
    getCollection: (collection) => send({ action: "getAll", collection }),
    getResource: (collection, id) => send({ action: "getOne", collection, id }),
    createResource: (collection, data) => send({ action: "create", collection, data }),
    overwriteResource: (collection, id, data) => send({ action: "update", collection, id, data }),
    updateResource: (collection, id, data) => send({ action: "patch", collection, id, data }),
    deleteResource: (collection, id) => send({ action: "delete", collection, id }),

    open: (message) => send({ ...message, action: "open" }),
    close: (message) => send({ ...message, action: "close" }),
    broadcast: (message) => send({ ...message, action: "broadcast" }),
    sendMessage: (message) => send({ ...message }),

    joinUsersChannels: (usersInformationCollection) => send({ action: "joinUsersChannels", usersInformationCollection }),
    createChannel: (usersInformationCollection, channelType, name) =>
      send({ action: "createChannel", usersInformationCollection, channelType, name }),
    joinChannel: (usersInformationCollection, channelType, channelId) =>
      send({ action: "joinChannel", usersInformationCollection, channelType, channelId }),
    leaveChannel: (usersInformationCollection, channelType, channelId) =>
      send({ action: "leaveChannel", usersInformationCollection, channelType, channelId }),
    changeChannel: (usersInformationCollection, channelType, channelId) =>
      send({ action: "changeChannel", usersInformationCollection, channelType, channelId }),
    deleteChannel: (usersInformationCollection, channelMessagesCollection, channelType, channelId) =>
      send({ action: "deleteChannel", usersInformationCollection, channelMessagesCollection, channelType, channelId }),

    presence: (channelType, channelId) => send({ action: "presence", channelType, channelId }),
  };
}

// Others see these too. The answer to one that is no broadcast is for the asker's promise only.
const BROADCASTS = ["create", "update", "patch", "delete", "open", "close", "broadcast"];
const JOINS = ["joinUsersChannels", "joinChannel", "createChannel"];

function createSocket(client, WebSocket) {
  if (!WebSocket) throw new TypeError("There is no WebSocket here: createSdk(url, apiKey, { WebSocket })");
  const address = `${client.base.replace(/^http/, "ws")}/?resume=`;
  return new Socket((seq) => {
    const { session } = client;
    return new WebSocket(address + encodeURIComponent(seq), session ? ["backpack", `backpack.session.${session}`] : []);
  });
}

class Socket extends EventTarget {
  CONNECTING = (0);
  OPEN = (1);
  CLOSING = (2);
  CLOSED = (3);

  onopen = null;
  onmessage = null;
  onerror = null;
  onclose = null;

  #state = 0;
  #events = new EventTarget();
  #connections = 0;
  #isMissing = false; // messages: to be told when there is a connection to ask for them
  #lasting = new Map();
  #connection;
  #requests;

  constructor(open) {
    super();
    for (const type of (["open", "message", "error", "close"])) {
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

  send(text) {
    if (this.#state < this.CLOSING) this.#requests.post({ text });
  }

  close(code, reason) {
    if (this.#state >= this.CLOSING) return;
    this.#connection.close(code, reason);
    this.#state = this.CLOSING;
  }

  on(event, where, listener) {
    const [filter, call] = listener ? [where, listener] : [{}, where];
    const hear = ({ message }) => {
      if (matches(message, filter)) call(message);
    };
    this.#events.addEventListener(event, hear);
    return () => this.#events.removeEventListener(event, hear);
  }

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

  #receive(message, isBroadcast) {
    const settled = this.#requests.settle(message);
    if (!settled) return this.#show(message);
    const { request, answer } = settled;
    if (answer.action !== "error") this.#remember(request.message);
    const isHidden = request.isRepeat ? answer.action !== "presence" : BROADCASTS.includes(answer.action) && !isBroadcast;
    if (!isHidden) this.#show(answer);
  }

  #remember(asked) {
    const { action, usersInformationCollection, channelType, channelId } = asked;
    if (JOINS.includes(action)) {
      const again = { action: "joinUsersChannels", usersInformationCollection };
      this.#lasting.set(JSON.stringify([usersInformationCollection]), again);
    }
    if (action === "presence") this.#lasting.set(JSON.stringify([channelType, channelId]), { action, channelType, channelId });
  }

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

  #fire(type, details) {
    this.dispatchEvent(Object.assign(new Event(type), details));
  }

  #emit(name, message) {
    this.#events.dispatchEvent(Object.assign(new Event(name), { message }));
  }
}

function matches(message, where) {
  return Object.entries(where).every(([name, value]) => (message?.[name] ?? message?.response?.[name]) === value);
}

function createSdk(url, apiKey, { session, WebSocket = globalThis.WebSocket } = {}) {
  const client = new Client(url, apiKey, session);
  return {
    db: createDb(client),
    auth: createAuth(client),
    storage: createStorage(client),
    ws: () => createSocket(client, WebSocket),
  };
}

export { BackpackError, createSdk };
