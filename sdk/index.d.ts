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
}

export interface Sdk {
  /** Accounts and sessions. */
  readonly auth: Auth;
  /** Collections and their records. */
  readonly db: Db;
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
  /** The HTTP status; 0 when there was no answer or nothing was sent. */
  readonly status: number;
  /**
   * A stable word for programs: the backend's, or `network_error` (no answer, see `cause`),
   * `bad_argument` (not sent), `bad_answer` (something else than a backpack answered).
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
