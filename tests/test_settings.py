from __future__ import annotations

from pathlib import Path

import pytest

from backpack.errors import Invalid
from backpack.settings import Serving, Settings, from_environment, serving_from_environment


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


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("DOMAIN", "Example.com", "must be a domain such as example.com"),
        ("DOMAIN", "", "must be a domain such as example.com"),
        ("QUERY_DEADLINE", "inf", "must not be negative"),
        ("QUERY_DEADLINE", "nan", "must not be negative"),
        (
            "TRUSTED_PROXIES",
            "10.0.0.0/8, traefik",
            "must be addresses or networks such as 10.0.0.0/8, with commas between them",
        ),
        (
            "ALLOWED_ORIGINS",
            "www.example.com",
            "must be origins such as https://www.example.com, with commas between them",
        ),
    ],
)
def test_value_that_cannot_be_is_refused(name: str, text: str, why: str) -> None:
    with pytest.raises(Invalid) as caught:
        from_environment({f"BACKPACK_{name}": text})

    assert caught.value.message == f"BACKPACK_{name} is {text!r}, but {why}"


def test_file_holds_the_value(tmp_path: Path) -> None:
    (tmp_path / "domain").write_text("example.com\n", "utf-8")

    settings = from_environment({"BACKPACK_DOMAIN_FILE": str(tmp_path / "domain")})

    assert settings == Settings(domain="example.com")


def test_value_and_file_exclude_each_other() -> None:
    with pytest.raises(Invalid) as caught:
        from_environment({"BACKPACK_DOMAIN": "a.test", "BACKPACK_DOMAIN_FILE": "domain"})

    why = "Both BACKPACK_DOMAIN and BACKPACK_DOMAIN_FILE are set: one of them must go"
    assert caught.value.message == why


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"s3cret", "what the file holds must be a number", id="no number"),
        pytest.param(b"\xff", "{file} is no text in UTF-8", id="no text"),
    ],
)
def test_refused_file_is_not_quoted(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "batch"
    file.write_bytes(content)

    with pytest.raises(Invalid) as caught:
        from_environment({"BACKPACK_MAX_BATCH_FILE": str(file)})

    assert caught.value.message == f"BACKPACK_MAX_BATCH_FILE: {why.format(file=file)}"


SERVED = {
    "BACKPACK_NAME": "shop",
    "BACKPACK_MONGO_URL": "mongodb://ada:s3cret@mongo/",
    "BACKPACK_REDIS_URL": "redis://:s3cret@redis/",
    "BACKPACK_API_KEY": "s3cret-key",
    "BACKPACK_DRAIN": "2.5",
}


def test_served_backpack_is_read() -> None:
    assert serving_from_environment(SERVED) == Serving(
        name="shop",
        mongo_url="mongodb://ada:s3cret@mongo/",
        redis_url="redis://:s3cret@redis/",
        api_key="s3cret-key",
        drain=2.5,
    )


def test_secrets_are_not_shown() -> None:
    assert "s3cret" not in repr(serving_from_environment(SERVED))


@pytest.mark.parametrize("name", ["NAME", "MONGO_URL", "REDIS_URL"])
def test_missing_variable_is_named(name: str) -> None:
    variable = f"BACKPACK_{name}"

    with pytest.raises(Invalid) as caught:
        serving_from_environment({**SERVED, variable: ""})

    assert caught.value.message == f"{variable} is not set, nor is {variable}_FILE"
