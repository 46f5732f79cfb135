/** One of everything the SDK does, and what came of it; the same in a page and in Node. */

const PASSWORD = "correct horse";

/** @param {Promise<unknown>} call */
const refusal = (call) =>
  call.then(
    () => "no refusal",
    ({ name, status, code, message, fields }) => ({ name, status, code, message, fields }),
  );

/** What a record holds besides the server's stamps, which are checked here. */
function bare({ _id, createdAt, updatedAt, ...data }) {
  const stamped = /^[0-9a-f]{24}$/.test(_id) && !Number.isNaN(Date.parse(createdAt)) && updatedAt >= createdAt;
  return stamped ? data : { unstamped: _id };
}

async function accounts({ auth }, email) {
  const guest = await refusal(auth.me());
  const { id } = await auth.register(email, PASSWORD);
  const again = await refusal(auth.register(email, PASSWORD));
  const wrong = await refusal(auth.login(email, "battery staple"));
  const login = await auth.login(email.toUpperCase(), PASSWORD);
  const me = await auth.me();
  await auth.changePassword(PASSWORD, `${PASSWORD} battery`);
  return { guest, again, wrong, same: [login.id, me.id].every((other) => other === id), email: me.email };
}

async function records({ db }, collection) {
  const missing = await refusal(db.getCollection(collection));
  const created = await db.createNewCollection(collection);
  const listed = (await db.getCollectionsList()).includes(collection);
  const volvo = await db.createResource(collection, { brand: "Volvo & Söner", price: 9000, sold: true });
  const [saab] = await db.createResource(collection, [{ brand: "Saab", price: 7000 }, { brand: "Fiat", price: 500 }]);
  const changed = bare(await db.updateResource(collection, volvo._id, { price: 8500, sold: null, "engine": { kw: 1 } }));
  const reached = bare(await db.updateResource(collection, volvo._id, { "engine.kw": 110 }));
  const replaced = bare(await db.overwriteResource(collection, saab._id, { brand: "Saab", price: 6000 }));
  const page = await db.getCollection(collection, {
    filter: { price: { $gte: 1000 } },
    sort: ["-price"],
    fields: ["brand"],
    limit: 1,
    count: true,
  });
  const after = await db.getCollection(collection, { after: saab._id });
  const deleted = bare(await db.deleteResource(collection, volvo._id));
  const gone = await refusal(db.getResource(collection, volvo._id));
  const odd = await refusal(db.getResource(collection, "a/../b?c#d"));
  const one = bare(await db.getResource(collection, saab._id));
  return {
    missing,
    created: created === collection,
    listed,
    changed,
    reached,
    replaced,
    page: page.map(({ brand }) => brand),
    total: page.total,
    after: after.map(({ brand }) => brand),
    deleted,
    gone: gone.status,
    odd: odd.status,
    one,
  };
}

/** What is known of a file besides the server's stamps, which are checked here. */
function known({ userId, ...record }) {
  return /^[0-9a-f]{24}$/.test(userId) ? bare(record) : { unowned: userId };
}

async function files({ storage }) {
  const content = new Blob(["Grüße"], { type: "text/plain" });
  const told = [];
  const onProgress = ({ loaded, total }) => told.push(loaded > 0 && loaded === total);
  const made = await storage.uploadFile(content, "a ö.txt", "letters", { onProgress });
  const taken = await refusal(storage.uploadFile(content, "a ö.txt", "letters"));
  const nothing = await refusal(storage.uploadFile(undefined, "b.txt", "letters"));
  const { record } = await storage.updateFile("a ö.txt", "b.txt", "notes");
  const first = await (await storage.getFile(made.userId, "b.txt")).text();
  const { message } = await storage.overwriteFile("Hello", "b.txt");
  const response = await storage.getFile(made.userId, "b.txt");
  const signal = AbortSignal.abort();
  const aborted = (await storage.uploadFile(content, "c.txt", "letters", { signal }).catch((error) => error)).code;
  const { records: listed } = await storage.getListOfUserFiles(made.userId);
  const { deletedRecord } = await storage.deleteFile("b.txt");
  return {
    made: known(made),
    told: told.at(-1),
    taken,
    nothing,
    renamed: known(record),
    first,
    message,
    second: await response.text(),
    aborted,
    listed: listed.map(({ filename }) => filename),
    deleted: deletedRecord.filename,
    gone: (await refusal(storage.getFile(made.userId, "b.txt"))).status,
  };
}

async function messages({ ws, db }, collection) {
  const socket = ws();
  const seen = [];
  socket.onmessage = ({ data }) => {
    const { action, httpRequest, requestId, seq } = JSON.parse(data);
    seen.push([action, httpRequest, requestId, seq].filter(Boolean).join());
  };
  await new Promise((resolve) => (socket.onopen = resolve));
  const { response: made } = await socket.actions.createResource(collection, { brand: "Volvo" });
  const silent = await socket.actions.createResource(collection, { brand: "Saab", broadcast: false });
  const changed = await socket.actions.updateResource(collection, made._id, { price: 9000 });
  const replaced = await socket.actions.overwriteResource(collection, made._id, { brand: "Lancia" });
  const found = await socket.actions.findResource(collection, { brand: "Lancia" });
  const missing = await socket.actions.getResource(collection, "0".repeat(24));
  const refused = await refusal(socket.actions.createResource(collection, { _id: "x" }));
  const heard = new Promise((resolve) => socket.on("create", { collection }, resolve));
  const written = await db.createResource(collection, { brand: "Seat" });
  const byHttp = (await heard).response._id === written._id;
  await socket.actions.deleteResource(collection, made._id);
  const ended = await new Promise((resolve) => {
    socket.onclose = ({ wasClean }) => resolve([wasClean, socket.readyState]);
    socket.close();
  });
  return {
    made: bare(made),
    silent: silent.response.brand,
    changed: bare(changed.response),
    replaced: bare(replaced.response),
    found: found.response.map(bare),
    missing: missing.response,
    refused,
    byHttp,
    seen,
    ended,
  };
}

export async function roundTrip(sdk, email) {
  const collection = `cars-${email.split("@")[0]}`;
  return {
    accounts: await accounts(sdk, email),
    records: await records(sdk, collection),
    files: await files(sdk),
    messages: await messages(sdk, collection),
  };
}
