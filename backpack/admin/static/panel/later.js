/** What a page loads when it is asked for the first time, not before its first rows. */

import { ApiError } from "./api.js";
import { sayError } from "./toast.js";

let isLoading = false;

/**
 * Do something with a module, and say what goes wrong. Presses that come while it is being loaded
 * are none: who presses twice wants one window.
 *
 * @template Module
 * @param {Promise<Module>} module
 * @param {(module: Module) => unknown} act
 */
export async function later(module, act) {
  if (isLoading) return;
  isLoading = true;
  const loaded = module.catch((cause) => {
    throw new ApiError("A part of this page could not be loaded. Load the page again.", { cause });
  });
  try {
    await act(await loaded.finally(() => (isLoading = false)));
  } catch (error) {
    sayError(error);
  }
}
