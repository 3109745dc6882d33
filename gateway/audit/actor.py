"""Who causes what is done now: known where a request comes in, needed where the entry is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

GATEWAY = "gateway"
OPERATOR = "operator"
APPLICATION = "application"
"""Whoever holds the token of the local API."""
_actor: ContextVar[str] = ContextVar("mesh_audit_actor", default=GATEWAY)


def current_actor() -> str:
    return _actor.get()


@contextmanager
def acting(actor: str) -> Iterator[None]:
    """What is done inside is done by `actor`: `operator`, `application`, or `peer:<organization>`."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)
