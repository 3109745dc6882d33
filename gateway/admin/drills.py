"""Drills on the live gateway.

POST /v1/drills/revoke    {grant, runs?} -> newline-delimited: run …, result

A run is {number, lanes, stop_ms, resume_ms}; the result has p50, p99 and max of both, in milliseconds.
"""

from __future__ import annotations

from aiohttp import web

from gateway.drills.revoke import drill_revoke
from gateway.http import schemas
from gateway.http.described import Number, Text, operation
from gateway.http.fields import fields_of
from gateway.http.ndjson import respond_lines
from gateway.services import Services


def routes(services: Services) -> list[web.RouteDef]:
    @operation(
        "how long a revocation takes, by revoking a grant and granting it again",
        body={"grant": Text(), "runs": Number()},
        answers=schemas.REPORT,
        streams=True,
    )
    async def revoke(request: web.Request) -> web.StreamResponse:
        fields = await fields_of(request)
        runs = fields.number("runs")
        return await respond_lines(request, drill_revoke(services, fields.text("grant"), 1 if runs is None else runs))

    return [web.post("/v1/drills/revoke", revoke)]
