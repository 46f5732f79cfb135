"""The pages of what is in a backpack: documents, users, files, rules, requests. All they show comes
over the console; what they ask for first goes along with them."""

from __future__ import annotations

from typing import Any

from sanic import Blueprint, HTTPResponse

from ..api.request import Request
from ..router import ADMIN, mount
from .foreseen import foresee
from .frame import render
from .guards import of_backpack

contents = Blueprint("contents", url_prefix=mount(ADMIN))

PAGES = ("data", "users", "files", "rules", "requests")


def _page(key: str) -> None:
    @contents.get(f"/backpacks/<name:str>/{key}", name=key, ignore_body=True)
    @of_backpack
    async def page(request: Request, name: str, **_: Any) -> HTTPResponse:
        foreseen = await foresee(request, key, name)
        return await render(request, f"{key}.html.j2", active=key, name=name, foreseen=foreseen)


for _key in PAGES:
    _page(_key)
