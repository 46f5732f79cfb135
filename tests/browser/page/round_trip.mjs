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

export async function roundTrip(sdk, email) {
  return { accounts: await accounts(sdk, email), records: await records(sdk, `cars-${email.split("@")[0]}`) };
}
