"""Our own certificates, and the anchors of peers.

GET  /v1/certificates                    leaf, bundle, who has acknowledged it, the rotation, warnings
POST /v1/certificates/rotate-leaf        the same, with the new leaf
GET  /v1/certificates/rotation/plan      what a rotation of the CA would need
POST /v1/certificates/rotation           {deadline_s?, emergency?} begin one -> as the first
POST /v1/certificates/rotation/leave     {peers} go on without them -> as the first
POST /v1/peers/{org}/repin               {file, expect_fingerprint} -> org, sequence, fingerprint
"""

from __future__ import annotations

from datetime import timedelta

from aiohttp import web

from certs.errors import NotLagging
from gateway.admin import answers
from gateway.admin.peers import moment, own_bundle
from gateway.http import schemas
from gateway.http.described import Flag, Number, Text, Texts, operation
from gateway.http.errors import BodyRefused
from gateway.http.fields import fields_of
from gateway.services import Certificates, Services
from mesh.ids import IllegalName, OrgId
from mesh.trust.peerfile import accept_peer_file, parse_peer_file

MAX_DEADLINE_S = 365 * 86_400


def routes(services: Services) -> list[web.RouteDef]:
    @operation("our certificates, and who has acknowledged them", answers=schemas.REPORT)
    async def show(request: web.Request) -> web.Response:
        return web.json_response(_kept(services).status())

    @operation("a new leaf", answers=schemas.REPORT)
    async def rotate_leaf(request: web.Request) -> web.Response:
        return web.json_response(await _kept(services).rotate_leaf())

    @operation("what a rotation of the CA would need", answers=schemas.REPORT)
    async def plan(request: web.Request) -> web.Response:
        return web.json_response(_kept(services).plan())

    @operation(
        "begin a rotation of the CA",
        body={"deadline_s": Number(most=MAX_DEADLINE_S), "emergency": Flag()},
        answers=schemas.REPORT,
    )
    async def start(request: web.Request) -> web.Response:
        fields = await fields_of(request)
        deadline_s = fields.number("deadline_s")
        deadline = timedelta(seconds=deadline_s) if deadline_s is not None else None
        return web.json_response(await _kept(services).start(deadline, emergency=fields.flag("emergency")))

    @operation("go on without peers that have not acknowledged", body={"peers": Texts()}, answers=schemas.REPORT)
    async def leave(request: web.Request) -> web.Response:
        names = (await fields_of(request)).texts("peers")
        return web.json_response(await _kept(services).leave([_org(name) for name in names]))

    @operation(
        "trust a peer by another file", body={"file": Text(), "expect_fingerprint": Text()}, answers=answers.REPINNED
    )
    async def repin(request: web.Request) -> web.Response:
        fields = await fields_of(request)
        peer = services.registry.peer(request.match_info["org"])
        file = parse_peer_file(fields.text("file"), moment(services.now_ms()))
        if file.org != peer.org:
            raise BodyRefused(f"the file is of {file.org}, not of {peer.org}")
        others = [each.bundle for each in services.registry.peers.values() if each.org != peer.org]
        accept_peer_file(file, await own_bundle(services), others, fields.text("expect_fingerprint"))
        pinned = await services.registry.set_peer_bundle(file.bundle, pinned=True)
        answer = {"org": pinned.org, "bundle_sequence": pinned.bundle.sequence, "fingerprint": file.fingerprint}
        return web.json_response(answer)

    return [
        web.get("/v1/certificates", show),
        web.post("/v1/certificates/rotate-leaf", rotate_leaf),
        web.get("/v1/certificates/rotation/plan", plan),
        web.post("/v1/certificates/rotation", start),
        web.post("/v1/certificates/rotation/leave", leave),
        web.post("/v1/peers/{org}/repin", repin),
    ]


def _kept(services: Services) -> Certificates:
    assert services.certificates is not None, "a gateway that runs keeps its certificates"
    return services.certificates


def _org(name: str) -> OrgId:
    try:
        return OrgId(name)
    except IllegalName as error:
        raise NotLagging(name[:255]) from error
