/** The round trip in Node: `node node.mjs SDK URL API_KEY EMAIL` writes what came of it as JSON. */

import { pathToFileURL } from "node:url";

import { roundTrip } from "./round_trip.mjs";

const [module, url, apiKey, email] = process.argv.slice(2);
const { createSdk } = await import(pathToFileURL(module));

const sdk = createSdk(`${url}/`, apiKey);
const outcome = await roundTrip(sdk, email);
const restored = createSdk(url, apiKey, { session: sdk.auth.session });
const other = createSdk(url, apiKey);
const resumed = (await restored.auth.me()).email;
const stranger = await other.auth.me().catch(({ status }) => status);
await sdk.auth.logout();
const ended = await restored.auth.me().catch(({ status }) => status);
const dropped = sdk.auth.session;
const nobody = await createSdk("http://127.0.0.1:1", apiKey).auth.me().catch(({ status, code }) => ({ status, code }));
console.log(JSON.stringify({ outcome, resumed, stranger, ended, dropped, nobody }));
