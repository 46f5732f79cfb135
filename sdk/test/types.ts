/** What a TypeScript user may and may not write; read by `npm run types`, never called. */

import {
  BackpackError,
  createSdk,
  type Counted,
  type FileRecord,
  type Message,
  type Query,
  type Stored,
  type User,
} from "backpack-baas";

interface Car {
  brand: string;
  price: number;
  sold?: boolean;
}

const { auth, db, storage, ws } = createSdk(new URL("http://localhost"), "key", { session: "token", WebSocket });
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

export async function uploaded(file: File, signal: AbortSignal): Promise<void> {
  const made: FileRecord = await storage.uploadFile(file, "a.txt", "texts", {
    signal,
    onProgress: ({ loaded, total }) => console.log(loaded / total),
  });
  const { records }: { records: FileRecord[] } = await storage.getListOfUserFiles(made.userId);
  const content: Blob = await (await storage.getFile(made.userId, made.filename, { signal })).blob();
  const url: string = storage.getFileUrl(made.userId, made.filename);
  const { record } = await storage.updateFile("a.txt", "b.txt");
  const { message } = await storage.overwriteFile("text", record.filename);
  const { deletedRecord } = await storage.deleteFile("b.txt");
  console.log(records, content, url, message satisfies string, deletedRecord.size satisfies number);
}

export async function connected(): Promise<void> {
  const socket = ws();
  socket.onopen = () => console.log(socket.readyState === socket.OPEN);
  socket.onmessage = ({ data }) => console.log(JSON.parse(data) as Message);
  socket.onclose = ({ code, reason, wasClean }) => console.log(code, reason, wasClean);
  socket.onerror = null;
  const stop: () => void = socket.on("create", { collection: "cars" }, ({ response }) => console.log(response));
  socket.on("reload", () => stop());
  const { response } = await socket.actions.findResource<Car>("cars", { price: { $gt: 1 } });
  const one: Stored<Car> | null = (await socket.actions.getResource<Car>("cars", "1")).response;
  const changed: Stored<Car> = (await socket.actions.updateResource<Car>("cars", "1", { price: 2 })).response;
  const { usersChannels } = await socket.actions.joinUsersChannels("info");
  const { currentChannel } = (await socket.actions.joinChannel("info", "rooms", "1")).response;
  const { users }: { users: string[] } = await socket.actions.presence();
  console.log(response[0]?.brand, one, changed, usersChannels, currentChannel.channelId, users);
  socket.close();
}

export async function refused(): Promise<void> {
  // @ts-expect-error the API key is missing
  createSdk("http://localhost");
  // @ts-expect-error the session is read-only
  auth.session = "token";
  // @ts-expect-error a file has content
  await storage.uploadFile({ name: "a.txt" });
  // @ts-expect-error there is no such action
  ws().actions.createRoom("Sailing");
  // @ts-expect-error the state is the socket's
  ws().readyState = 1;
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
