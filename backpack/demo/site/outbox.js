/**
 * Messages on their way. Each has a word of its own, the nonce, by which it is known again: when a
 * connection breaks before the answer, it is looked for before it is sent once more.
 */

/** @typedef {{ nonce: string, text: string, channelType: string, channelId: string, state: "sending" | "unsure" | "failed", why: string }} Letter */

const UNSURE = ["connection_lost", "timeout"]; // it may have arrived, or not

export class Outbox {
  /** @type {Map<string, Letter>} */
  letters = new Map();

  /** @param {import("./chat.js").Chat} chat */
  constructor(chat) {
    this.chat = chat;
  }

  /** @param {{ text: string, channelType: string, channelId: string }} message */
  send(message) {
    const random = crypto.getRandomValues(new Uint32Array(4));
    const nonce = [...random].map((part) => part.toString(36)).join("");
    /** @type {Letter} */
    const letter = { ...message, nonce, state: "sending", why: "" };
    this.letters.set(nonce, letter);
    this.#post(letter);
  }

  /** @param {Letter} letter */
  async #post(letter) {
    const { nonce, text, channelType, channelId } = letter;
    letter.state = "sending";
    this.chat.tell("messages");
    try {
      const message = { text, nonce, channelType, channelId };
      const { response } = await this.chat.actions.createResource("messages", message);
      this.chat.arrive(/** @type {any} */ (response));
    } catch (error) {
      const { code, message } = /** @type {import("../../../sdk/index.js").BackpackError} */ (error);
      letter.state = UNSURE.includes(code) ? "unsure" : "failed";
      letter.why = message;
      this.chat.tell("messages");
      if (letter.state === "unsure" && this.chat.isConnected) this.check();
    }
  }

  /** What is unsure is looked for, and sent again if it is not there. */
  async check() {
    for (const letter of [...this.letters.values()].filter(({ state }) => state === "unsure")) {
      letter.state = "sending";
      const { nonce, channelId } = letter;
      const found = await this.chat.sdk.db
        .getCollection("messages", { filter: { nonce, channelId }, limit: 1 })
        .catch(() => null);
      if (!found) letter.state = "unsure";
      else if (found.length === 0) this.#post(letter);
      else this.chat.arrive(/** @type {any} */ (found[0]));
    }
  }

  /** @param {Letter} letter that has failed */
  retry(letter) {
    this.#post(letter);
  }

  /** @param {Letter} letter */
  drop({ nonce }) {
    this.arrived(nonce);
    this.chat.tell("messages");
  }

  /** @param {string} nonce */
  arrived(nonce) {
    this.letters.delete(nonce);
  }
}
