/** Collections and their records, and how a query is written into a URL. */

import { BackpackError } from "./client.js";

/**
 * @param {import("./client.js").Client} client
 * @returns {import("./index.d.ts").Db}
 */
export function createDb(client) {
  /**
   * @param {string} method
   * @param {string[]} path
   * @param {unknown} [data]
   */
  async function send(method, path, data) {
    const { body } = await client.send(method, path, { data });
    return body;
  }

  return {
    getCollectionsList: () => send("GET", ["collections"]),
    createNewCollection: (name) => send("POST", ["collections"], { collectionName: name }),

    /**
     * @param {string} collection
     * @param {import("./index.d.ts").Query} [query]
     */
    async getCollection(collection, query = {}) {
      const { body, headers } = await client.send("GET", [collection], { query: parameters(query) });
      // Not enumerable, so that the answer compares and prints as the plain array it is.
      if (query.count) Object.defineProperty(body, "total", { value: Number(headers.get("x-total-count")) });
      return body;
    },

    getResource: (collection, id) => send("GET", [collection, id]),
    /**
     * @param {string} collection
     * @param {unknown} [data]
     */
    createResource: (collection, data) => send("POST", [collection], data),
    updateResource: (collection, id, data) => send("PATCH", [collection, id], data),
    overwriteResource: (collection, id, data) => send("PUT", [collection, id], data),
    deleteResource: (collection, id) => send("DELETE", [collection, id]),
  };
}

/**
 * Every option travels, known or not: the backend says which ones are wrong.
 *
 * @param {import("./index.d.ts").Query} query
 */
function parameters(query) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== false) search.set(name, written(name, value));
  }
  return search;
}

/**
 * @param {string} name
 * @param {unknown} value
 */
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
