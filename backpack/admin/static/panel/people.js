/** E-mail addresses of users that are known by their ids; each is looked up once. */

/** Whose the files are that developers upload for nobody. */
export const NOBODY = "0".repeat(24);

export class People {
  /** @type {Map<string, string>} ids and addresses; "" while one is looked for */
  #known = new Map([[NOBODY, "nobody"]]);

  /** @param {import("./console.js").Ask} ask */
  constructor(ask) {
    this.ask = ask;
  }

  /** @param {string} id @returns {string} the address, or the id as long as that is not known */
  name(id) {
    return this.#known.get(id) || id;
  }

  /**
   * @param {Iterable<string>} ids
   * @returns {Promise<boolean>} whether there was one to look up
   */
  async look(ids) {
    const unknown = [...new Set(ids)].filter((id) => !this.#known.has(id));
    for (const id of unknown) this.#known.set(id, "");
    await Promise.all(
      unknown.map(async (id) => {
        const { items } = await this.ask("get", "users", undefined, { search: id, limit: 1 });
        this.#known.set(id, items[0]?._id === id ? items[0].email : `${id}, deleted`);
      }),
    );
    return unknown.length > 0;
  }
}
