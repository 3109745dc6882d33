"""Reads the query of a request, by what its handler declares of it."""

from __future__ import annotations

from typing import TypeVar

from aiohttp import web

from gateway.http.described import Flag, Formed, Number, Text, asked_of, operation_of
from gateway.http.errors import BodyRefused
from gateway.topics.errors import QueryRefused

_Kind = TypeVar("_Kind", Text, Flag, Number, Formed)


def query_text(request: web.Request, name: str, default: str | None = None) -> str:
    """Raises BodyRefused where it is required and not there, QueryRefused where it is none of its choices."""
    declared, given = _declared(request, name, Text), request.query.get(name)
    if given is None:
        if declared.required or default is None:
            raise BodyRefused(f"the query must have {name}")
        return default
    if not declared.fits(given):
        raise QueryRefused(name, given[:80], f"it is one of {', '.join(declared.choices)}")
    return given


def query_number(request: web.Request, name: str) -> int | None:
    """A whole number, None where it is not given. Raises QueryRefused."""
    declared, given = _declared(request, name, Number), request.query.get(name)
    if given is None:
        return None
    # the length first: a number of many digits costs more than it says
    if not (given.isascii() and given.isdecimal() and len(given) < 20 and declared.fits(int(given))):
        raise QueryRefused(name, given[:80], f"it is {declared.kind}")
    return int(given)


def query_formed(request: web.Request, name: str) -> str:
    """Empty where it is not given. Raises QueryRefused."""
    declared, given = _declared(request, name, Formed), request.query.get(name)
    if given and not declared.fits(given):
        raise QueryRefused(name, given[:80], f"it is {declared.kind}")
    return given or ""


def header_formed(request: web.Request, name: str) -> str:
    """A header of the request; empty where it is not given. Raises QueryRefused."""
    declared, given = asked_of(request).headers[name], request.headers.getall(name, [])
    if len(given) > 1 or (given and not declared.fits(given[0])):
        raise QueryRefused(name, ", ".join(given)[:80], f"it is {declared.kind}, once")
    return given[0] if given else ""


def query_flag(request: web.Request, name: str) -> bool:
    """False where it is not given. Raises QueryRefused."""
    declared, given = _declared(request, name, Flag), request.query.get(name, "false")
    if given not in {"true", "false"}:
        raise QueryRefused(name, given[:80], f"it is {declared.kind}")
    return given == "true"


def check_query(request: web.Request) -> None:
    """Refuses parameters that the path does not know, and one given twice. Raises BodyRefused."""
    declared = operation_of(request.match_info.handler)
    if declared is None:
        return
    for name in request.query:
        if name not in declared.query:
            raise BodyRefused(f"the query has {name[:80]!r}, which this path does not know")
        if len(request.query.getall(name)) > 1:
            raise BodyRefused(f"the query has {name!r} twice")


def _declared(request: web.Request, name: str, kind: type[_Kind]) -> _Kind:
    found = asked_of(request).query[name]
    assert isinstance(found, kind), f"{name} is declared as {found}"
    return found
