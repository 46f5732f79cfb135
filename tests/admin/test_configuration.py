"""Settings in the words of the panel."""

from __future__ import annotations

from dataclasses import fields, replace

from backpack.admin import configuration
from backpack.settings import Settings
from tests.panel import PanelServer


def test_every_setting_is_shown() -> None:
    shown = {row.variable for group in configuration.groups(Settings()) for row in group.rows} - {
        None
    }

    assert len([row for group in configuration.groups(Settings()) for row in group.rows]) == len(
        fields(Settings)
    )
    assert "BACKPACK_TRASH_DAYS" in shown


def test_values_are_readable() -> None:
    settings = replace(
        Settings(),
        max_body=2_097_152,
        session_ttl=7_200,
        trusted_proxies=("10.0.0.0/8", "::1"),
        max_batch=5_000,
        query_deadline=1.5,
    )
    rows = {row.variable: row for group in configuration.groups(settings) for row in group.rows}
    shown = {
        name: rows[f"BACKPACK_{name}"].value
        for name in ("MAX_BODY", "SESSION_TTL", "TRUSTED_PROXIES", "MAX_BATCH", "QUERY_DEADLINE")
    }

    assert shown == {
        "MAX_BODY": "2 MiB",
        "SESSION_TTL": "2 hours",
        "TRUSTED_PROXIES": "10.0.0.0/8, ::1",
        "MAX_BATCH": "5,000",
        "QUERY_DEADLINE": "1.5 seconds",
    }
    assert {name for name, row in rows.items() if row.changed} == {
        "BACKPACK_MAX_BODY",
        "BACKPACK_SESSION_TTL",
        "BACKPACK_TRUSTED_PROXIES",
        "BACKPACK_MAX_BATCH",
        "BACKPACK_QUERY_DEADLINE",
    }


def test_secrets_are_not_shown() -> None:
    settings = Settings(setup_token="correct horse battery")
    rows = [row for group in configuration.groups(settings) for row in group.rows]

    assert [row.value for row in rows if row.variable == "BACKPACK_SETUP_TOKEN"] == ["set"]
    assert "correct horse" not in repr(rows)


def test_settings_are_for_operators(panel: PanelServer) -> None:
    assert panel.developer("ann").ask("GET /settings").status_code == 403
    assert "BACKPACK_DOMAIN" in panel.operator().ask("GET /settings").text
