"""The SDK where developers use it: a page on a local server of their own, and Node."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.visits import Sandbox, round_trip

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

_PAGE = Path(__file__).parent / "page"


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        return None


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """A development server; yields its URL on `localhost`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://localhost:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def own_page() -> Iterator[str]:
    """A page on another port of `localhost`, as a development server shows it."""
    with serve(_PAGE) as url:
        yield url


async def call(page: Page, sandbox: Sandbox, script: str, *args: Any) -> Any:
    """What `script`, a function of an SDK object and `args`, returns in the page."""
    start = "([url, key, args]) => (" + script + ")(createSdk(url, key), ...args)"
    return await page.evaluate(start, [sandbox.backend, sandbox.api_key, args])


async def test_own_page_does_everything(
    page: Page, sandbox: Sandbox, own_page: str, email: str
) -> None:
    await page.goto(own_page)
    await page.add_script_tag(url=f"{sandbox.admin}/sdk.js")
    script = "async (sdk, email) => (await import('/round_trip.mjs')).roundTrip(sdk, email)"
    assert await call(page, sandbox, script, email) == round_trip(email)


async def test_own_page_stays_logged_in(
    page: Page, sandbox: Sandbox, own_page: str, email: str
) -> None:
    await page.goto(own_page)
    await page.add_script_tag(url=f"{sandbox.admin}/sdk.js")
    enter = """async ({ auth }, email) => {
        await auth.register(email, "correct horse");
        await auth.login(email, "correct horse");
        return { session: auth.session, cookies: document.cookie };
    }"""
    assert await call(page, sandbox, enter, email) == {"session": None, "cookies": ""}

    await page.reload()
    await page.add_script_tag(url=f"{sandbox.admin}/sdk.js")
    assert await call(page, sandbox, "async ({ auth }) => (await auth.me()).email") == email

    (cookie,) = await page.context.cookies()
    assert cookie["name"] == "backpack_session"
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "None")
    assert cookie["partitionKey"] == "http://localhost"

    leave = (
        "async ({ auth }) =>"
        " { await auth.logout(); return (await auth.me().catch((e) => e)).status }"
    )
    assert await call(page, sandbox, leave) == 403
    assert await page.context.cookies() == []


async def test_plain_handlers_see_plain_messages(
    page: Page, sandbox: Sandbox, own_page: str, email: str
) -> None:
    """Neither `seq` nor `requestId`, and one message for each call."""
    await page.goto(own_page)
    await page.add_script_tag(url=f"{sandbox.admin}/sdk.js")
    script = """async (sdk, email) => {
        await sdk.auth.register(email, "correct horse");
        await sdk.auth.login(email, "correct horse");
        return (await import("/plain.mjs")).plainChat(sdk, email);
    }"""
    channel = "action channelId channelType response userId"
    assert await call(page, sandbox, script, email) == [
        "action response",
        "action usersChannels",
        "action response usersChannels usersCurrentChannel",
        "action collection response",
        "action collection response",
        "action collection response",
        "action collection response",
        channel,
        channel,
        "action channelId channelType move userId",
        channel,
        "action collection response",
        "action code message request",
    ]


async def test_own_page_shows_pictures(
    page: Page, sandbox: Sandbox, own_page: str, email: str
) -> None:
    await page.goto(own_page)
    await page.add_script_tag(url=f"{sandbox.admin}/sdk.js")
    script = """async ({ auth, storage }, email) => {
        await auth.register(email, "correct horse");
        await auth.login(email, "correct horse");
        const canvas = Object.assign(document.createElement("canvas"), { width: 12, height: 8 });
        canvas.getContext("2d").fillRect(0, 0, 12, 8);
        const picture = await new Promise((resolve) => canvas.toBlob(resolve));
        const { userId, filename } = await storage.uploadFile(picture, "a ?#%.png", "pictures");
        const image = Object.assign(new Image(), { src: storage.getFileUrl(userId, filename) });
        await image.decode();
        return [image.naturalWidth, image.naturalHeight];
    }"""
    assert await call(page, sandbox, script, email) == [12, 8]


async def test_upload_can_be_aborted_on_its_way(
    page: Page, sandbox: Sandbox, own_page: str, email: str
) -> None:
    await page.goto(own_page)
    await page.add_script_tag(url=f"{sandbox.admin}/sdk.js")
    script = """async ({ auth, storage }, email) => {
        await auth.register(email, "correct horse");
        await auth.login(email, "correct horse");
        const controller = new AbortController();
        const told = [];
        const onProgress = ({ loaded, total }) => {
            told.push(loaded > 0 && loaded <= total);
            controller.abort();
        };
        const large = new Blob([new Uint8Array(80_000_000)]);
        const options = { onProgress, signal: controller.signal };
        const { name, code, status } = await storage
            .uploadFile(large, "large", "any", options)
            .catch((error) => error);
        return { name, code, status, told: told[0] };
    }"""
    assert await call(page, sandbox, script, email) == {
        "name": "BackpackError",
        "code": "aborted",
        "status": 0,
        "told": True,
    }


async def test_socket_ends_with_the_session(
    page: Page, sandbox: Sandbox, own_page: str, email: str
) -> None:
    await page.goto(own_page)
    await page.add_script_tag(url=f"{sandbox.admin}/sdk.js")
    script = """async ({ auth, ws }, email) => {
        const end = (socket) => new Promise((resolve) => {
            const events = [];
            socket.on("ended", () => events.push("ended"));
            socket.onclose = ({ code }) => resolve([...events, code, socket.readyState]);
        });
        const guest = await end(ws());
        await auth.register(email, "correct horse");
        await auth.login(email, "correct horse");
        const socket = ws();
        await new Promise((resolve) => (socket.onopen = resolve));
        const ended = end(socket);
        await auth.logout();
        return [guest, await ended];
    }"""
    ended = ["ended", 4401, 3]
    assert await call(page, sandbox, script, email) == [ended, ended]


async def test_own_page_imports_module(page: Page, sandbox: Sandbox, own_page: str) -> None:
    await page.goto(own_page)
    script = """async ([module, url, key]) => {
        const { createSdk, BackpackError } = await import(module);
        const error = await createSdk(url, key).auth.me().catch((reason) => reason);
        return [error instanceof BackpackError, error.status, typeof globalThis.createSdk];
    }"""
    args = [f"{sandbox.admin}/sdk.mjs", sandbox.backend, sandbox.api_key]
    assert await page.evaluate(script, args) == [True, 403, "undefined"]


async def test_snippet_works_as_pasted(page: Page, sandbox: Sandbox, tmp_path: Path) -> None:
    from playwright.async_api import expect

    await page.goto(sandbox.frontend)
    snippet = await page.locator("#snippet").inner_text()
    use = "<script>auth.me().catch((error) => (document.title = error.message))</script>"
    (tmp_path / "index.html").write_text(
        f"<!doctype html><link rel=icon href=data:,>{snippet}{use}"
    )
    with serve(tmp_path) as url:
        await page.goto(url)
        await expect(page).to_have_title("Unauthorized")


async def test_foreign_page_gets_no_answer(
    browser: Browser, sandbox: Sandbox, own_page: str
) -> None:
    page = await browser.new_page()
    refusals: list[str] = []
    page.on("console", lambda message: refusals.append(message.text))
    await page.goto(own_page.replace("localhost", "elsewhere.test"))
    await page.add_script_tag(url=f"{sandbox.admin}/sdk.js")
    script = "async ({ db }) => (await db.getCollectionsList().catch((error) => error)).code"
    assert await call(page, sandbox, script) == "network_error"
    assert "CORS policy" in refusals[0]


@pytest.mark.parametrize("module", ["index.js", "dist/backpack.mjs"])
def test_node_does_everything(
    node: str, sdk: Path, sandbox: Sandbox, email: str, module: str
) -> None:
    # Node has a WebSocket behind this flag before version 22, and without it from then on.
    program = [node, "--experimental-websocket", str(_PAGE / "node.mjs")]
    command = [*program, str(sdk / module), sandbox.connect, sandbox.api_key]
    done = subprocess.run(
        [*command, email], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "outcome": round_trip(email),
        "resumed": email,
        "stranger": 403,
        "ended": 403,
        "dropped": None,
        "nobody": {"status": 0, "code": "network_error"},
    }


def test_sdk_passes_its_own_tests(node: str, sdk: Path) -> None:
    files = sorted(str(file) for file in (sdk / "test").glob("*.test.mjs"))
    done = subprocess.run(
        [node, "--test", *files], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout
