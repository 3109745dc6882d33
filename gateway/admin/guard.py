"""What the admin API is to the checks that all HTTP APIs share (`gateway.http.guard`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateway.admin.errors import TokenRefused
from gateway.audit.actor import OPERATOR
from gateway.http.api import Api
from gateway.http.errors import error_body
from gateway.http.guard import Middleware, errors_of, guard_of

MAX_BODY_BYTES = 1024 * 1024
OPEN_PATHS = frozenset({"/", "/console", "/livez", "/readyz", "/metrics"})
"""The first two lead to the console, which has a guard of its own."""
ADMIN = Api("admin", "mesh-admin-token", OPERATOR, OPEN_PATHS, MAX_BODY_BYTES, error_body, TokenRefused, ("/console/",))

errors = errors_of(ADMIN)
"""Every failure as `{"error": {code, sentence, remedy, actor}}` with its status."""


def guard(tokens: Callable[[], Iterable[str]], hosts: frozenset[str]) -> Middleware:
    return guard_of(ADMIN, tokens, hosts)
