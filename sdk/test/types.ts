/** What a TypeScript user may and may not write; read by `npm run types`, never called. */

import { BackpackError, createSdk, type Counted, type Query, type Stored, type User } from "backpack-baas";

interface Car {
  brand: string;
  price: number;
  sold?: boolean;
}

const { auth, db } = createSdk(new URL("http://localhost"), "key", { session: "token" });
const query: Query = { filter: { price: { $gte: 1 } }, sort: ["-price"], fields: "brand", skip: 0, limit: 1 };

export async function accepted(): Promise<void> {
  const { id }: { id: string } = await auth.register("a@b.c", "password");
  const user: User = await auth.me();
  const token: string | null = auth.session;
  const names: string[] = await db.getCollectionsList();
  const name: string = await db.createNewCollection("cars");
  const cars: Stored<Car>[] = await db.getCollection<Car>("cars", query);
  const counted: Counted<Car> = await db.getCollection<Car>("cars", { count: true });
  const total: number = counted.total;
  const untyped: string = (await db.getResource("cars", id)).brand;
  const made: Stored<Car> = await db.createResource("cars", { brand: "Volvo", price: 1 });
  const many: Stored<{ brand: string }>[] = await db.createResource("cars", [{ brand: "Volvo" }]);
  const empty: Stored<object> = await db.createResource("cars");
  const changed: Stored<Car> = await db.updateResource<Car>("cars", id, { price: 2, sold: null, "a.b": 1 });
  const replaced: Stored<Car> = await db.overwriteResource<Car>("cars", id, { brand: "Saab", price: 1 });
  const created: string = (await db.deleteResource<Car>("cars", id)).createdAt;
  console.log(user, token, names, name, cars, total, untyped, made, many, empty, changed, replaced, created);
}

export async function refused(): Promise<void> {
  // @ts-expect-error the API key is missing
  createSdk("http://localhost");
  // @ts-expect-error the session is read-only
  auth.session = "token";
  // @ts-expect-error there is no such option
  await db.getCollection("cars", { where: {} });
  // @ts-expect-error there is a total only where it is asked for
  (await db.getCollection("cars")).total;
  // @ts-expect-error a price is a number
  await db.updateResource<Car>("cars", "1", { price: "cheap" });
  // @ts-expect-error a whole record has a price
  await db.overwriteResource<Car>("cars", "1", { brand: "Saab" });
  // @ts-expect-error stamps are the server's
  (await db.getResource<Car>("cars", "1"))._id = "2";
}

export function caught(error: unknown): Record<string, string> {
  if (!(error instanceof BackpackError)) throw error;
  const { name, message, status, code, fields, cause } = error;
  console.log(name satisfies "BackpackError", message, status satisfies number, code satisfies string, cause);
  return fields;
}
