/**
 * What the chat knows: rooms, messages, people; kept up to date by a socket. No page here.
 * It tells what has changed by events: rooms, messages, people, connection, ended.
 */

import { asFailure } from "./dom.js";
import { Outbox } from "./outbox.js";

/** @typedef {import("../../../sdk/index.js").Sdk} Sdk */
/** @typedef {import("../../../sdk/index.js").Message} Change */
/** @typedef {import("../../../sdk/index.js").Stored<{ name: string }>} Room */
/** @typedef {import("../../../sdk/index.js").Stored<{ userId: string, name: string, avatar?: string }>} Profile */
/** @typedef {import("../../../sdk/index.js").Stored<{ userId: string, channelId: string, text: string, nonce: string, edited?: boolean }>} Message */

const INFO = "members"; // the collection that keeps who is in which rooms
const ROOMS = "rooms";
const PAGE = 50; // messages that are read at once
const AGAIN = 2_000; // ms until what could not be read is tried again
const TYPING = 6_000; // ms that somebody counts as typing
const TELL_TYPING = 2_500; // ms between two words of it

export class Chat extends EventTarget {
  /** @type {Map<string, Room>} */
  rooms = new Map();
  /** @type {Set<string>} */
  joined = new Set();
  /** @type {Map<string, number>} new messages by room */
  unread = new Map();
  /** @type {Map<string, Map<string, Message>>} by room and id */
  messages = new Map();
  /** @type {Set<string>} the rooms whose first messages are known */
  complete = new Set();
  /** @type {Map<string, Profile>} by user */
  profiles = new Map();
  /** @type {Set<string>} users */
  online = new Set();
  /** @type {Map<string, Set<string>>} users by room */
  present = new Map();
  /** @type {Map<string, ReturnType<typeof setTimeout>>} users who type in the current room */
  typing = new Map();
  isConnected = false;
  current = "";
  #isStale = true; // what is known may be out of date
  /** @type {Set<string>} rooms whose newest messages were read */
  #read = new Set();
  /** @type {Set<string>} messages */
  #deleted = new Set();
  #toldTyping = 0;

  /**
   * @param {Sdk} sdk
   * @param {{ id: string, email: string }} user
   */
  constructor(sdk, user) {
    super();
    this.sdk = sdk;
    this.user = user;
    this.socket = sdk.ws();
    this.actions = this.socket.actions;
    this.outbox = new Outbox(this);
    this.#listen();
  }

  /** @param {"rooms" | "messages" | "people" | "connection" | "ended"} what */
  tell(what) {
    this.dispatchEvent(new Event(what));
  }

  close() {
    this.isConnected = false;
    this.socket.close();
  }

  #listen() {
    const { socket } = this;
    for (const action of ["create", "update", "patch"]) {
      socket.on(action, { collection: "messages" }, ({ response }) => this.arrive(response));
      socket.on(action, { collection: "profiles" }, ({ response }) => this.#meet(response));
    }
    socket.on("delete", { collection: "messages" }, ({ response }) => this.#forget(response));
    socket.on("createChannel", ({ response }) => this.#find(response));
    socket.on("presence", (change) => this.#see(change));
    socket.on("broadcast", { channelType: ROOMS }, (message) => this.#hearTyping(message));
    socket.on("online", () => this.#connect(true));
    socket.on("offline", () => this.#connect(false));
    socket.on("reload", () => this.#refresh());
    socket.on("ended", () => this.tell("ended"));
  }

  /** @param {boolean} isConnected */
  #connect(isConnected) {
    this.isConnected = isConnected;
    this.tell("connection");
    this.tell("people");
    if (!isConnected) return;
    this.outbox.check();
    if (this.#isStale) this.#refresh();
  }

  /** Read everything, the first time or again; while that fails, it is tried again. */
  async #refresh() {
    this.#isStale = true;
    try {
      await this.#readPeople();
      this.messages.clear();
      this.complete.clear();
      this.#read.clear();
      await this.open(this.current || (await this.#lastRoom()));
      this.#isStale = false;
    } catch (error) {
      asFailure(error);
      setTimeout(() => this.isConnected && this.#isStale && this.#refresh(), AGAIN);
    }
  }

  async #lastRoom() {
    const [info] = await this.sdk.db.getCollection(INFO);
    const last = info?.currentChannel?.channelId;
    return this.rooms.has(last) ? last : ([...this.rooms.keys()][0] ?? "");
  }

  async #readPeople() {
    const { db } = this.sdk;
    const { usersChannels } = await this.actions.joinUsersChannels(INFO);
    this.joined = new Set(usersChannels.map(({ channelId }) => channelId ?? ""));
    await this.actions.presence();
    const [rooms, profiles] = await Promise.all([db.getCollection(ROOMS), db.getCollection("profiles")]);
    for (const room of rooms) this.rooms.set(room._id, /** @type {Room} */ (room));
    for (const profile of profiles) this.#meet(/** @type {Profile} */ (profile));
    if (!this.profiles.has(this.user.id)) {
      const name = this.user.email.slice(0, this.user.email.lastIndexOf("@"));
      this.#meet(await db.createResource("profiles", { name }));
    }
    this.tell("rooms");
  }

  /**
   * Show a room; who opens one for the first time joins it.
   *
   * @param {string} id
   */
  async open(id) {
    this.current = id;
    this.unread.delete(id);
    this.#stopTyping();
    this.tell("rooms");
    this.tell("messages");
    if (!id) return;
    try {
      await this.#enter(id);
    } catch (error) {
      this.#isStale = true;
      throw error;
    }
  }

  /** @param {string} id of a room */
  async #enter(id) {
    if (this.joined.has(id)) {
      this.actions.changeChannel(INFO, ROOMS, id);
    } else {
      await this.actions.joinChannel(INFO, ROOMS, id);
      this.joined.add(id);
      this.tell("rooms");
    }
    this.actions.presence(ROOMS, id);
    // Joined first, read then: what is written in between comes by both ways, and counts once.
    if (!this.#read.has(id)) await this.#readMessages(id);
  }

  /** @param {string} name */
  async makeRoom(name) {
    const { response } = await this.actions.createChannel(INFO, ROOMS, name);
    this.joined.add(response._id);
    await this.open(response._id);
  }

  /**
   * @param {string} id
   * @param {string} [before] the time before which they were written
   */
  async #readMessages(id, before) {
    const filter = { channelType: ROOMS, channelId: id, ...(before && { createdAt: { $lt: before } }) };
    const known = this.#messagesOf(id); // from here on, also what arrives is kept
    const page = await this.sdk.db.getCollection("messages", { filter, sort: ["-createdAt", "-_id"], limit: PAGE });
    for (const message of page) {
      if (!known.has(message._id)) this.#keep(/** @type {Message} */ (message));
    }
    this.#read.add(id);
    if (page.length < PAGE) this.complete.add(id);
    this.tell("messages");
  }

  async readEarlier() {
    await this.#readMessages(this.current, this.shown()[0]?.createdAt);
  }

  /** @param {string} id */
  #messagesOf(id) {
    let known = this.messages.get(id);
    if (!known) this.messages.set(id, (known = new Map()));
    return known;
  }

  /** The current room's messages, in the order of their making. */
  shown() {
    const all = [...(this.messages.get(this.current)?.values() ?? [])];
    return all.sort((one, other) => compare(one.createdAt, other.createdAt) || compare(one._id, other._id));
  }

  /** @param {Message} message */
  #keep(message) {
    this.outbox.arrived(message.nonce);
    if (!this.#deleted.has(message._id)) this.#messagesOf(message.channelId).set(message._id, message);
  }

  /** @param {Message} message that was made or changed */
  arrive(message) {
    const { channelId, userId } = message;
    const isNew = !this.messages.get(channelId)?.has(message._id);
    // A room that was never open here is read when it is opened.
    if (this.messages.has(channelId)) this.#keep(message);
    if (isNew && channelId !== this.current && userId !== this.user.id) {
      this.unread.set(channelId, (this.unread.get(channelId) ?? 0) + 1);
      this.tell("rooms");
    }
    this.#stopTyping(userId);
    this.tell("messages");
  }

  /** @param {Message} message */
  #forget({ _id, channelId }) {
    this.#deleted.add(_id);
    this.messages.get(channelId)?.delete(_id);
    this.tell("messages");
  }

  /** @param {any} room */
  #find(room) {
    this.rooms.set(room._id, room);
    this.tell("rooms");
  }

  /** @param {any} profile the first one that a user has made is the one */
  #meet(profile) {
    const known = this.profiles.get(profile.userId);
    if (known && known._id < profile._id) return;
    this.profiles.set(profile.userId, profile);
    this.tell("people");
  }

  /** @param {Change} change */
  #see({ channelId, users, joined, left }) {
    const known = channelId ? this.present.get(channelId) : this.online;
    const seen = new Set(users ?? known);
    if (joined) seen.add(joined);
    if (left) seen.delete(left);
    if (channelId) this.present.set(channelId, seen);
    else this.online = seen;
    this.tell("people");
  }

  /** @param {Change} message */
  #hearTyping({ channelId, userId, typing }) {
    if (!typing || channelId !== this.current || userId === this.user.id) return;
    clearTimeout(this.typing.get(userId));
    this.typing.set(userId, setTimeout(() => this.#stopTyping(userId), TYPING));
    this.tell("people");
  }

  /** @param {string} [userId] everybody, when left out */
  #stopTyping(userId) {
    for (const typist of userId ? [userId] : [...this.typing.keys()]) {
      clearTimeout(this.typing.get(typist));
      this.typing.delete(typist);
    }
    this.tell("people");
  }

  /** Tell the others in the room that something is being written. */
  tellTyping() {
    if (!this.isConnected || Date.now() - this.#toldTyping < TELL_TYPING) return;
    this.#toldTyping = Date.now();
    this.actions.broadcast({ typing: true, channelType: ROOMS, channelId: this.current });
  }

  /** @param {string} text */
  send(text) {
    this.#toldTyping = 0;
    this.outbox.send({ text, channelType: ROOMS, channelId: this.current });
  }

  /**
   * @param {Message} message
   * @param {string} text
   */
  async edit({ _id }, text) {
    await this.actions.updateResource("messages", _id, { text, edited: true });
  }

  /** @param {Message} message */
  async delete({ _id }) {
    await this.actions.deleteResource("messages", _id);
  }

  /** @param {string} userId */
  nameOf(userId) {
    return String(this.profiles.get(userId)?.name || "Somebody"); // others write what they like
  }

  /** @param {string} id of a room; "" where there is none */
  titleOf(id) {
    const room = this.rooms.get(id);
    return room ? String(room.name || "A room") : "";
  }

  /** @param {string} userId */
  avatarOf(userId) {
    const { avatar = "" } = this.profiles.get(userId) ?? {};
    return /^[\w.-]+\.png$/.test(avatar) ? this.sdk.storage.getFileUrl(userId, avatar) : "";
  }

  /** @param {{ name?: string, avatar?: string }} change of one's own profile */
  async changeProfile(change) {
    const own = this.profiles.get(this.user.id);
    if (own) this.#meet(await this.sdk.db.updateResource("profiles", own._id, change));
  }
}

/**
 * @param {string} one
 * @param {string} other
 */
const compare = (one, other) => (one < other ? -1 : Number(one > other));
