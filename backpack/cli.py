"""The command line: how commands are written, and how one ends. What each does is in `commands`.

Exit codes: 0; 2 with one line on standard error for what the user can put right; 1 with a traceback
for what is a fault of Backpack.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from . import __version__, swarm_commands
from . import commands as perform
from .errors import BackpackError
from .settings import data_from_environment, is_domain
from .terminal import say


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command of the command line; returns the exit code."""
    options = _parser().parse_args(argv)
    try:
        options.run(options)
    except BackpackError as exc:
        say(f"backpack: {exc.message}", to=sys.stderr)
        return 1 if type(exc) is BackpackError else 2
    except KeyboardInterrupt:
        return 130
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        say(f"{self.prog}: {message} (see {self.prog} --help)", to=sys.stderr)
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="backpack",
        description="A self-hosted backend for web apps.",
        epilog="Every command has its own help, with an example: backpack dev --help",
    )
    parser.add_argument("--version", action="version", version=f"backpack {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_dev(commands)
    _add_command(
        commands,
        "serve",
        perform.serve,
        "Serve one backpack on MongoDB and Redis; BACKPACK_* variables say which.",
        "BACKPACK_NAME=shop BACKPACK_MONGO_URL=mongodb://mongo/ BACKPACK_REDIS_URL=redis://redis/ "
        "backpack serve",
    )
    _add_folder_command(
        commands,
        "link",
        perform.link,
        "Print a fresh one-time link to the panel of a running sandbox.",
        "backpack link",
    )
    _add_create(commands)
    _add_folder_command(
        commands,
        "list",
        perform.list_backpacks,
        "Show the backpacks there are.",
        "backpack list --json",
    )
    _add_named_command(
        commands,
        "delete",
        perform.delete,
        "Delete a backpack with everything in it; for some days it can be restored.",
        "backpack delete shop",
    )
    _add_folder_command(
        commands,
        "trash",
        perform.trash,
        "Show the deleted backpacks that can be restored.",
        "backpack trash",
    )
    _add_named_command(
        commands,
        "restore",
        perform.restore,
        "Bring back the backpack that was deleted last under a name.",
        "backpack restore shop",
    )
    _add_named_command(
        commands,
        "purge",
        perform.purge,
        "Remove for good what was deleted under a name.",
        "backpack purge shop",
    )
    _add_key(commands)
    _add_rules(commands)
    _add_indexes(commands)
    _add_deploy(commands)
    _add_named_command(
        commands,
        "sites",
        perform.sites,
        "Show the versions of a site that are kept.",
        "backpack sites shop",
    )
    _add_rollback(commands)
    _add_scale(commands)
    _add_reconnect(commands)
    _add_export(commands)
    _add_import(commands)
    _add_compose(commands)
    _add_promote(commands)
    _add_command(
        commands,
        "admin",
        perform.admin,
        "Serve the panel of a swarm; swarm up runs this.",
        "BACKPACK_SECRET_FILE=/run/secrets/backpack_secret backpack admin",
    )
    swarm_commands.add(commands, _add_command)
    return parser


def _add_dev(commands: Any) -> None:
    command = _add_command(
        commands,
        "dev",
        perform.dev,
        "Run the sandbox: every backpack of the data folder, in one process.",
        "backpack dev --backpack shop --site shop=./dist",
    )
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    command.add_argument(
        "--port", type=_port, default=8000, help="port to listen on, 0 for a free one (%(default)s)"
    )
    command.add_argument(
        "--domain", type=_domain, help="domain that all hosts are under (bkpk.localhost)"
    )
    kept = command.add_mutually_exclusive_group()
    kept.add_argument(
        "--data",
        type=Path,
        default=data_from_environment(),
        metavar="DIR",
        help="the data folder (%(default)s)",
    )
    kept.add_argument("--memory", action="store_true", help="keep nothing on disk, for test suites")
    command.add_argument(
        "--backpack",
        type=_backpack,
        action="append",
        default=[],
        metavar="NAME[=API_KEY]",
        help="have this backpack, with this key; may be given many times",
    )
    command.add_argument(
        "--site",
        type=_site,
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="serve a folder as the frontend of a backpack; may be given many times",
    )
    command.add_argument(
        "--demo", action="store_true", help="serve the demo app, a chat, as the backpack demo"
    )
    command.add_argument(
        "--ready-file", type=Path, metavar="FILE", help="write where it is served, as JSON"
    )


def _add_create(commands: Any) -> None:
    command = _add_named_command(
        commands, "create", perform.create, "Make a backpack.", "backpack create shop"
    )
    command.add_argument("--api-key", metavar="KEY", help="its API key, otherwise a random one")
    _add_urls(command)


def _add_urls(command: argparse.ArgumentParser) -> None:
    for store, name in (("mongo", "MongoDB"), ("redis", "Redis")):
        command.add_argument(
            f"--{store}-url-file",
            type=Path,
            metavar="FILE",
            help=f"holds the URL of a {name} server that it is to use, in a swarm; - for stdin",
        )


def _add_key(commands: Any) -> None:
    command = _add_named_command(
        commands, "key", perform.key, "Show or change an API key.", "backpack key shop --rotate"
    )
    _add_served(command)
    command.add_argument(
        "--rotate", action="store_true", help="make a new key; the old one works for 24 hours more"
    )
    command.add_argument("--now", action="store_true", help="end the old key at once")


def _add_rules(commands: Any) -> None:
    command = _add_named_command(
        commands,
        "rules",
        perform.rules,
        "Show or replace access rules.",
        "backpack rules shop rules.json",
    )
    _add_served(command)
    command.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="JSON file with the rules, - for stdin"
    )


def _add_served(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--served",
        action="store_true",
        help="act on the backpack that BACKPACK_* variables name, as serve does",
    )


def _add_indexes(commands: Any) -> None:
    command = _add_named_command(
        commands,
        "indexes",
        perform.indexes,
        "Show the indexes that have made themselves, or have a say in them.",
        "backpack indexes shop cars --pin brand,-price",
    )
    command.add_argument("collection", nargs="?", metavar="COLLECTION", help="one collection only")
    change = command.add_mutually_exclusive_group()
    change.add_argument(
        "--pin",
        metavar="PATH[,PATH]",
        help="make an index and keep it; downwards by a - before the path: --pin=-price",
    )
    change.add_argument("--forbid", metavar="PATH", help="drop the indexes with it, and make none")
    change.add_argument(
        "--release", metavar="PATH[,PATH]", help="leave what was pinned or forbidden to itself"
    )


def _add_deploy(commands: Any) -> None:
    command = _add_folder_command(
        commands,
        "deploy",
        perform.deploy,
        "Make a folder or a zip the site of a backpack.",
        "backpack deploy ./dist --backpack shop",
    )
    command.add_argument(
        "source", type=Path, metavar="DIR|ZIP", help="a built frontend, with its index.html"
    )
    command.add_argument("--backpack", required=True, metavar="NAME", help="whose site it is")
    _add_to(command, required=False)


def _add_promote(commands: Any) -> None:
    command = _add_named_command(
        commands,
        "promote",
        perform.promote,
        "Put what a backpack has here into the one of its name on another deployment.",
        "backpack promote shop --to https://admin.example.com",
    )
    _add_to(command, required=True)
    command.add_argument(
        "--with-data", action="store_true", help="users and records too, if there are none there"
    )
    command.add_argument(
        "--replace", action="store_true", help="put them in the place of all that is there"
    )


def _add_to(command: argparse.ArgumentParser, *, required: bool) -> None:
    command.add_argument(
        "--to", required=required, metavar="URL", help="the admin host of another deployment"
    )
    command.add_argument(
        "--token", metavar="TOKEN", help="made in its panel; better in BACKPACK_TOKEN"
    )


def _add_rollback(commands: Any) -> None:
    command = _add_named_command(
        commands,
        "rollback",
        perform.rollback,
        "Serve an earlier version of a site again.",
        "backpack rollback shop 3",
    )
    command.add_argument(
        "version",
        nargs="?",
        type=_version,
        metavar="VERSION",
        help="any that is kept, otherwise the one before the one that is live",
    )


def _add_scale(commands: Any) -> None:
    command = _add_named_command(
        commands,
        "scale",
        perform.scale,
        "Have so many processes serve a backpack, in a swarm.",
        "backpack scale shop 3",
    )
    command.add_argument(
        "replicas", type=_replicas, metavar="N", help="how many API processes there are to be"
    )


def _add_reconnect(commands: Any) -> None:
    command = _add_named_command(
        commands,
        "reconnect",
        perform.reconnect,
        "Have a backpack reach databases of your own by other URLs, in a swarm.",
        "backpack reconnect shop --mongo-url-file -",
    )
    _add_urls(command)


def _add_export(commands: Any) -> None:
    command = _add_named_command(
        commands,
        "export",
        perform.export,
        "Put everything of a backpack into one file.",
        "backpack export shop shop.tar",
    )
    _add_served(command)
    command.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="the file, - for stdout (NAME.tar)"
    )
    command.add_argument("--with-key", action="store_true", help="put the API key into it too")


def _add_import(commands: Any) -> None:
    command = _add_folder_command(
        commands,
        "import",
        perform.import_backup,
        "Make a backpack of a file that export has written.",
        "backpack import shop.tar shop",
    )
    _add_served(command)
    command.add_argument("file", type=Path, metavar="FILE", help="the file, - for stdin")
    command.add_argument("name", metavar="NAME", help="the backpack")
    command.add_argument(
        "--replace", action="store_true", help="put it in the place of one there is"
    )


def _add_named_command(
    commands: Any, name: str, run: Callable[..., None], what: str, example: str
) -> argparse.ArgumentParser:
    command = _add_folder_command(commands, name, run, what, example)
    command.add_argument("name", metavar="NAME", help="the backpack")
    return command


def _add_folder_command(
    commands: Any, name: str, run: Callable[..., None], what: str, example: str
) -> argparse.ArgumentParser:
    command = _add_command(commands, name, run, what, example)
    command.add_argument(
        "--data",
        type=Path,
        default=data_from_environment(),
        metavar="DIR",
        help="the data folder (%(default)s)",
    )
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    return command


def _add_compose(commands: Any) -> None:
    command = _add_named_command(
        commands,
        "compose",
        perform.compose,
        "Print a file for docker compose: one backpack on one machine.",
        "backpack compose shop --site ./dist | docker compose -f - up",
    )
    command.add_argument(
        "--domain", type=_domain, default="bkpk.localhost", help="domain of its hosts (%(default)s)"
    )
    command.add_argument(
        "--email", default="", help="who answers for its certificates; without, it speaks http"
    )
    command.add_argument(
        "--port",
        type=_port,
        default=8000,
        help="port of this machine, without --email (%(default)s)",
    )
    command.add_argument("--site", type=Path, metavar="DIR", help="folder of its frontend")
    command.add_argument("--api-key", default="", metavar="KEY", help="its API key at first")
    command.add_argument("--image", default="backpack:latest", help="Backpack's own (%(default)s)")


def _add_command(
    commands: Any, name: str, run: Callable[..., None], what: str, example: str
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=what, description=what, epilog=f"example: {example}", allow_abbrev=False
    )
    command.set_defaults(run=run, served=False)
    return command


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 0 to 65535")
    return int(text)


def _replicas(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes")
    return int(text)


def _version(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of a version")
    return int(text)


def _domain(text: str) -> str:
    if not is_domain(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no domain such as bkpk.localhost")
    return text


def _backpack(text: str) -> tuple[str, str | None]:
    name, equals, api_key = text.partition("=")
    return name, api_key if equals else None


def _site(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not name or not equals or not folder:
        raise argparse.ArgumentTypeError(f"{text!r} must be NAME=DIR, such as shop=./dist")
    try:
        os.scandir(folder).close()
    except FileNotFoundError as exc:
        raise argparse.ArgumentTypeError(f"there is no folder {folder}") from exc
    except OSError as exc:
        raise argparse.ArgumentTypeError(f"cannot read {folder}: {exc.strerror}") from exc
    return name, Path(folder).resolve()
