/** What dist/backpack.js adds to a page, for the scripts of Backpack's own pages. */

import type * as sdk from "./index.js";

declare global {
  const createSdk: typeof sdk.createSdk & { BackpackError: typeof sdk.BackpackError };
}
