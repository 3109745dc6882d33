"""What is wrong with this gateway and its cluster.

POST /v1/doctor    {probe_append?, topic?, sources?, destinations?} -> newline-delimited: a finding a line, the verdict
                   last. The topics of shares and subscriptions are looked at in any case.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from aiohttp import web

from gateway.doctor.examine import Question, examine
from gateway.doctor.facts import Asked, Use
from gateway.doctor.used_topics import used_topics
from gateway.http import schemas
from gateway.http.described import Flag, Text, Texts, operation
from gateway.http.fields import fields_of
from gateway.http.ndjson import respond_lines
from gateway.services import Services


def routes(services: Services) -> list[web.RouteDef]:
    @operation(
        "what is wrong with this gateway and its cluster, a finding a line",
        body={"probe_append": Flag(), "topic": Text(required=False), "sources": Texts(), "destinations": Texts()},
        answers=schemas.REPORT,
        streams=True,
    )
    async def doctor(request: web.Request) -> web.StreamResponse:
        fields = await fields_of(request)
        given = [Asked(name, Use.SOURCE) for name in fields.texts("sources")]
        given += [Asked(name, Use.DESTINATION) for name in fields.texts("destinations")]
        probe, scratch = fields.flag("probe_append"), fields.text("topic", "")

        async def lines() -> AsyncIterator[Mapping[str, object]]:
            used = await used_topics(services)
            known = {(each.use, each.name) for each in used}
            more = [each for each in given if (each.use, each.name) not in known]
            question = Question([*used, *more], probe, scratch)
            async for line in examine(services.config, question, services.now_ms, is_running=True):
                yield line

        return await respond_lines(request, lines())

    return [web.post("/v1/doctor", doctor)]
