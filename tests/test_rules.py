from __future__ import annotations

from typing import Any

import pytest

from backpack import rules
from backpack.errors import Forbidden, Invalid
from backpack.queries import EVERYTHING, parse_filter
from backpack.rules import CollectionRules, Rules


def test_no_rules_mean_logged_in_users() -> None:
    parsed = rules.parse({})

    assert parsed == Rules()
    assert parsed.of("anything") == CollectionRules("user", "user", "user", "user", "user")


def test_rules_are_read() -> None:
    raw = {
        "cars": {"list": "public", "update": "owner"},
        "collections.create": "none",
        "files.read": "public",
        "cors.origins": ["https://www.example.com", "http://localhost:8080", "app://shop"],
        "tokens.browser": True,
    }

    assert rules.parse(raw) == Rules(
        collections={"cars": CollectionRules(list="public", update="owner")},
        collections_create="none",
        files_read="public",
        origins=frozenset(raw["cors.origins"]),  # type: ignore[call-overload]
        browser_tokens=True,
        raw=raw,
    )


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"cars": "public"}, "cars"),
        ({"cars": {"list": "all"}}, "cars.list"),
        ({"cars": {"list": ["public"]}}, "cars.list"),
        ({"cars": {"write": "user"}}, "cars.write"),
        ({"cars": {"post": "owner"}}, "cars.post"),
        ({"users": {"list": "public"}}, "users"),
        ({"1x": {}}, "1x"),
        ({"collections.create": "owner"}, "collections.create"),
        ({"collections.remove": "user"}, "collections.remove"),
        ({"files.read": {}}, "files.read"),
        ({"cors.origins": "https://x.example"}, "cors.origins"),
        ({"cors.origins": ["*"]}, "cors.origins"),
        ({"cors.origins": ["https://*.example.com"]}, "cors.origins"),
        ({"cors.origins": ["https://x.example/"]}, "cors.origins"),
        ({"cors.origins": ["https://X.example"]}, "cors.origins"),
        ({"cors.origins": ["null"]}, "cors.origins"),
        ({"cors.origins": [5]}, "cors.origins"),
        ({"cors.origins": ["https://x.example:99999"]}, "cors.origins"),
        ({"tokens.browser": "yes"}, "tokens.browser"),
    ],
    ids=repr,
)
def test_wrong_rules_are_named(raw: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        rules.parse(raw)

    assert caught.value.code == "bad_rules"
    assert list(caught.value.fields or {}) == [field]
    assert field in caught.value.message


def test_rules_are_bounded() -> None:
    origins = [f"https://a{number}.example" for number in range(101)]
    entries: dict[str, Any] = {f"c{number}": {} for number in range(2_001)}

    assert len(rules.parse({"cors.origins": origins[1:]}).origins) == 100
    for raw, why in [({"cors.origins": origins}, "at most 100"), (entries, "at most 2,000")]:
        with pytest.raises(Invalid, match=why):
            rules.parse(raw)


@pytest.mark.parametrize("raw", [None, [], "x", 5], ids=repr)
def test_rules_must_be_object(raw: object) -> None:
    with pytest.raises(Invalid, match="JSON object"):
        rules.parse(raw)


@pytest.mark.parametrize(
    ("access", "guest", "user"),
    [("public", True, True), ("user", False, True), ("owner", False, True), ("none", False, False)],
)
def test_admit_asks_before_the_record(access: str, guest: bool, user: bool) -> None:
    def admitted(who: str | None) -> bool:
        try:
            rules.admit(access, who)
        except Forbidden:
            return False
        return True

    assert (admitted(None), admitted("ada")) == (guest, user)


@pytest.mark.parametrize(
    ("access", "user", "record", "passes"),
    [
        ("public", None, {}, True),
        ("user", None, {}, False),
        ("user", "ada", {}, True),
        ("owner", "ada", {"userId": "ada"}, True),
        ("owner", "ada", {"userId": "bob"}, False),
        ("owner", "ada", {"userId": ["bob", "ada"]}, True),
        ("owner", "ada", {}, False),
        ("owner", None, {"userId": None}, False),
        ("none", "ada", {"userId": "ada"}, False),
    ],
)
def test_passes_asks_the_record(
    access: str, user: str, record: dict[str, Any], passes: bool
) -> None:
    assert rules.passes(access, user, record) is passes


def test_visible_agrees_with_passes() -> None:
    held = CollectionRules(read="owner")
    asked = parse_filter({"n": 1})

    visible = rules.visible(held, "ada", asked)

    assert visible is not None
    owners: list[Any] = ["ada", "bob", None, ["ada"], ["bob"], {"ada": 1}]
    for record in ({"n": 1, "userId": owner} for owner in owners):
        assert visible.matches(record) is rules.passes("owner", "ada", record)
    assert not visible.matches({"n": 2, "userId": "ada"})


def test_visible_is_nothing_or_all() -> None:
    assert rules.visible(CollectionRules(read="none"), "ada") is None
    assert rules.visible(CollectionRules(), None) is None
    assert rules.visible(CollectionRules(), "ada") is EVERYTHING
    assert rules.visible(CollectionRules(list="public", read="public"), None) is EVERYTHING
