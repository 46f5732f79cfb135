"""The docs keep up with the code: what there is, is mentioned, and what is mentioned, works."""

from __future__ import annotations

import argparse
import ast
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from backpack import app, cli, errors, names, rules
from backpack.api.sockets import ACTIONS
from backpack.console.handler import MODELS
from backpack.drivers.deployment import Deployment
from backpack.errors import BackpackError
from backpack.exposition import METRICS, _name
from backpack.homes import Memory
from backpack.router import METHODS
from backpack.settings import Administering, Serving, Settings
from backpack.tenants import Tenants
from tests.services import need

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "examples").glob("*/README.md"),
    ]
)
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def environment() -> dict[str, str]:
    """The environment of a process that uses the same package as this one."""
    return {**os.environ, "PYTHONPATH": str(Path(errors.__file__).parent.parent)}


def text_of(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def blocks_of(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language in one page."""
    return [match[3] for match in FENCE.finditer(page.read_text("utf-8")) if match[2] == language]


def blocks(language: str) -> list[ParameterSet]:
    """Every fenced block of a language in the docs."""
    return [
        pytest.param(block, id=f"{page.relative_to(ROOT)}:{number}")
        for page in PAGES
        for number, block in enumerate(blocks_of(page, language), 1)
    ]


def routes() -> Iterator[tuple[str, str]]:
    """Method and path of every route, as the docs write them."""
    settings = Settings(dev=True)
    for route in app.create_app(Tenants(settings, Memory(settings))).router.routes:
        path = "/" + route.path.partition("/")[2]
        if path != "/~elsewhere":
            path = path.replace("<collection:str>", "cars").replace("<record_id:str>", "<_id>")
            path = path.replace("<user_id:str>", "<user>").replace("<filename:str>", "<filename>")
            for method in sorted(set(METHODS) & route.methods):
                # One path: the files of a user, or one's own file.
                name = "<user>" if method == "GET" else "<filename>"
                yield method, path.replace("/uploads/<name:str>", f"/uploads/{name}")


def test_routes_are_documented() -> None:
    documented = text_of("docs/http.md")
    # What the panel is made of is nobody's interface.
    missing = [
        f"{method} {path}"
        for method, path in routes()
        if f"`{method} {path}`" not in documented and f"`{path}`" not in documented
        if path not in ("/", "/static/<path:path>")
    ]

    assert missing == []


def rows_of(page: str) -> list[list[str]]:
    """The cells of every table row of a page, without code marks."""
    lines = re.findall(r"^\|(.*)\|$", text_of(page), re.MULTILINE)
    return [[cell.strip().replace("`", "") for cell in line.split("|")] for line in lines]


def test_reserved_names_are_documented() -> None:
    documented = text_of("docs/http.md")
    reserved = names.RESERVED_NAMES | rules.RESERVED_COLLECTIONS

    assert [name for name in sorted(reserved) if f"`{name}`" not in documented] == []


def test_settings_are_documented() -> None:
    own = {"dev": "none", "cheap_passwords": "none"}
    written = {(): "none", "": "none", False: "false"}

    assert [tuple(row[:3]) for row in rows_of("docs/settings.md")[2:]] == [
        (
            field.name,
            own.get(field.name, f"BACKPACK_{field.name.upper()}"),
            written.get(field.default, str(field.default)),
        )
        for field in fields(Settings)
    ]


def test_variables_of_serve_are_documented() -> None:
    written: dict[object, str] = {"": "none"}
    rows = [row for row in rows_of("docs/serve.md") if row[1].startswith("BACKPACK_")]

    assert [tuple(row[:3]) for row in rows] == [
        (
            field.name,
            f"BACKPACK_{field.name.upper()}",
            written.get(field.default, str(field.default)),
        )
        for field in fields(Serving)
    ]


def test_variables_of_admin_are_documented() -> None:
    written: dict[object, str] = {"": "none"}
    rows = [row for row in rows_of("docs/swarm.md") if row[1].startswith("BACKPACK_")]

    assert [tuple(row[:3]) for row in rows] == [
        (
            field.name,
            f"BACKPACK_{field.name.upper()}",
            written.get(field.default, str(field.default)),
        )
        for field in fields(Administering)
    ]


def test_options_of_swarm_are_documented() -> None:
    documented = text_of("docs/swarm.md")
    actions = commands()["swarm"]._subparsers._group_actions  # type: ignore[union-attr]
    below: dict[str, argparse.ArgumentParser] = dict(actions[0].choices)  # type: ignore[arg-type]
    missing = [
        f"{name} {option}"
        for name, parser in below.items()
        for action in parser._actions
        for option in action.option_strings
        if option not in ("-h", "--help") and f"`{option}" not in documented
    ]

    assert missing == []
    assert [name for name in below if f"`{name}`" not in text_of("docs/cli.md")] == []


def test_fields_of_a_deployment_are_documented() -> None:
    documented = text_of("docs/swarm.md")
    own = {"node", "domain", "email", "vip", "acme_server", "acme_root", "replicas"}

    assert [
        field.name
        for field in fields(Deployment)
        if field.name not in own and not field.name.endswith("image")
        if f"`{field.name}" not in documented
    ] == []


def test_settings_say_their_unit() -> None:
    without = {row[0] for row in rows_of("docs/settings.md")[2:] if not row[3]}

    assert without == {"domain", "dev", "cheap_passwords"}


def test_sdk_members_are_documented() -> None:
    types = re.sub(r"/\*\*.*?\*/", "", text_of("sdk/index.d.ts"), flags=re.DOTALL)
    documented = text_of("docs/sdk.md")
    missing = []
    for kind, prefix in {
        "Auth": "auth.",
        "Db": "db.",
        "Query": "",
        "Storage": "storage.",
        "Socket": "socket.",
        "Actions": "actions.",
        "Options": "options.",
        "BackpackError": "",
    }.items():
        found = re.search(
            rf"export (?:interface|class) {kind}\b[^{{]*\{{\n(.*?)^\}}",
            types,
            re.MULTILINE | re.DOTALL,
        )
        assert found, f"{kind} is not in index.d.ts"
        names = re.findall(r"^  (?:readonly )?(\w+)\b[?(<:]", found[1], re.MULTILINE)
        missing += [
            f"{kind}.{name}"
            for name in names
            if name not in ("constructor", "name")
            and not re.search(rf"`{re.escape(prefix)}{name}\b", documented)
        ]

    assert missing == []


def test_rule_keys_are_documented() -> None:
    keys = set(re.findall(r'"([a-z]+\.[a-z]+)"', Path(rules.__file__).read_text("utf-8")))
    words = {*keys, *rules.ACTIONS, rules.PUBLIC, rules.USER, rules.OWNER, rules.NONE}
    documented = text_of("docs/rules.md")

    assert len(keys) == 6
    assert [word for word in sorted(words) if f"`{word}`" not in documented] == []


def test_modules_are_documented() -> None:
    documented = text_of("docs/architecture.md")
    folder = ROOT / "backpack"
    names = [module.stem for module in folder.glob("[a-z]*.py")]
    names += [f"{package.parent.name}/" for package in folder.glob("*/__init__.py")]

    assert [name for name in sorted(names) if f"`{name}`" not in documented] == []


def raised_codes() -> set[tuple[int, str]]:
    """Status and code of every error that the code can raise."""
    tree = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, BackpackError)
    }
    found = {(kind.status, kind.code) for kind in tree.values()} | set(app._CODES.items())
    for module in (ROOT / "backpack").rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in tree
            ):
                found |= {
                    (tree[node.func.id].status, str(keyword.value.value))
                    for keyword in node.keywords
                    if keyword.arg == "code" and isinstance(keyword.value, ast.Constant)
                }
    return found


# What the command line, the fixtures, the console and the start of a process say, but no answer to
# a request.
NOT_OVER_HTTP = {
    (404, "no_version"),
    (404, "unknown_backpack"),
    (404, "unknown_index"),
    (404, "unknown_session"),
    (404, "unknown_user"),
    (413, "bad_site"),
    (422, "backpack_exists"),
    (422, "bad_backup"),
    (422, "bad_index"),
    (422, "bad_key"),
    (422, "bad_name"),
    (422, "bad_rules"),
    (422, "bad_site"),
    (422, "bad_url"),
    (422, "changed_meanwhile"),
    (422, "too_many_indexes"),
    (422, "unknown_command"),
}


def test_error_codes_are_documented() -> None:
    documented = {
        (int(row[0]), code)
        for page in ("docs/http.md", "docs/accounts.md", "docs/hosting.md")
        for row in rows_of(page)
        if re.fullmatch(r"\d{3}", row[0])
        for code in row[1].split(", ")
    }

    assert documented == raised_codes() - NOT_OVER_HTTP


def test_actions_are_documented() -> None:
    documented = text_of("docs/sockets.md")

    assert [name for name in ACTIONS if f"`{name}`" not in documented] == []


def test_models_of_console_are_documented() -> None:
    rows = {row[0]: row[1].split(", ") for row in rows_of("docs/console.md") if len(row) == 3}

    assert {model: rows.get(model) for model in MODELS} == {
        model: list(actions) for model, actions in MODELS.items()
    }


def test_metrics_are_documented() -> None:
    rows = {row[0]: row[1] for row in rows_of("docs/observability.md") if len(row) == 3}

    assert {rows.get(_name(name)) for name in METRICS} == {
        metric.kind for metric in METRICS.values()
    }


def commands() -> dict[str, argparse.ArgumentParser]:
    """The commands of the command line, by name."""
    actions = cli._parser()._subparsers._group_actions  # type: ignore[union-attr]
    return dict(actions[0].choices)  # type: ignore[arg-type]


def test_commands_are_documented() -> None:
    sections = re.split(r"^## ", text_of("docs/cli.md"), flags=re.MULTILINE)
    shared, *rest = sections
    by_title = {section.partition("\n")[0]: section for section in rest}
    missing = [
        f"{name} {option}"
        for name, parser in commands().items()
        for action in parser._actions
        for option in action.option_strings or [str(action.metavar)]
        if option not in ("-h", "--help", "NAME")
        if option not in by_title.get(name, "") + (shared if name != "dev" else "")
        if option != "FILE" or "rules.json" not in by_title["rules"]
    ]

    assert missing == []
    assert set(commands()) < set(by_title)


def documented_commands() -> list[ParameterSet]:
    """Every line of the docs' shell blocks that starts a command of the package."""
    lines = {
        line.partition("-m backpack ")[2]
        for page in PAGES
        for block in blocks_of(page, "sh")
        for line in block.splitlines()
        if "-m backpack " in line
    }
    return [pytest.param(words_of(line), id=line) for line in sorted(lines)]


def words_of(line: str) -> list[str]:
    """The words of a command, up to what the shell does with its output."""
    words = shlex.split(line, comments=True)
    return list(itertools.takewhile(lambda word: word not in ("|", ">"), words))


@pytest.mark.parametrize("words", documented_commands())
def test_documented_command_is_understood(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("dist", "site"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path)

    assert callable(cli._parser().parse_args(words).run)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    plain = FENCE.sub("", page.read_text("utf-8"))
    titles = re.findall(r"^#+ (.*)$", plain, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text("utf-8"))):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if "://" in link:
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert broken == []


def test_pages_are_linked_from_readme() -> None:
    linked = set(re.findall(r"\]\((docs/[^)#]+)", text_of("README.md")))

    assert linked == {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}


@pytest.mark.parametrize("block", blocks("json"))
def test_json_parses(block: str) -> None:
    json.loads(block)


@pytest.mark.parametrize("block", blocks("sh"))
def test_shell_parses(block: str) -> None:
    checked = subprocess.run(
        ["bash", "-n"], input=block, text=True, capture_output=True, check=False
    )

    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("block", blocks("js"))
def test_javascript_parses(block: str, tmp_path: Path) -> None:
    node = shutil.which("node")
    need(node, "needs Node: apt-get install nodejs")
    script = tmp_path / "block.mjs"
    script.write_text(block, "utf-8")

    checked = subprocess.run(
        [str(node), "--check", script], text=True, capture_output=True, check=False
    )

    assert checked.returncode == 0, checked.stderr


def test_rules_examples_are_rules() -> None:
    found = blocks_of(ROOT / "docs/rules.md", "json")

    assert [rules.parse(json.loads(block)).raw for block in found] == [
        json.loads(block) for block in found
    ]


def test_python_examples_pass(tmp_path: Path) -> None:
    found = blocks_of(ROOT / "docs/testing.md", "python")
    (tmp_path / "test_examples.py").write_text("\n".join(found), "utf-8")

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "backpack.testing", tmp_path],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        check=False,
        env={**environment(), "PYTEST_ADDOPTS": ""},
    )

    assert run.returncode == 0, run.stdout


def test_helper_is_the_example() -> None:
    helper = text_of("examples/guestbook/tests/backpack.mjs").partition("\n\n")[2]

    assert f"```js\n{helper}```" in text_of("docs/testing.md")
