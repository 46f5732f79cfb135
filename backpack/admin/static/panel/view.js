/** The page of a list that is on the screen: asked for, and asked again when what it lists has changed. */

/** @typedef {{ items: any[], total: number }} Found */

/**
 * @template {{ page: number, size: number }} Asked
 * @typedef {object} Told
 * @property {(found: Found, asked: Asked, live: boolean) => void} onfound `live`: nobody asked, the app has written
 * @property {(error: unknown, live: boolean) => void} onfailed
 * @property {(busy: boolean) => void} [onbusy]
 * @property {(missed: number) => void} [onmissed] changes that are not shown, since they are held back
 */

const SOON = 60; // ms after a change; what is written together is read once
const LATEST = 3_000;

/** @template {{ page: number, size: number }} Asked */
export class View {
  #turn = 0;
  #took = 0;
  #missed = 0;
  #isLive = true;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {Asked} asked what is asked for at first
   * @param {(asked: Asked) => Promise<Found>} find
   * @param {Told<Asked>} told
   */
  constructor(asked, find, told) {
    this.asked = asked;
    this.find = find;
    this.told = told;
  }

  get isLive() {
    return this.#isLive;
  }

  /** @param {boolean} live whether changes are shown as they come */
  set isLive(live) {
    this.#isLive = live;
    if (live && this.#missed) this.#later();
    this.#miss(0);
  }

  /** @param {Partial<Asked>} changes */
  open(changes) {
    this.asked = { ...this.asked, ...changes };
    return this.load(false);
  }

  /** What is listed has changed. */
  touch() {
    if (this.#isLive) this.#later();
    else this.#miss(this.#missed + 1);
  }

  /** @param {number} missed */
  #miss(missed) {
    this.#missed = missed;
    this.told.onmissed?.(missed);
  }

  #later() {
    // A look that takes long is not taken all the time.
    this.#timer ??= setTimeout(() => this.load(true), Math.min(LATEST, SOON + 3 * this.#took));
  }

  /** @param {boolean} live */
  async load(live) {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#turn += 1;
    const turn = this.#turn;
    const asked = this.asked;
    const began = performance.now();
    if (!live) this.told.onbusy?.(true);
    try {
      const found = await this.#find(asked);
      if (turn !== this.#turn) return;
      this.told.onfound(found, this.asked, live);
    } catch (error) {
      if (turn === this.#turn) this.told.onfailed(error, live);
    } finally {
      this.#took = performance.now() - began;
      if (turn === this.#turn && !live) this.told.onbusy?.(false);
    }
  }

  /** @param {Asked} asked @returns {Promise<Found>} */
  async #find(asked) {
    const found = await this.find(asked);
    const last = Math.max(1, Math.ceil(found.total / asked.size));
    if (asked.page <= last || asked !== this.asked) return found;
    // So many were deleted that this page is no more.
    this.asked = { ...asked, page: last };
    return this.#find(this.asked);
  }
}

/**
 * What the console takes for a page.
 *
 * @param {{ page: number, size: number }} asked
 */
export const pageOf = ({ page, size }) => ({ skip: (page - 1) * size, limit: size });
