"""The log as lines of JSON, request ids, and metrics on the panel's host."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pymongo
import pytest

from backpack.documents import Document
from backpack.loglines import JsonLines
from tests.deployments import App
from tests.panel import SETTINGS, PanelServer
from tests.servings import ACCOUNT, KEY, VARIABLES, Serving

METRICS_TOKEN = "metrics-token-for-tests"


@pytest.fixture
def serving(mongo_url: str, redis_url: str, tmp_path: Path) -> Iterator[Serving]:
    name = f"shop-{os.urandom(6).hex()}"
    variables = {
        **VARIABLES,
        "BACKPACK_NAME": name,
        "BACKPACK_MONGO_URL": mongo_url,
        "BACKPACK_REDIS_URL": redis_url,
        "BACKPACK_LOG": "json",
        "BACKPACK_LOG_LEVEL": "info",
    }
    with Serving(tmp_path, variables) as serving:
        serving.wait_until_well()
        yield serving
    with pymongo.MongoClient[Document](mongo_url) as client:
        client.drop_database(f"backpack_{name.replace('-', '_')}")


def lines_of(serving: Serving) -> list[dict[str, Any]]:
    serving.stop()
    return [json.loads(line) for line in serving.log.splitlines()]


def test_requests_are_logged_as_json(serving: Serving) -> None:
    answer = serving.client().get("/cars?n=1", headers={"x-request-id": "edge-12345678"})

    (line,) = (one for one in lines_of(serving) if one.get("path") == "/cars?n=1")
    assert answer.headers["x-request-id"] == "edge-12345678"
    assert line == {
        "time": line["time"],
        "level": "info",
        "logger": "backpack.requests",
        "message": f"GET /cars?n=1 403 in {line['ms']:g} ms",
        "request_id": "edge-12345678",
        "backpack": serving.host.partition("-be.")[0],
        "method": "GET",
        "path": "/cars?n=1",
        "status": 403,
        "ms": line["ms"],
        "address": "127.0.0.1",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])


def test_answers_carry_id_where_requests_are_logged(serving: Serving) -> None:
    answer = serving.client().get("/")

    (line,) = (one for one in lines_of(serving) if one.get("path") == "/")
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] == line["request_id"]


def test_that_all_is_well_is_not_logged(serving: Serving) -> None:
    well = [serving.client().get(path) for path in ("/healthz", "/healthz?self")]
    serving.client().get("/")

    logged = [one for one in lines_of(serving) if "path" in one]
    assert [answer.status_code for answer in well] == [200, 200]
    assert [one["path"] for one in logged if one["status"] == 200] == ["/"]


def test_secrets_are_not_logged(serving: Serving) -> None:
    token = serving.log_in()
    serving.client(token).get(f"/cars?apiKey={KEY}&token={token}")

    lines = lines_of(serving)

    assert "/cars?apiKey=***&token=***" in {line.get("path") for line in lines}
    log = serving.log
    assert [secret for secret in (KEY, token, ACCOUNT["password"]) if secret in log] == []


@pytest.mark.parametrize("deployment", ["memory"], indirect=True)
@pytest.mark.parametrize("sent", ["short", "x" * 65, "with space", "semi;colon-1", ""])
def test_bad_request_id_is_not_taken(app: App, sent: str) -> None:
    answers = [app.ask("GET /cars", actor="nokey", headers={"x-request-id": sent}) for _ in "12"]

    ids = [answer.headers["x-request-id"] for answer in answers]
    assert [bool(re.fullmatch("[0-9a-f]{32}", one)) for one in ids] == [True, True]
    assert ids[0] != ids[1]


@pytest.mark.parametrize("deployment", ["memory"], indirect=True)
def test_bug_is_logged_with_request_id(
    app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from backpack.api.request import current_request_id

    shown = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            shown.append(json.loads(JsonLines(current_request_id).format(record)))

    async def fail(*_: object) -> None:
        raise RuntimeError("\udc80 wrong")

    app.make("cars", {})
    monkeypatch.setattr(app.backpack._backpack.store, "get", fail)
    handler = Lines()
    logging.getLogger("backpack").addHandler(handler)
    answer = app.ask(f"GET /cars/{'0' * 24}", headers={"x-request-id": "edge-12345678"})
    logging.getLogger("backpack").removeHandler(handler)

    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "edge-12345678")
    (line,) = (one for one in shown if one["level"] == "error")
    assert (line["request_id"], line["backpack"]) == ("edge-12345678", app.backpack.name)
    assert "RuntimeError" in line["exception"]


def test_line_has_no_request_outside_of_one() -> None:
    try:
        raise ValueError("x")
    except ValueError:
        record = logging.LogRecord("backpack", 40, "", 0, "Failed %s", ("a",), sys.exc_info())

    line = json.loads(JsonLines(lambda: None).format(record))

    assert {name: line[name] for name in line if name not in ("time", "exception")} == {
        "level": "error",
        "logger": "backpack",
        "message": "Failed a",
    }
    assert "ValueError: x" in line["exception"]


@pytest.fixture
def panel() -> Iterator[PanelServer]:
    from dataclasses import replace

    server = PanelServer(settings=replace(SETTINGS, metrics_token=METRICS_TOKEN))
    server.start()
    yield server
    server.stop()


def test_operators_read_metrics(panel: PanelServer) -> None:
    made = panel.create("shop")
    made.client.get("/collections")

    page = panel.operator().ask("GET /metrics")
    made.close()

    assert page.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = page.text.splitlines()
    assert 'backpack_requests_total{backpack="shop",status="4xx"} 1' in lines
    assert "backpack_backpacks 1" in lines
    assert "# TYPE backpack_request_seconds histogram" in lines


def test_metrics_are_read_with_token(panel: PanelServer) -> None:
    stranger = panel.stranger()

    answers = [
        stranger.ask("GET /metrics", headers={"authorization": f"Bearer {token}"})
        for token in (METRICS_TOKEN, METRICS_TOKEN + "x", "x")
    ]

    assert [answer.status_code for answer in answers] == [200, 401, 401]


def test_others_cannot_read_metrics(panel: PanelServer) -> None:
    assert panel.developer("ann").ask("GET /metrics").status_code == 403
    assert httpx.get(f"http://127.0.0.1:{panel.port}/metrics").status_code == 404
