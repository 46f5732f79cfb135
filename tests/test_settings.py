from __future__ import annotations

import pytest

from backpack.errors import Invalid
from backpack.settings import Settings, from_environment


def test_environment_is_read() -> None:
    environ = {
        "BACKPACK_DOMAIN": "example.com",
        "BACKPACK_MAX_BODY": "500",
        "BACKPACK_QUERY_DEADLINE": "0.5",
        "BACKPACK_TRUSTED_PROXIES": "10.0.0.1, 10.0.0.2,",
        "BACKPACK_CHEAP_PASSWORDS": "1",
        "PATH": "/bin",
    }

    assert from_environment(environ) == Settings(
        domain="example.com",
        max_body=500,
        query_deadline=0.5,
        trusted_proxies=("10.0.0.1", "10.0.0.2"),
    )


def test_given_wins_over_environment() -> None:
    settings = from_environment({"BACKPACK_DOMAIN": "example.com"}, domain="x.test", dev=True)

    assert settings == Settings(domain="x.test", dev=True)


@pytest.mark.parametrize(
    ("text", "why"),
    [("many", "must be a number"), ("-1", "must not be negative"), ("", "must be a number")],
)
def test_bad_variable_is_named(text: str, why: str) -> None:
    with pytest.raises(Invalid, match=why) as caught:
        from_environment({"BACKPACK_MAX_BATCH": text})

    assert caught.value.message.startswith("BACKPACK_MAX_BATCH is ")


@pytest.mark.parametrize("word", ["normal", "full"])
def test_word_is_read(word: str) -> None:
    assert from_environment({"BACKPACK_SYNCHRONOUS": word}) == Settings(synchronous=word)


def test_unknown_word_is_named() -> None:
    with pytest.raises(Invalid) as caught:
        from_environment({"BACKPACK_SYNCHRONOUS": "yes"})

    assert caught.value.message == "BACKPACK_SYNCHRONOUS is 'yes', but must be normal or full"
