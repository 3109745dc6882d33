"""What tells one HTTP API of the gateway from another; all else they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from gateway.http.errors import BodyTooLarge, MethodRefused, PathAbsent
from mesh.errors import MeshError


@dataclass(frozen=True, slots=True)
class Api:
    """One API: who may call it, and in which form it refuses."""

    name: str
    """In sentences and logs."""
    token_header: str
    """Carries the token where `Authorization: Bearer` does not."""
    actor: str
    """Who causes what is done by it (`gateway.audit.actor`)."""
    open_paths: frozenset[str]
    """Answered without a token: they tell no secret."""
    max_body_bytes: int
    body_of: Callable[[MeshError], Mapping[str, object]]
    """An error as the JSON of an answer, and as the last line of a stream."""
    token_refused: Callable[[], MeshError]
    guarded_apart: tuple[str, ...] = ()
    """Paths that begin so check for themselves who asks; Host and Origin are checked before."""
    refusal_type: str = "application/json"
    """Of an answer that holds an error."""
    body_types: frozenset[str] = frozenset({"application/json", "application/x-ndjson"})
    """Of bodies that are read."""
    body_s: float | None = None
    """For a body to arrive; None: as long as it likes."""

    def body_too_large(self) -> BodyTooLarge:
        return BodyTooLarge(self.max_body_bytes)

    def path_absent(self, request: web.Request) -> PathAbsent:
        return PathAbsent(self.name, request.method, request.path[:200])

    def method_refused(self, request: web.Request, allowed: str) -> MethodRefused:
        return MethodRefused(self.name, request.method, request.path[:200], allowed)


_KEY = web.RequestKey("api", Api)


def remember(request: web.Request, api: Api) -> None:
    request[_KEY] = api


def api_of(request: web.Request) -> Api:
    """The API that a request came to: its `errors` middleware has said so."""
    return request[_KEY]
