"""What an entry of the log says in words, for who does not know the names of actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from ..steps import counted

Detail = Mapping[str, Any]

_LONG = 200  # characters of a filter
_FEW = 3  # things that a sentence names; of more it tells how many


def sentence(action: str, detail: Detail) -> str:
    """What was done, as the log's `action` and `detail` have it; the name of the action alone where
    another version of Backpack has noted it."""
    told = SENTENCES.get(action)
    if told is None:
        return action
    try:
        text = told(detail)
    except (LookupError, TypeError, ValueError, AttributeError):  # of another version, too
        return action
    return f"{text} (broken off: it may have been done)" if detail.get("broken_off") else text


def _these(detail: Detail, names: list[str], one: str) -> str:
    """`the file a.txt`, `2 files: a.txt, b.txt`, `1,000 files`."""
    count = detail.get("count", len(names))
    if count == 1 and names:
        return f"the {one} {names[0]}"
    some = f": {', '.join(names)}" if 0 < count == len(names) <= _FEW else ""
    return f"{counted(count, one)}{some}"


def _documents(verb: str, where: str) -> Callable[[Detail], str]:
    def told(detail: Detail) -> str:
        what = _these(detail, detail["ids"], "document")
        text = f"{verb} {what} {where} {detail['collection']}"
        return f"{text}{_matching(detail['filter'])}" if "filter" in detail else text

    return told


def _matching(asked: Any) -> str:
    """Which of all that there were."""
    text = orjson.dumps(asked).decode()
    return f" that matched {text[:_LONG]}{'…' if len(text) > _LONG else ''}" if asked else ", all"


def _files(verb: str) -> Callable[[Detail], str]:
    def told(detail: Detail) -> str:
        files = detail.get("files", [detail])
        return f"{verb} {_these(detail, [one['filename'] for one in files], 'file')}"

    return told


def _rules(detail: Detail) -> str:
    changed, count = detail.get("changed", {}), detail.get("count", 0)
    said = [
        *(f"allowed the origin {origin}" for origin in detail.get("origins_added", [])[:_FEW]),
        *(f"took back the origin {origin}" for origin in detail.get("origins_removed", [])[:_FEW]),
    ]
    if 0 < count <= _FEW:
        said += [
            f"{name} to {_rule(one['to'])}, from {_rule(one['from'])}"
            for name, one in changed.items()
        ]
    elif count:
        said.append(f"those of {count} collections")
    return f"Changed the rules: {'; '.join(said)}" if said else "Set the rules as they were"


def _rule(value: Any) -> str:
    """A rule, or all those of a collection, in words."""
    if isinstance(value, dict):
        return ", ".join(f"{action} {who}" for action, who in value.items()) or "the default"
    return "the default" if value is None else str(value)


def _backup(verb: str) -> Callable[[Detail], str]:
    def told(detail: Detail) -> str:
        kinds = (("users", "user"), ("documents", "document"), ("files", "file"))
        counts = [counted(detail[name], one) for name, one in kinds if name in detail]
        return f"{verb}{': ' if counts else ''}{', '.join(counts)}"

    return told


def _promoted(detail: Detail) -> str:
    parts = ["rules"] if detail.get("rules") else []
    if detail.get("files"):
        parts.append(counted(detail["files"], "file"))
    return f"Took over what was promoted{': ' if parts else ''}{' and '.join(parts)}"


def _deployed(detail: Detail) -> str:
    said = f"Deployed version {detail.get('version', '?')} of the site"
    return f"{said} ({counted(detail['files'], 'file')})" if "files" in detail else said


def _until(detail: Detail) -> str:
    until = detail.get("until")
    return f", to be had back until {until[:10]}" if until else ""


_WAYS = {
    "password": "with a password",
    "invitation": "by an invitation",
    "link": "by a one-time link",
    "reset": "by a link for a new password",
    "set-up": "with the set-up token",
}

SENTENCES: Mapping[str, Callable[[Detail], str]] = {
    "account.login": lambda _: "Chose an e-mail address and a password",
    "account.password": lambda _: "Changed their password",
    "backpack.create": lambda detail: (
        "Created the backpack"
        + (f", on {' and '.join(detail['databases'])} of its own" if "databases" in detail else "")
    ),
    "backpack.delete": lambda detail: f"Deleted the backpack{_until(detail)}",
    "backpack.purge": lambda _: "Deleted the backpack for good",
    "backpack.reconnect": lambda detail: (
        f"Changed the URL of its {' and '.join(detail['databases'])}"
    ),
    "backpack.restore": lambda _: "Restored the backpack",
    "backpack.scale": lambda detail: (
        f"Has {counted(detail['replicas'], 'process', 'processes')} serve it"
    ),
    "backup.export": lambda detail: (
        f"Downloaded a backup{' with the API key' if detail['with_key'] else ''}"
    ),
    "backup.import": _backup("Created the backpack from a backup"),
    "backup.promote": _promoted,
    "backup.replace": _backup("Replaced everything in it by a backup"),
    "collection.create": lambda detail: f"Created the collection {detail['collection']}",
    "collection.delete": lambda detail: f"Deleted the collection {detail['collection']}",
    "developer.invite": lambda detail: f"Made an invitation for a new {detail['role']}",
    "developer.remove": lambda detail: f"Removed the developer {detail['developer']}",
    "developer.reset": lambda detail: f"Made a link for a new password of {detail['developer']}",
    "developer.role": lambda detail: f"Made {detail['developer']} {_a(detail['role'])}",
    "developer.uninvite": lambda _: "Took an invitation back",
    "document.change": _documents("Changed", "in"),
    "document.create": _documents("Added", "to"),
    "document.delete": _documents("Deleted", "from"),
    "document.replace": _documents("Replaced", "in"),
    "file.change": _files("Changed"),
    "file.create": _files("Uploaded"),
    "file.delete": _files("Deleted"),
    "file.replace": _files("Replaced"),
    "key.rotate": lambda detail: (
        f"Changed the API key, the one before ended {'at once' if detail['now'] else 'later'}"
    ),
    "member.remove": lambda detail: f"Took {detail['member']} off its members",
    "member.set": lambda detail: f"Made {detail['member']} its {detail['role']}",
    "node.activate": lambda detail: f"Activated the node {detail['node']}",
    "node.drain": lambda detail: f"Drained the node {detail['node']}",
    "node.join_command": lambda detail: f"Looked at the command that adds a {detail['role']}",
    "node.label": lambda detail: (
        f"Labelled the node {detail['node']}: {detail['key']}={detail['value']}"
        if detail["value"] is not None
        else f"Took the label {detail['key']} off the node {detail['node']}"
    ),
    "rules.set": _rules,
    "session.begin": lambda detail: f"Signed in {_WAYS.get(detail['by'], 'by ' + detail['by'])}",
    "session.end": lambda detail: "Logged a user out" if detail else "Logged out",
    "session.end_all": lambda _: "Logged out everywhere",
    "site.deploy": _deployed,
    "site.rollback": lambda detail: f"Rolled the site back to version {detail['version']}",
    "token.create": lambda detail: f"Made the token {detail['token']}, to {detail['scope']}",
    "token.refused": lambda detail: f"Was refused with a token: {detail['wanted']}",
    "token.revoke": lambda detail: f"Revoked the token {detail['token']}",
    "user.create": lambda detail: f"Added the user {detail['email']}",
    "user.delete": lambda detail: f"Deleted the user {detail['email']}",
    "user.password": lambda detail: f"Set the password of {detail['email']}",
}


def _a(role: str) -> str:
    return f"an {role}" if role[0] in "aeiou" else f"a {role}"
