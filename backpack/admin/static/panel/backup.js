/** The page of backups: back from one, as a new backpack or in place of what is in this one. */

import { backpack, byId } from "./dom.js";
import { importAsNew, replaceBy } from "./restoring.js";
import { say, sayError } from "./toast.js";

const name = backpack();

async function replace() {
  if (await replaceBy(name)) say(`${name} is as the backup has it`);
}

byId("replace", "button").addEventListener("click", () => replace().catch(sayError));
byId("as-new", "button").addEventListener("click", () => importAsNew().catch(sayError));
