"""Users and their sessions, as a console handles them; no password or its hash goes out, and no
token."""

from __future__ import annotations

import orjson

from ..errors import NotFound
from ..sessions import Session
from ..users import SORTS, User, unknown
from .calls import Call


async def get(call: Call) -> bytes:
    """A page of users, with `search` in their address, and how many these are."""
    sort, page = call.choice("sort", "createdAt", SORTS), call.page
    search = call.text("search", "")
    items, total = await call.backpack.users.page(search, sort, page.skip, page.limit)
    return orjson.dumps({"items": items, "total": total})


async def post(call: Call) -> bytes:
    """Make an account of an `email` and a `password`."""
    made = await call.backpack.users.register(call.fields.get("email"), call.fields.get("password"))
    return _shown(made)


async def patch(call: Call) -> bytes:
    """Give the account of an `_id` another `password`, and end all its sessions."""
    user = await _user(call, call.field("_id"))
    await call.backpack.users.set_password(user, call.fields.get("password"))
    await call.backpack.sessions.end_user(user.id)
    return _shown(user)


async def delete(call: Call) -> bytes:
    """Delete the account of the `_id` that `data` is, and end its sessions; documents and files of
    the user stay."""
    user = await _user(call, call.data)
    await call.backpack.users.delete(user)
    await call.backpack.sessions.end_user(user.id)
    return _shown(user)


async def _user(call: Call, user_id: object) -> User:
    found = await call.backpack.users.of_id(user_id) if isinstance(user_id, str) else None
    if found is None:
        raise unknown()
    return found


def _shown(user: User) -> bytes:
    return orjson.dumps({"_id": user.id, "email": user.email, "createdAt": user.created_at})


async def get_sessions(call: Call) -> bytes:
    """The sessions of the user `userId`."""
    found = await call.backpack.sessions.of_user(call.field("userId"))
    return orjson.dumps([shown(session) for session in found])


async def delete_session(call: Call) -> bytes:
    """End the session of an `_id`, or all of a `userId`; their websockets are closed."""
    sessions = call.backpack.sessions
    if "_id" not in call.fields:
        user_id = call.field("userId")
        await sessions.end_user(user_id)
        return orjson.dumps({"userId": user_id})
    digest = call.field("_id")
    if not await sessions.end_one(digest):
        raise NotFound("There is no such session", code="unknown_session")
    return orjson.dumps({"_id": digest})


def shown(session: Session) -> dict[str, object]:
    """A session as developers see it, by its digest: nobody can be that by it."""
    return {
        "_id": session.digest,
        "userId": session.user_id,
        "email": session.email,
        "expires": session.expires,
    }
