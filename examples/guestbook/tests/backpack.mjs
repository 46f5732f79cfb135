/** A Backpack of its own for a test run: in memory, on a free port. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

/** Starts it. `{ backpacks: [{ name, backend, frontend, api_key, connect }], stop }` */
export async function startBackpack(...options) {
  const folder = await mkdtemp(join(tmpdir(), "backpack-"));
  const readyFile = join(folder, "ready.json");
  const command = ["-m", "backpack", "dev", "--memory", "--port", "0", "--ready-file", readyFile];
  const server = spawn(process.env.PYTHON ?? "python3", [...command, ...options], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const ended = once(server, "exit");
  const ready = await Promise.race([whenWritten(readyFile), ended]);
  if (Array.isArray(ready)) throw new Error("Backpack did not start; it says why above");

  async function stop() {
    server.kill();
    await ended;
    await rm(folder, { recursive: true });
  }
  return { ...ready, stop };
}

/** The ready file's content, as soon as it is there. */
async function whenWritten(path) {
  for (;;) {
    try {
      return JSON.parse(await readFile(path, "utf8"));
    } catch (error) {
      if (error.code !== "ENOENT") throw error;
      await pause(20);
    }
  }
}
