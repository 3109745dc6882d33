"""Shares: what this organization offers.

GET  /v1/shares                 {"shares": [share]}
POST /v1/shares                 {name, topics} -> share; patterns are among the topics, every other must exist
GET  /v1/shares/{name}          share with "contents": [{topic, partitions, by, origin, left_out}], as of now
POST /v1/shares/{name}/add      {topics} -> share in its next version
POST /v1/shares/{name}/remove   {topics} -> share in its next version; its lanes of these topics end at once
POST /v1/shares/{name}/set      {topics} -> share with these and no others; lanes of those taken out end at once

A share is {name, version, topics, patterns, created_ms, granted_to}.
"""

from __future__ import annotations

from aiohttp import web

from gateway.admin import answers
from gateway.http import schemas
from gateway.http.described import Text, Texts, operation
from gateway.http.fields import fields_of
from gateway.services import Services
from gateway.sharing import check_topics, contents, split
from mesh.ids import ShareName
from mesh.shares import GrantState, Share


def routes(services: Services) -> list[web.RouteDef]:
    registry = services.registry

    @operation("make a share", body={"name": Text(), "topics": Texts()}, answers={201: answers.SHARE})
    async def create(request: web.Request) -> web.Response:
        fields = await fields_of(request)
        name, (topics, patterns) = ShareName(fields.text("name")), split(fields.texts("topics"))
        await check_topics(services, topics)
        share = await registry.create_share(name, topics, services.now_ms(), patterns)
        return web.json_response(shown(services, share), status=201)

    @operation("the shares", answers=schemas.object_of({"shares": schemas.list_of(answers.SHARE)}))
    async def listing(request: web.Request) -> web.Response:
        return web.json_response({"shares": [shown(services, registry.shares[n]) for n in sorted(registry.shares)]})

    @operation(
        "a share and what is in it now",
        answers=schemas.with_fields(answers.SHARE, contents=schemas.list_of(schemas.REPORT)),
    )
    async def show(request: web.Request) -> web.Response:
        share = registry.share(request.match_info["name"])
        return web.json_response(shown(services, share) | {"contents": await contents(services, share)})

    @operation("add topics to a share", body={"topics": Texts()}, answers=answers.SHARE)
    async def add(request: web.Request) -> web.Response:
        topics, patterns = split((await fields_of(request)).texts("topics"))
        await check_topics(services, topics)
        share = await registry.add_to_share(request.match_info["name"], topics, patterns)
        return web.json_response(shown(services, share))

    @operation("take topics out of a share", body={"topics": Texts()}, answers=answers.SHARE)
    async def remove(request: web.Request) -> web.Response:
        names = (await fields_of(request)).texts("topics")
        return web.json_response(shown(services, await registry.remove_from_share(request.match_info["name"], names)))

    @operation("say what a share holds, all of it", body={"topics": Texts(required=True)}, answers=answers.SHARE)
    async def set_topics(request: web.Request) -> web.Response:
        name, (topics, patterns) = request.match_info["name"], split((await fields_of(request)).texts("topics"))
        # those that are in it may be gone by now: they stay in it until they are taken out
        await check_topics(services, [topic for topic in topics if topic not in registry.share(name).topics])
        return web.json_response(shown(services, await registry.set_share(name, topics, patterns)))

    return [
        web.get("/v1/shares", listing),
        web.post("/v1/shares", create),
        web.get("/v1/shares/{name}", show),
        web.post("/v1/shares/{name}/add", add),
        web.post("/v1/shares/{name}/remove", remove),
        web.post("/v1/shares/{name}/set", set_topics),
    ]


def shown(services: Services, share: Share) -> dict[str, object]:
    grants = services.registry.grants.values()
    return {
        "name": share.name,
        "version": share.version,
        "topics": list(share.topics),
        "patterns": list(share.patterns),
        "created_ms": share.created_ms,
        "granted_to": sorted(g.peer for g in grants if g.share == share.name and g.state is GrantState.ACTIVE),
    }
