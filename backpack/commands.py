"""What each command of the command line does: call, and print what came of it.

How it is written there is known to `cli`; what is done is done elsewhere.
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
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from .errors import Invalid, Unavailable
from .steps import Say, Take, say_nothing, take_nothing
from .terminal import bold, say, table

if TYPE_CHECKING:
    from .remote import Remote


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


def admin(options: argparse.Namespace) -> None:
    try:
        from . import administration
    except ModuleNotFoundError as exc:
        raise Unavailable("admin needs more packages: pip install 'backpack-baas[swarm]'") from exc
    administration.run()


def create(options: argparse.Namespace) -> None:
    from . import folder

    asked = {"name": options.name, "api_key": options.api_key, **_urls(options)}
    # In a swarm that takes a while, and Docker tells how far it is.
    told = say if folder.is_of_swarm(options.data) else say_nothing
    made = _perform(options, "create", told=told, **asked)
    _show(options, made, f"{bold(made['name'])} has been made; its API key is {made['api_key']}")


def _urls(options: argparse.Namespace) -> dict[str, Any]:
    files = {url: getattr(options, f"{url}_file") for url in ("mongo_url", "redis_url")}
    return {url: _read_line(file) for url, file in files.items() if file is not None}


def list_backpacks(options: argparse.Namespace) -> None:
    found = _perform(options, "list")
    head = ["NAME", "API KEY", "FRONTEND", "BACKEND"]
    rows = [
        [one["name"], one["api_key"], one.get("frontend", "-"), one.get("backend", "-")]
        for one in found
    ]
    _show(options, found, *(table(head, rows) if rows else ["There are no backpacks"]))


def delete(options: argparse.Namespace) -> None:
    gone = _perform(options, "delete", told=say_nothing, name=options.name)
    back = f"backpack restore {options.name} brings it back, until {gone['until']}"
    _show(options, gone, f"{bold(options.name)} has been deleted", back)


def trash(options: argparse.Namespace) -> None:
    found = _perform(options, "trash")
    head = ["NAME", "DELETED", "KEPT UNTIL"]
    rows = [[one["name"], one["deleted_at"], one["until"]] for one in found]
    _show(options, found, *(table(head, rows) if rows else ["The trash is empty"]))


def restore(options: argparse.Namespace) -> None:
    made = _perform(options, "restore", told=say_nothing, name=options.name)
    _show(options, made, f"{bold(made['name'])} is back; its API key is {made['api_key']}")


def purge(options: argparse.Namespace) -> None:
    gone = _perform(options, "purge", told=say_nothing, name=options.name)
    _show(options, gone, f"{bold(options.name)} is gone from the trash, for good")


def link(options: argparse.Namespace) -> None:
    found = _perform(options, "link")
    _show(options, found, found["url"])


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
    from .remote import path_of
    from .settings import from_environment
    from .sites import limits

    most = limits(from_environment())
    if options.to is not None:
        remote = _remote(options)
        with open_site(options.source, most, compression=zipfile.ZIP_DEFLATED) as content:
            made = remote.send("POST", path_of(options.backpack, "site"), content, _told(options))
    else:
        with open_site(options.source, most) as content:
            made = _perform(options, "deploy", name=options.backpack, who=_who(), content=content)
    where = "" if options.to else "; backpack dev serves it"
    if "url" in made:
        where = f": {made['url']}"
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


def scale(options: argparse.Namespace) -> None:
    found = _perform(options, "scale", name=options.name, replicas=options.replicas)
    _show(options, found, f"{bold(options.name)} is {found['state']}")


def reconnect(options: argparse.Namespace) -> None:
    found = _perform(options, "reconnect", told=say, name=options.name, **_urls(options))
    _show(options, found, f"{bold(options.name)} is {found['state']}")


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


def promote(options: argparse.Namespace) -> None:
    from . import promotions, tarball
    from .remote import path_of

    if options.replace and not options.with_data:
        raise Invalid("--replace goes with --with-data")
    remote = _remote(options)
    told = _told(options)
    with tempfile.TemporaryFile() as content:
        take = tarball.writing_to(content, "the backup")
        only = None if options.with_data else promotions.PARTS
        _perform(options, "export_backup", take=take, name=options.name, only=only)
        if only is not None:
            made = remote.send("PATCH", path_of(options.name, "backup"), content, told)
        else:
            what = "backup" if options.replace else "backup?empty=1"
            made = remote.send("POST", path_of(options.name, what), content, told)
    _show(options, made, f"{bold(options.name)} has been promoted to {options.to}")


def _remote(options: argparse.Namespace) -> Remote:
    """The deployment that --to names; raises Invalid."""
    from .remote import Remote
    from .settings import token_from_environment

    return Remote(options.to, options.token or token_from_environment())


def _told(options: argparse.Namespace) -> Say:
    return say_nothing if options.json else say


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


def _read_line(file: Path) -> str:
    """What a file of one line holds, `-` for standard input; raises Invalid."""
    try:
        return (sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")).strip()
    except (OSError, ValueError) as exc:
        raise Invalid(f"Cannot read {file}") from exc


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


def compose(options: argparse.Namespace) -> None:
    from . import folder
    from .drivers.compose import Composition, compose
    from .drivers.deployment import Deployment

    if options.site is not None and not options.site.is_dir():
        raise Invalid(f"There is no folder {options.site}")
    folder.prepare(options.data)
    deployment = Deployment(options.domain, email=options.email, image=options.image)
    composition = Composition(
        options.name,
        secret=folder.secret(options.data),
        port=options.port,
        site=str(options.site.resolve()) if options.site else "",
        api_key=options.api_key,
    )
    say(compose(deployment, composition).rstrip("\n"))
