"""Trust in one peer: taking it away leaf by leaf, explaining it, and looking for what is in its way.

POST /v1/peers/{org}/revoke-leaves    {before_ms?} -> peer; its leaves from before that time (default: now) are dead
POST /v1/peers/{org}/deny             {key_hash} -> peer; the leaf with that key is dead
GET  /v1/peers/{org}/why              {org, leaves: [leaf], grants: [decision]}: what it presented last
POST /v1/peers-why                    {certificate} -> {org, leaves: [leaf], grants}: of a certificate at hand
POST /v1/certificates/disown          {key_hash} -> {key_hash, told: {org: why not yet}}; a leaf of our own is dead
GET  /v1/peers/{org}/doctor           newline-delimited: one hop a line, the verdict last

A leaf is {presented_ms?, refused_then?, accepted, reason, steps: [{rule, detail, passed}]}.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from aiohttp import web

from gateway.admin import answers
from gateway.admin.peers import shown
from gateway.http import schemas
from gateway.http.described import Number, Text, operation
from gateway.http.fields import fields_of
from gateway.http.ndjson import respond_lines
from gateway.peers.doctor import examine
from gateway.peers.why import LeafAbsent, explained, grants, presented
from gateway.services import Services
from mesh.errors import CallerError
from mesh.ids import GatewayId, IllegalName
from mesh.trust.extensions import uris
from mesh.trust.pem import leaf_from

KEY_HASH = re.compile("[0-9a-f]{64}")


@dataclass(eq=False)
class KeyHashRefused(CallerError):
    key_hash: str

    code: ClassVar[str] = "key-hash-refused"
    sentence: ClassVar[str] = "{key_hash!r} is not the hash of a key: 64 lower-case hex digits"
    hint: ClassVar[str] = "copy it from the step 'not on the deny list' of: mesh peer why CERTIFICATE"


def routes(services: Services) -> list[web.RouteDef]:
    registry = services.registry

    @operation(
        "declare the leaves of a peer from before a time dead", body={"before_ms": Number()}, answers=answers.PEER
    )
    async def revoke_leaves(request: web.Request) -> web.Response:
        fields = await fields_of(request)
        before_ms = fields.number("before_ms")
        now_ms = services.now_ms()
        # not later than now: a date in the future would shut out leaves that are still to be made
        before_ms = now_ms if before_ms is None else min(before_ms, now_ms)
        peer = await registry.revoke_leaves(request.match_info["org"], before_ms)
        return web.json_response(shown(peer, services.links.status(), services.links.sight(peer.org)))

    @operation("declare one leaf of a peer dead", body={"key_hash": Text()}, answers=answers.PEER)
    async def deny(request: web.Request) -> web.Response:
        key_hash = (await fields_of(request)).text("key_hash")
        if not KEY_HASH.fullmatch(key_hash):
            raise KeyHashRefused(key_hash[:100])
        peer = await registry.deny_leaf(request.match_info["org"], key_hash)
        return web.json_response(shown(peer, services.links.status(), services.links.sight(peer.org)))

    @operation("declare a leaf of our own dead", body={"key_hash": Text()}, answers=answers.DISOWNED)
    async def disown(request: web.Request) -> web.Response:
        key_hash = (await fields_of(request)).text("key_hash")
        if not KEY_HASH.fullmatch(key_hash):
            raise KeyHashRefused(key_hash[:100])
        assert services.denials is not None
        return web.json_response({"key_hash": key_hash, "told": await services.denials.disown(key_hash)})

    @operation("why the leaves that a peer presented were accepted or refused", answers=answers.WHY)
    async def why(request: web.Request) -> web.Response:
        org, now_ms = request.match_info["org"], services.now_ms()
        leaves = services.links.sight(org).leaves
        if not leaves:
            if org not in registry.peers:
                registry.peer(org)
            raise LeafAbsent(org)
        shown_leaves = [presented(registry, leaf, now_ms) for leaf in leaves]
        return web.json_response({"org": org, "leaves": shown_leaves, "grants": grants(registry, org, now_ms)})

    @operation("the same of a certificate at hand", body={"certificate": Text()}, answers=answers.WHY)
    async def why_certificate(request: web.Request) -> web.Response:
        fields = await fields_of(request)
        certificate, now_ms = fields.text("certificate").encode(), services.now_ms()
        org = _claimed(certificate)
        leaf = explained(registry, certificate, now_ms)
        return web.json_response({"org": org, "leaves": [leaf], "grants": grants(registry, org, now_ms)})

    @operation("what is in the way of a peer, a line each", answers=schemas.REPORT, streams=True)
    async def doctor(request: web.Request) -> web.StreamResponse:
        return await respond_lines(request, examine(services, request.match_info["org"]))

    return [
        web.post("/v1/peers/{org}/revoke-leaves", revoke_leaves),
        web.post("/v1/peers/{org}/deny", deny),
        web.post("/v1/certificates/disown", disown),
        web.get("/v1/peers/{org}/why", why),
        web.post("/v1/peers-why", why_certificate),
        web.get("/v1/peers/{org}/doctor", doctor),
    ]


def _claimed(certificate: bytes) -> str:
    """Whose it says it is, empty where it says nothing that can be read."""
    try:
        return GatewayId.parse(next(iter(uris(leaf_from(certificate))), "")).org
    except (ValueError, IllegalName):
        return ""
