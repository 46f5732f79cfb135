"""The panel: what its pages cost the server, with many backpacks."""

from __future__ import annotations

import time
from statistics import median

import httpx
from peers import Sandbox
from results import Results
from scenarios import Bench

from backpack.control import perform

BACKPACKS = 500
TIMES = 30  # that each page is asked for
SEEN = 20  # backpacks on the screen, whose state is asked for

PAGES = ("/", "/api/backpacks", "/backpacks/app7", "/backpacks/app7/site", "/log", "/api/log")


def panel(bench: Bench, results: Results) -> None:
    """Pages of the panel with 500 backpacks."""
    with bench.sandbox("--backpack", "app0") as sandbox:
        for number in range(1, BACKPACKS):
            perform(sandbox.data, "create", {"name": f"app{number}"})
    (bench.folder / "backpack.json").unlink()  # the next one is ready when it has written its own
    with bench.sandbox() as sandbox:
        client = _signed_in(sandbox)
        names = ",".join(f"app{number}" for number in range(SEEN))
        for path in (*PAGES, f"/api/status?names={names}"):
            took = [_ask(client, path) for _ in range(TIMES)]
            what = f"the panel with {BACKPACKS} backpacks, {path.partition('?')[0]}"
            results.add(f"{what}: first", took[0] * 1_000, "ms", "<= 100")
            results.add(f"{what}: median", median(took) * 1_000, "ms", "<= 100")
        results.add(
            f"peak memory with the panel and {BACKPACKS} backpacks",
            sandbox.process.memory_mb("VmHWM"),
            "MB",
        )


def _signed_in(sandbox: Sandbox) -> httpx.Client:
    link = str(perform(sandbox.data, "link", {})["url"])
    admin, _, path = link.partition("/open/")
    client = httpx.Client(
        base_url=f"http://127.0.0.1:{sandbox.port}",
        headers={"host": admin.removeprefix("http://"), "origin": admin},
        timeout=60,
    )
    kind = {"content-type": "application/x-www-form-urlencoded"}
    answer = client.post(f"/open/{path}", content=b"", headers=kind)
    client.headers["cookie"] = answer.headers["set-cookie"].partition(";")[0]
    return client


def _ask(client: httpx.Client, path: str) -> float:
    began = time.perf_counter()
    client.get(path).raise_for_status()
    return time.perf_counter() - began
