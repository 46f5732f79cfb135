"""The command line: parse, call, print. What a command does is done elsewhere.

Exit codes: 0; 2 with one line on standard error for what the user can put right; 1 with a traceback
for what is a fault of Backpack.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from . import __version__
from .errors import BackpackError, Invalid
from .settings import is_domain
from .steps import Say, Take, say_nothing, take_nothing
from .terminal import bold, say, table

DATA = Path(".backpack")


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


def dev(options: argparse.Namespace) -> None:
    from . import dev

    dev.run(
        dev.Options(
            host=options.host,
            port=options.port,
            domain=options.domain,
            data=None if options.memory else options.data,
            backpacks=dict(options.backpack),
            sites=dict(options.site),
            ready_file=options.ready_file,
            demo=options.demo,
        )
    )


def serve(options: argparse.Namespace) -> None:
    from . import serve

    serve.run()


def create(options: argparse.Namespace) -> None:
    made = _perform(options, "create", name=options.name, api_key=options.api_key)
    _show(options, made, f"{bold(made['name'])} has been made; its API key is {made['api_key']}")


def list_backpacks(options: argparse.Namespace) -> None:
    found = _perform(options, "list")
    head = ["NAME", "API KEY", "FRONTEND", "BACKEND"]
    rows = [
        [one["name"], one["api_key"], one.get("frontend", "-"), one.get("backend", "-")]
        for one in found
    ]
    _show(options, found, *(table(head, rows) if rows else ["There are no backpacks"]))


def delete(options: argparse.Namespace) -> None:
    gone = _perform(options, "delete", name=options.name)
    _show(options, gone, f"{bold(options.name)} has been deleted")


def key(options: argparse.Namespace) -> None:
    if options.now and not options.rotate:
        raise Invalid("--now goes with --rotate")
    if options.rotate:
        found = _perform(options, "rotate_key", name=options.name, now=options.now)
    else:
        found = _perform(options, "key", name=options.name)
    until = found["previous_until"]
    also = [f"The key before works until {until}"] if options.rotate and until else []
    _show(options, found, found["api_key"], *also)


def rules(options: argparse.Namespace) -> None:
    if options.file is None:
        found = _perform(options, "rules", name=options.name)
        say(json.dumps(found, indent=2, ensure_ascii=False))
        return
    raw = _read_json(options.file)
    try:
        found = _perform(options, "set_rules", name=options.name, rules=raw)
    except Invalid as exc:
        wrong = "; ".join(f"{entry} {why}" for entry, why in (exc.fields or {}).items())
        raise Invalid(f"{options.file}: {wrong or exc.message}") from exc
    _show(options, found, f"The rules of {bold(options.name)} are in force")


def indexes(options: argparse.Namespace) -> None:
    changes = [
        ("pin_index", {"fields": options.pin}),
        ("forbid_index", {"path": options.forbid}),
        ("release_index", {"fields": options.release}),
    ]
    asked = [(command, given) for command, given in changes if None not in given.values()]
    command, given = asked[0] if asked else ("indexes", {})
    if given and options.collection is None:
        raise Invalid("Name the collection too: backpack indexes NAME COLLECTION")
    found = _perform(options, command, name=options.name, collection=options.collection, **given)
    head = ["COLLECTION", "FIELDS", "STATE", "OF", "USES"]
    rows = [_index_row(one) for one in found]
    _show(options, found, *(table(head, rows) if rows else ["There are no indexes"]))


def deploy(options: argparse.Namespace) -> None:
    from .packing import open_site
    from .settings import from_environment
    from .sites import limits

    with open_site(options.source, limits(from_environment())) as content:
        made = _perform(options, "deploy", name=options.backpack, who=_who(), content=content)
    where = f": {made['url']}" if "url" in made else "; backpack dev serves it"
    _show(options, made, f"{bold(made['name'])} has a new site{where}")


def sites(options: argparse.Namespace) -> None:
    found = _perform(options, "sites", name=options.name)
    head = ["VERSION", "", "DEPLOYED", "SIZE", "FILES", "BY"]
    rows = [
        [
            str(one["version"]),
            "live" if one["live"] else "",
            one["at"],
            f"{one['size']:,}",
            f"{one['files']:,}",
            one["who"],
        ]
        for one in found
    ]
    _show(options, found, *(table(head, rows) if rows else ["Nothing has been deployed"]))


def rollback(options: argparse.Namespace) -> None:
    made = _perform(options, "rollback", name=options.name, version=options.version)
    where = f": {made['url']}" if "url" in made else ""
    _show(options, made, f"Version {made['version']} of {bold(made['name'])} is live{where}")


def _who() -> str:
    """Who runs the command, as far as this machine knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        return f"user {os.getuid()}"


def _index_row(one: dict[str, Any]) -> list[str]:
    of = "elements" if one["elements"] else "values"
    if one["state"] == "forbidden":
        of = "-"
    return [one["collection"], one["fields"], one["state"], of, str(one["uses"])]


def export(options: argparse.Namespace) -> None:
    from . import tarball

    file = options.file or Path(f"{options.name}.tar")
    asked = {"name": options.name, "with_key": options.with_key}
    if str(file) == "-":
        take = tarball.writing_to(sys.stdout.buffer, "standard output")
        _perform(options, "export_backup", take=take, told=_say_aside, **asked)
        sys.stdout.buffer.flush()
        return
    with tarball.writing(file) as take:
        found = _perform(options, "export_backup", take=take, **asked)
    _show(options, {**found, "file": str(file)}, f"{bold(options.name)} is in {file}")


def _say_aside(line: str) -> None:
    say(line, to=sys.stderr)


def import_backup(options: argparse.Namespace) -> None:
    if options.served and options.replace:
        raise Invalid("--replace does not go with --served: a served backpack must be empty")
    with _content_of(options.file) as content:
        # A served backpack is there as soon as it has a name.
        replace = options.replace or options.served
        found = _perform(
            options, "import_backup", content=content, name=options.name, replace=replace
        )
    made = f"{bold(options.name)} has been imported; its API key is {found['api_key']}"
    _show(options, found, made)


@contextlib.contextmanager
def _content_of(file: Path) -> Iterator[BinaryIO]:
    """A file to read, `-` for standard input; what comes by a pipe is put aside as a whole, since
    its size must be known. Raises Invalid."""
    with contextlib.ExitStack() as stack:
        try:
            content: BinaryIO = sys.stdin.buffer
            if str(file) != "-":
                content = stack.enter_context(file.open("rb"))
            if not content.seekable():
                whole = stack.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(content, whole)
                whole.seek(0)
                content = whole
        except OSError as exc:
            raise Invalid(f"Cannot read {file}: {exc.strerror}") from exc
        yield content


def _perform(
    options: argparse.Namespace,
    command: str,
    *,
    content: BinaryIO | None = None,
    take: Take = take_nothing,
    told: Say = say,
    **arguments: Any,
) -> Any:
    """The result of a command; what it says before goes to `told`, unless JSON is asked for."""
    if options.json:
        told = say_nothing
    if options.served:
        from . import serve

        return serve.perform(command, arguments, content, told, take)
    from . import control, folder

    if command in ("create", "import_backup"):
        folder.prepare(options.data)
    elif not folder.exists(options.data):
        raise Invalid(
            f"There is no data folder {options.data}: backpack dev makes one, "
            "or name another with --data (a sandbox in memory takes no commands)"
        )
    return control.perform(options.data, command, arguments, content, told, take)


def _show(options: argparse.Namespace, result: Any, *lines: str) -> None:
    if options.json:
        say(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        say(*lines)


def _read_json(file: Path) -> Any:
    """The JSON in `file`, `-` for standard input; raises Invalid that says where it is wrong."""
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return json.loads(content)
    except OSError as exc:
        raise Invalid(f"Cannot read {file}: {exc.strerror}") from exc
    except json.JSONDecodeError as exc:
        where = f"line {exc.lineno}, column {exc.colno}"
        raise Invalid(f"{file} is no JSON: {exc.msg} at {where}") from exc
    except UnicodeDecodeError as exc:
        raise Invalid(f"{file} is no JSON: it is not UTF-8 at byte {exc.start}") from exc


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
        serve,
        "Serve one backpack on MongoDB and Redis; BACKPACK_* variables say which.",
        "BACKPACK_NAME=shop BACKPACK_MONGO_URL=mongodb://mongo/ BACKPACK_REDIS_URL=redis://redis/ "
        "backpack serve",
    )
    _add_create(commands)
    _add_folder_command(
        commands, "list", list_backpacks, "Show the backpacks there are.", "backpack list --json"
    )
    _add_named_command(
        commands,
        "delete",
        delete,
        "Delete a backpack with everything in it.",
        "backpack delete shop",
    )
    _add_key(commands)
    _add_rules(commands)
    _add_indexes(commands)
    _add_deploy(commands)
    _add_named_command(
        commands,
        "sites",
        sites,
        "Show the versions of a site that are kept.",
        "backpack sites shop",
    )
    _add_rollback(commands)
    _add_export(commands)
    _add_import(commands)
    return parser


def _add_dev(commands: Any) -> None:
    command = _add_command(
        commands,
        "dev",
        dev,
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
        "--data", type=Path, default=DATA, metavar="DIR", help="the data folder (%(default)s)"
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
        commands, "create", create, "Make a backpack.", "backpack create shop"
    )
    command.add_argument("--api-key", metavar="KEY", help="its API key, otherwise a random one")


def _add_key(commands: Any) -> None:
    command = _add_named_command(
        commands, "key", key, "Show or change an API key.", "backpack key shop --rotate"
    )
    _add_served(command)
    command.add_argument(
        "--rotate", action="store_true", help="make a new key; the old one works for 24 hours more"
    )
    command.add_argument("--now", action="store_true", help="end the old key at once")


def _add_rules(commands: Any) -> None:
    command = _add_named_command(
        commands, "rules", rules, "Show or replace access rules.", "backpack rules shop rules.json"
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
        indexes,
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
        deploy,
        "Make a folder or a zip the site of a backpack.",
        "backpack deploy ./dist --backpack shop",
    )
    command.add_argument(
        "source", type=Path, metavar="DIR|ZIP", help="a built frontend, with its index.html"
    )
    command.add_argument("--backpack", required=True, metavar="NAME", help="whose site it is")


def _add_rollback(commands: Any) -> None:
    command = _add_named_command(
        commands,
        "rollback",
        rollback,
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


def _add_export(commands: Any) -> None:
    command = _add_named_command(
        commands,
        "export",
        export,
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
        import_backup,
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
        "--data", type=Path, default=DATA, metavar="DIR", help="the data folder (%(default)s)"
    )
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    return command


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
