/**
 * Writes dist/: the modules one after another, without their imports and doc comments, once as a
 * classic script with the global `createSdk` and once as an ES module. `node build.mjs`
 *
 * It joins text, so it relies on the modules' form: imports and exports start a line and fit on
 * it, and no two modules have a top-level name in common.
 */

import { readFile, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const MODULES = [
  "upload.js",
  "client.js",
  "auth.js",
  "db.js",
  "storage.js",
  "connection.js",
  "requests.js",
  "actions.js",
  "socket.js",
  "index.js",
];

/** @param {string} source */
function bare(source) {
  return source
    .replace(/^ *\/\*\*[^]*?\*\/\n/gm, "")
    .replace(/\/\*\*.*?\*\/ /g, "")
    .replace(/^import .*\n/gm, "")
    .replace(/^export \{.*\n/gm, "")
    .replace(/^export /gm, "")
    .replace(/\n{3,}/g, "\n\n")
    .trim();
}

/**
 * What dist/ should hold: text by file name.
 *
 * @returns {Promise<Record<string, string>>}
 */
export async function build() {
  const folder = new URL(".", import.meta.url);
  const { version, license } = JSON.parse(await readFile(new URL("package.json", folder), "utf8"));
  const sources = await Promise.all(MODULES.map((name) => readFile(new URL(name, folder), "utf8")));
  const banner = `/* Backpack SDK ${version}, ${license} */\n`;
  const code = sources.map(bare).join("\n\n");
  return {
    "backpack.js": `${banner}(() => {
"use strict";

${code}

createSdk.BackpackError = BackpackError;
globalThis.createSdk = createSdk;
})();
`,
    "backpack.mjs": `${banner}${code}

export { BackpackError, createSdk };
`,
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  for (const [name, text] of Object.entries(await build())) {
    await writeFile(new URL(`dist/${name}`, import.meta.url), text);
  }
}
