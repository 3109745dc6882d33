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
from gateway.admin.errors import BodyRefused
from gateway.admin.fields import Fields
from gateway.admin.ndjson import read_object
from gateway.admin.peers import moment, own_bundle
from gateway.services import Certificates, Services
from mesh.ids import IllegalName, OrgId
from mesh.trust.peerfile import accept_peer_file, parse_peer_file

MAX_DEADLINE_S = 365 * 86_400


def routes(services: Services) -> list[web.RouteDef]:
    async def show(request: web.Request) -> web.Response:
        return web.json_response(_kept(services).status())

    async def rotate_leaf(request: web.Request) -> web.Response:
        return web.json_response(await _kept(services).rotate_leaf())

    async def plan(request: web.Request) -> web.Response:
        return web.json_response(_kept(services).plan())

    async def start(request: web.Request) -> web.Response:
        fields = Fields(await read_object(request), "deadline_s", "emergency")
        deadline_s = fields.number("deadline_s")
        if deadline_s is not None and deadline_s > MAX_DEADLINE_S:
            raise BodyRefused(f"field 'deadline_s' must be at most {MAX_DEADLINE_S}")
        deadline = timedelta(seconds=deadline_s) if deadline_s is not None else None
        return web.json_response(await _kept(services).start(deadline, emergency=fields.flag("emergency")))

    async def leave(request: web.Request) -> web.Response:
        names = Fields(await read_object(request), "peers").texts("peers")
        return web.json_response(await _kept(services).leave([_org(name) for name in names]))

    async def repin(request: web.Request) -> web.Response:
        fields = Fields(await read_object(request), "file", "expect_fingerprint")
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
