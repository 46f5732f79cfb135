/** The types of the Backpack SDK, with an example for each member. */

/**
 * The door to one backpack. Nothing is sent until one of its methods is called; all of them
 * reject with {@link BackpackError}. Throws a TypeError for a URL without http or https, or
 * without an API key.
 *
 * In browsers the session is a cookie that no script can read. Elsewhere (Node, native apps) it
 * is a token that the returned object keeps and sends.
 *
 * @example
 * const { auth, db } = createSdk("http://my-app-be.bkpk.localhost:8000", "your API key");
 */
export function createSdk(url: string | URL, apiKey: string, options?: Options): Sdk;

export interface Options {
  /**
   * A session's token from an earlier `auth.session`, to go on without another login. With it,
   * tokens are used in place of cookies.
   *
   * @example
   * createSdk(url, apiKey, { session: savedToken });
   */
  session?: string;

  /**
   * The class that makes sockets, where there is no global one: in Node before version 22.
   *
   * @example
   * import { WebSocket } from "ws";
   * createSdk(url, apiKey, { WebSocket });
   */
  WebSocket?: new (url: string, protocols?: string[]) => any;
}

export interface Sdk {
  /** Accounts and sessions. */
  readonly auth: Auth;
  /** Collections and their records. */
  readonly db: Db;
  /** Files of users. */
  readonly storage: Storage;
  /**
   * Opens a socket: every write that its user may see arrives at once. It connects again by itself
   * after a break, gets what it missed, and is in its channels again. Log in first.
   *
   * @example
   * const socket = ws();
   * socket.on("create", { collection: "cars" }, ({ response }) => show(response));
   * await socket.actions.createResource("cars", { brand: "Volvo" });
   */
  ws(): Socket;
}

/**
 * A call that failed.
 *
 * @example
 * try {
 *   await auth.register(email, password);
 * } catch (error) {
 *   if (error.status === 422) show(error.message, error.fields);
 * }
 */
export class BackpackError extends Error {
  constructor(message: string, details: BackpackErrorDetails);
  readonly name: "BackpackError";
  /** The HTTP status; 0 over a socket, and when there was no answer or nothing was sent. */
  readonly status: number;
  /**
   * A stable word for programs: the backend's, or `network_error` (no answer, see `cause`),
   * `bad_argument` (not sent), `bad_answer` (something else than a backpack answered), `aborted`;
   * of a socket also `connection_lost` (it broke before the answer: the action may have been done
   * or not), `timeout`, `queue_full`, `closed` and `session_ended`.
   */
  readonly code: string;
  /** What is wrong with single fields, by their names; empty when it is not about fields. */
  readonly fields: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

export interface BackpackErrorDetails {
  status?: number;
  code: string;
  fields?: Record<string, string>;
  cause?: unknown;
}

export interface User {
  id: string;
  email: string;
  /** ISO 8601, UTC. */
  createdAt: string;
}

export interface Auth {
  /**
   * The session's token, for `createSdk(url, apiKey, { session })` later on. Null in browsers,
   * where it is in a cookie, and without a login.
   *
   * @example
   * await writeFile("session", auth.session);
   */
  readonly session: string | null;

  /**
   * Makes an account; it does not log in. Passwords have 8 characters at least.
   *
   * @example
   * await auth.register("ada@example.org", "correct horse");
   */
  register(email: string, password: string): Promise<{ id: string }>;

  /**
   * Logs in; status 401 when e-mail or password is wrong, 429 after too many failures.
   *
   * @example
   * const { id } = await auth.login("ada@example.org", "correct horse");
   */
  login(email: string, password: string): Promise<{ id: string }>;

  /**
   * Ends the session; fine without one.
   *
   * @example
   * await auth.logout();
   */
  logout(): Promise<{ message: string }>;

  /**
   * Who is logged in; status 403 when nobody is.
   *
   * @example
   * const { email } = await auth.me();
   */
  me(): Promise<User>;

  /**
   * Changes the password; the user's other sessions end, this one stays.
   *
   * @example
   * await auth.changePassword("correct horse", "battery staple");
   */
  changePassword(current: string, next: string): Promise<{ message: string }>;
}

/** What the server adds to each record. */
export interface Stamps {
  /** 24 hexadecimal digits. */
  readonly _id: string;
  /** ISO 8601, UTC, with milliseconds. */
  readonly createdAt: string;
  /** ISO 8601, UTC, with milliseconds. */
  readonly updatedAt: string;
}

/** A record: your data and the server's stamps. */
export type Stored<T extends object> = T & Stamps;

/** A record's change: fields to set, null to remove, dotted names to reach inside. */
export type Patch<T extends object> = { [Field in keyof T]?: T[Field] | null } & {
  [path: `${string}.${string}`]: unknown;
};

/** Which records, in what order, and how many. */
export interface Query {
  /**
   * Which records, in MongoDB's words: `$eq $ne $gt $gte $lt $lte $in $nin $exists $regex
   * $options $all $size $elemMatch $and $or $nor $not`, and dotted paths.
   *
   * @example
   * { filter: { brand: "Volvo", "engine.kw": { $gte: 100 } } }
   */
  filter?: Record<string, unknown>;
  /**
   * Fields to sort by; `-` in front of one turns its order around.
   *
   * @example
   * { sort: ["-price", "name"] }   // the same: "-price,name"
   */
  sort?: string | readonly string[];
  /** How many records to leave out at the start. */
  skip?: number;
  /** How many records to return at most. */
  limit?: number;
  /**
   * The fields to return, besides `_id`.
   *
   * @example
   * { fields: ["name", "price"] }   // the same: "name,price"
   */
  fields?: string | readonly string[];
  /** True: the returned array has a `total`, the number of records without `skip` and `limit`. */
  count?: boolean;
  /**
   * Only records after the one with this `_id`: pages that stay stable while others write.
   *
   * @example
   * { limit: 100, after: page.at(-1)?._id }
   */
  after?: string | undefined;
}

/** Records, and with `count: true` how many there are in all. Not enumerable, so it compares as an array. */
export type Counted<T extends object> = Stored<T>[] & { readonly total: number };

type Anything = Record<string, any>;

export interface Db {
  /**
   * The names of all collections.
   *
   * @example
   * const names = await db.getCollectionsList();   // ["cars"]
   */
  getCollectionsList(): Promise<string[]>;

  /**
   * Makes a collection and returns its name; fine when it is there already.
   *
   * @example
   * await db.createNewCollection("cars");
   */
  createNewCollection(name: string): Promise<string>;

  /**
   * The records of a collection, in the order they were made; a part of them with a query.
   *
   * @example
   * const cars = await db.getCollection("cars");
   * const page = await db.getCollection("cars", { sort: "-price", limit: 30, count: true });
   * console.log(page.length, "of", page.total);
   */
  getCollection<T extends object = Anything>(
    collection: string,
    query: Query & { count: true },
  ): Promise<Counted<T>>;
  getCollection<T extends object = Anything>(collection: string, query?: Query): Promise<Stored<T>[]>;

  /**
   * One record; status 404 when it is not there.
   *
   * @example
   * const car = await db.getResource("cars", id);
   */
  getResource<T extends object = Anything>(collection: string, id: string): Promise<Stored<T>>;

  /**
   * Makes a record, or one of each item of an array: all of them or, when one is refused, none.
   *
   * @example
   * const car = await db.createResource("cars", { brand: "Volvo", price: 9000 });
   */
  createResource<T extends object>(collection: string, data: readonly T[]): Promise<Stored<T>[]>;
  createResource<T extends object = Anything>(collection: string, data?: T): Promise<Stored<T>>;

  /**
   * Changes some fields of a record and returns the whole of it.
   *
   * @example
   * await db.updateResource("cars", id, { price: 8500, sold: null, "engine.kw": 110 });
   */
  updateResource<T extends object = Anything>(
    collection: string,
    id: string,
    data: Patch<T>,
  ): Promise<Stored<T>>;

  /**
   * Puts new data in place of all of a record's, and returns the record. Its `_id` and
   * `createdAt` stay.
   *
   * @example
   * await db.overwriteResource("cars", id, { brand: "Saab" });
   */
  overwriteResource<T extends object>(collection: string, id: string, data: T): Promise<Stored<T>>;

  /**
   * Deletes a record and returns it as it was.
   *
   * @example
   * await db.deleteResource("cars", id);
   */
  deleteResource<T extends object = Anything>(collection: string, id: string): Promise<Stored<T>>;
}

/** What is uploaded: a file of an input element, or any bytes or text. */
export type FileContent = Blob | BufferSource | string;

/** What is known of a file besides its content. */
export interface FileRecord {
  readonly _id: string;
  /** Whose file it is. */
  readonly userId: string;
  readonly filename: string;
  readonly bucket: string;
  /** Bytes. */
  readonly size: number;
  /** The media type, such as `image/png`. */
  readonly type: string;
  /** ISO 8601, UTC, with milliseconds. */
  readonly createdAt: string;
  /** ISO 8601, UTC, with milliseconds. */
  readonly updatedAt: string;
}

/** How far an upload is, in bytes. */
export interface Progress {
  readonly loaded: number;
  readonly total: number;
}

export interface DownloadOptions {
  /**
   * Ends the call early; it rejects with the code `aborted`.
   *
   * @example
   * { signal: AbortSignal.timeout(10_000) }
   */
  signal?: AbortSignal;
}

export interface UploadOptions extends DownloadOptions {
  /**
   * Called as the file travels; in Node once, at the end.
   *
   * @example
   * { onProgress: ({ loaded, total }) => (bar.value = loaded / total) }
   */
  onProgress?: (progress: Progress) => void;
}

export interface Storage {
  /**
   * A file, as the Response that fetch would give; status 404 when it is not there.
   *
   * @example
   * const blob = await (await storage.getFile(userId, "photo.jpg")).blob();
   */
  getFile(userId: string, filename: string, options?: DownloadOptions): Promise<Response>;

  /**
   * Where a file is, for the browser to load it with the session's cookie. Nothing is sent.
   *
   * @example
   * image.src = storage.getFileUrl(userId, "photo.jpg");
   */
  getFileUrl(userId: string, filename: string): string;

  /**
   * What a user has uploaded.
   *
   * @example
   * const { records } = await storage.getListOfUserFiles(userId);
   */
  getListOfUserFiles(userId: string): Promise<{ records: FileRecord[] }>;

  /**
   * Uploads a new file under a name, that of the file if none is given; status 400 when the user
   * has a file of that name. The bucket is a word of yours to sort files by.
   *
   * @example
   * const [file] = input.files;
   * await storage.uploadFile(file, "photo.jpg", "photos", { onProgress: show });
   */
  uploadFile(
    file: FileContent,
    filename?: string,
    bucket?: string,
    options?: UploadOptions,
  ): Promise<FileRecord>;

  /**
   * Renames a file of one's own, or puts it into another bucket; status 400 when the new name is
   * taken.
   *
   * @example
   * await storage.updateFile("photo.jpg", "beach.jpg", "holidays");
   */
  updateFile(filename: string, newFilename?: string, bucket?: string): Promise<{ record: FileRecord }>;

  /**
   * Puts new content in place of a file's; all of it or, when it fails, nothing.
   *
   * @example
   * await storage.overwriteFile(file, "photo.jpg");
   */
  overwriteFile(
    file: FileContent,
    filename?: string,
    options?: UploadOptions,
  ): Promise<{ message: string }>;

  /**
   * Deletes a file of one's own and returns what was known of it.
   *
   * @example
   * const { deletedRecord } = await storage.deleteFile("photo.jpg");
   */
  deleteFile(filename: string): Promise<{ deletedRecord: FileRecord; message: string }>;
}

/** A message of a socket; which members it has besides depends on the action. */
export interface Message extends Anything {
  action: string;
}

/** The answer about records: `response` is one, or an array, or null when there is none. */
export interface RecordMessage<Response> extends Message {
  collection: string;
  response: Response;
}

/** A place where messages go that concern its subscribers only: a record of the collection `channelType`. */
export interface Channel {
  channelType: string | null;
  channelId: string | null;
}

/** A user's record about the channels they are in. */
export type ChannelInfo = Stored<{ userId: string; channels: Channel[]; currentChannel: Channel }>;

/** The answer to an action of one channel. */
export interface ChannelMessage extends Message {
  userId: string;
  channelType: string;
  channelId: string;
  response: ChannelInfo;
}

/** Which messages a listener is called for: those that have these members, or whose record has them. */
export interface Where {
  collection?: string;
  channelType?: string;
  channelId?: string;
  [member: string]: unknown;
}

/**
 * A socket that lasts. To an app it is one plain WebSocket: `onopen` comes once, and `onclose` when
 * it does not connect again: after `close()`, or with the code 4401 when nobody is logged in.
 */
export interface Socket extends EventTarget {
  /**
   * What can be asked over the socket. Each method resolves with the answer, and rejects with
   * {@link BackpackError}; a rejection that nobody waits for disturbs nothing.
   *
   * @example
   * const { response } = await socket.actions.getCollection("cars");
   */
  readonly actions: Actions;

  /**
   * Calls a listener for every message with an action (`create`, `update`, `patch`, `delete`,
   * `joinChannel`, `presence`, `error`, ...), or only for some of them, and returns what ends it.
   * Four events are the socket's own: `online` (connected, again too), `offline` (a break; it
   * connects again), `reload` (messages of a break are missing for good: read again what is shown),
   * `ended` (the session has ended; `onclose` follows).
   *
   * @example
   * const stop = socket.on("create", { collection: "messages", channelId }, ({ response }) => show(response));
   * socket.on("reload", () => location.reload());
   */
  on(event: string, listener: (message: Message) => void): () => void;
  on(event: string, where: Where, listener: (message: Message) => void): () => void;

  /**
   * Sends a message as it is, now or when there is a connection. Throws {@link BackpackError} when
   * too many wait for one.
   *
   * @example
   * socket.send(JSON.stringify({ action: "getAll", collection: "cars" }));
   */
  send(data: string): void;

  /**
   * Closes the socket for good.
   *
   * @example
   * socket.close();
   */
  close(code?: number, reason?: string): void;

  /**
   * A WebSocket's: 0 connecting (again too), 1 open, 2 closing, 3 closed.
   *
   * @example
   * if (socket.readyState === socket.OPEN) showOnline();
   */
  readonly readyState: 0 | 1 | 2 | 3;
  readonly CONNECTING: 0;
  readonly OPEN: 1;
  readonly CLOSING: 2;
  readonly CLOSED: 3;

  /**
   * @example
   * socket.onopen = () => socket.actions.joinUsersChannels("usersInformation");
   */
  onopen: ((event: Event) => void) | null;
  /**
   * @example
   * socket.onmessage = ({ data }) => show(JSON.parse(data));
   */
  onmessage: ((event: Event & { readonly data: string }) => void) | null;
  /**
   * An attempt to connect has failed.
   *
   * @example
   * socket.onerror = () => console.log("no connection yet");
   */
  onerror: ((event: Event) => void) | null;
  /**
   * @example
   * socket.onclose = ({ code }) => console.log(code === 4401 ? "log in again" : "closed");
   */
  onclose:
    | ((event: Event & { readonly code: number; readonly reason: string; readonly wasClean: boolean }) => void)
    | null;
}

export interface Actions {
  /**
   * The records of a collection that a filter chooses.
   *
   * @example
   * const { response } = await socket.actions.findResource("cars", { price: { $lt: 10000 } });
   */
  findResource<T extends object = Anything>(
    collection: string,
    query: Record<string, unknown>,
  ): Promise<RecordMessage<Stored<T>[]>>;

  /**
   * All records of a collection.
   *
   * @example
   * const { response } = await socket.actions.getCollection("cars");
   */
  getCollection<T extends object = Anything>(collection: string): Promise<RecordMessage<Stored<T>[]>>;

  /**
   * One record; `response` is null when it is not there.
   *
   * @example
   * const { response } = await socket.actions.getResource("cars", id);
   */
  getResource<T extends object = Anything>(
    collection: string,
    id: string,
  ): Promise<RecordMessage<Stored<T> | null>>;

  /**
   * Makes a record. A record with `channelType` and `channelId` is broadcast to that channel only,
   * one with `broadcast: false` to nobody.
   *
   * @example
   * await socket.actions.createResource("messages", { text: "Hello", channelType: "rooms", channelId });
   */
  createResource<T extends object = Anything>(collection: string, data: T): Promise<RecordMessage<Stored<T>>>;

  /**
   * Puts new data in place of all of a record's.
   *
   * @example
   * await socket.actions.overwriteResource("cars", id, { brand: "Saab" });
   */
  overwriteResource<T extends object>(
    collection: string,
    id: string,
    data: T,
  ): Promise<RecordMessage<Stored<T>>>;

  /**
   * Changes some fields of a record.
   *
   * @example
   * await socket.actions.updateResource("cars", id, { price: 8500 });
   */
  updateResource<T extends object = Anything>(
    collection: string,
    id: string,
    data: Patch<T>,
  ): Promise<RecordMessage<Stored<T>>>;

  /**
   * Deletes a record.
   *
   * @example
   * await socket.actions.deleteResource("cars", id);
   */
  deleteResource<T extends object = Anything>(
    collection: string,
    id: string,
  ): Promise<RecordMessage<Stored<T>>>;

  /**
   * Tells everybody something, or the subscribers of a channel; the backend adds your `userId`.
   *
   * @example
   * socket.actions.broadcast({ typing: true, channelType: "rooms", channelId });
   */
  broadcast(message: Anything): Promise<Message>;

  /**
   * The same with the action `open`, to say that you are there.
   *
   * @example
   * socket.actions.open({ name: "Ada" });
   */
  open(message: Anything): Promise<Message>;

  /**
   * The same with the action `close`, to say goodbye. It does not close the socket.
   *
   * @example
   * socket.actions.close({ name: "Ada" });
   */
  close(message: Anything): Promise<Message>;

  /**
   * Sends any message; an action that the backend does not know is refused.
   *
   * @example
   * await socket.actions.sendMessage({ action: "getAll", collection: "cars" });
   */
  sendMessage(message: Message): Promise<Message>;

  /**
   * Subscribes to all channels that you are in. `info` is the collection in which each user has a
   * record about their channels.
   *
   * @example
   * const { usersChannels } = await socket.actions.joinUsersChannels("usersInformation");
   */
  joinUsersChannels(info: string): Promise<Message & { usersChannels: Channel[] }>;

  /**
   * Makes a channel, a record of the collection `channelType`, and joins it.
   *
   * @example
   * const { response } = await socket.actions.createChannel("usersInformation", "rooms", "Sailing");
   */
  createChannel(
    info: string,
    channelType: string,
    name: string,
  ): Promise<Message & { response: Stored<Anything>; usersChannels: Channel[]; usersCurrentChannel: Channel }>;

  /**
   * Joins a channel, makes it the current one and subscribes to it.
   *
   * @example
   * await socket.actions.joinChannel("usersInformation", "rooms", roomId);
   */
  joinChannel(info: string, channelType: string, channelId: string): Promise<ChannelMessage>;

  /**
   * Leaves a channel.
   *
   * @example
   * await socket.actions.leaveChannel("usersInformation", "rooms", roomId);
   */
  leaveChannel(info: string, channelType: string, channelId: string): Promise<ChannelMessage>;

  /**
   * Makes another channel that you are in the current one.
   *
   * @example
   * await socket.actions.changeChannel("usersInformation", "rooms", roomId);
   */
  changeChannel(info: string, channelType: string, channelId: string): Promise<ChannelMessage>;

  /**
   * Deletes a channel that you have made, with its messages.
   *
   * @example
   * await socket.actions.deleteChannel("usersInformation", "messages", "rooms", roomId);
   */
  deleteChannel(info: string, messages: string, channelType: string, channelId: string): Promise<Message>;

  /**
   * Who is connected, or who of a channel's members; from then on `presence` messages tell who
   * comes (`joined`) and who goes (`left`).
   *
   * @example
   * socket.on("presence", ({ users, joined, left }) => update(users, joined, left));
   * await socket.actions.presence("rooms", roomId);
   */
  presence(channelType?: string, channelId?: string): Promise<Message & { users: string[] }>;
}
