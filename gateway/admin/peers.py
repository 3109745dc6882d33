"""Peers: the file that makes us one, adding, looking, suspending, resuming, revoking.

GET  /v1/peer-file?addresses=a:1,b:2     {"org", "fingerprint", "addresses", "file"}: what to hand to a partner
GET  /v1/peers                           {"peers": [peer]}
POST /v1/peers                           {file, expect_fingerprint?, addresses?, allow_private?} -> peer
GET  /v1/peers/{org}                     peer
POST /v1/peers/{org}/addresses           {addresses, allow_private?} -> peer; where it is dialled from now on
POST /v1/peers/{org}/suspend             peer; also /resume and /revoke. What takes trust away is answered when nothing
                                         is read for the peer and nothing of it is written any more

`down` are the addresses that were dialled in vain and whose gateway has no link: [{address, code, sentence}]; `failure`
is the first of them while there is no link at all.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from aiohttp import web

from certs.own import load_own
from gateway.admin import answers
from gateway.config import GatewayConfig
from gateway.http import schemas
from gateway.http.described import Flag, Shape, Text, Texts, operation
from gateway.http.fields import fields_of
from gateway.http.query import query_text
from gateway.peer import Peer
from gateway.rpc.targets import check_addresses
from gateway.services import LinkStatus, PeerSight, Services
from mesh.errors import CallerError, OperatorError
from mesh.shares import PeerState
from mesh.trust.addresses import legal_address, shows_where
from mesh.trust.bundle import Bundle
from mesh.trust.enrolment import confirmation_phrase
from mesh.trust.peerfile import MAX_ADDRESSES, PeerFile, accept_peer_file, parse_peer_file
from mesh.trust.words import spoken

NEW_PEER: Shape = {
    "file": Text(),
    "expect_fingerprint": Text(required=False),
    "addresses": Texts(),
    "allow_private": Flag(),
}
ADDRESSES: Shape = {"addresses": Texts(required=True), "allow_private": Flag()}


@dataclass(eq=False)
class PeerAddressRefused(CallerError):
    address: str

    code: ClassVar[str] = "peer-address-refused"
    sentence: ClassVar[str] = "{address!r} is not an address at which a peer can be reached"
    hint: ClassVar[str] = "give at most 32, each as host:port with a port from 1 to 65535"


UNSEEN = PeerSight()
# Beyond the deadline of an append: what remains is our own work.
SETTLE_S = 5.0


@dataclass(eq=False)
class PeerStillBusy(OperatorError):
    """The change is durable and nothing new begins; only what was already on its way to the cluster is not answered."""

    org: str
    state: str

    code: ClassVar[str] = "peer-still-busy"
    sentence: ClassVar[str] = (
        "{org} is {state} and nothing new is taken from it, but the cluster has not answered what was under way"
    )
    hint: ClassVar[str] = "give the same command again, to wait once more; see: mesh status"


def routes(services: Services) -> list[web.RouteDef]:
    registry = services.registry

    @operation("what to hand to a partner", query={"addresses": Text(required=False)}, answers=answers.PEER_FILE)
    async def export(request: web.Request) -> web.Response:
        given = tuple(each for each in query_text(request, "addresses", "").split(",") if each)
        file = PeerFile(await own_bundle(services), checked_addresses(given or own_addresses(services)))
        answer = {"org": file.org, "fingerprint": file.fingerprint, "addresses": list(file.addresses)}
        return web.json_response(answer | {"file": file.to_json()})

    @operation("trust a partner by its file", body=NEW_PEER, answers={201: answers.PEER_WITH_FINGERPRINT})
    async def add(request: web.Request) -> web.Response:
        fields = await fields_of(request)
        now_ms = services.now_ms()
        file = parse_peer_file(fields.text("file"), moment(now_ms))
        known = [peer.bundle for peer in registry.peers.values()]
        accept_peer_file(file, await own_bundle(services), known, fields.text("expect_fingerprint", "") or None)
        given, allowed = checked_addresses(fields.texts("addresses")), fields.flag("allow_private")
        # Addresses that the operator gave, or sees in the file as they are, are the operator's word; others the peer's.
        allowed = allowed or services.config.private_addresses or bool(given) or all(map(shows_where, file.addresses))
        await check_addresses(given or file.addresses, allow_private=allowed)
        added = Peer(file.bundle, given or file.addresses, PeerState.ACTIVE, now_ms, public_only=not allowed)
        peer = await registry.add_peer(added)
        return web.json_response(shown(peer, ()) | {"fingerprint": file.fingerprint}, status=201)

    @operation("the peers", answers=schemas.object_of({"peers": schemas.list_of(answers.PEER)}))
    async def listing(request: web.Request) -> web.Response:
        links = services.links.status()
        sights = {org: services.links.sight(org) for org in sorted(registry.peers)}
        return web.json_response({"peers": [shown(registry.peers[org], links, sights[org]) for org in sights]})

    @operation("one peer", answers=answers.PEER)
    async def show(request: web.Request) -> web.Response:
        peer = registry.peer(request.match_info["org"])
        return web.json_response(shown(peer, services.links.status(), services.links.sight(peer.org)))

    @operation("say where a peer is dialled", body=ADDRESSES, answers=answers.PEER)
    async def set_addresses(request: web.Request) -> web.Response:
        fields = await fields_of(request)
        given, peer = checked_addresses(fields.texts("addresses")), registry.peer(request.match_info["org"])
        # A name that the operator gives leads where its owner says: that it may lead to us is said in so many words.
        shown_all = bool(given) and all(map(shows_where, given))
        allowed = fields.flag("allow_private") or services.config.private_addresses or shown_all
        await check_addresses(given, allow_private=allowed or not peer.public_only)
        peer = await registry.set_peer_addresses(peer.org, given, public_only=peer.public_only and not allowed)
        return web.json_response(shown(peer, services.links.status(), services.links.sight(peer.org)))

    return [
        web.get("/v1/peer-file", export),
        web.get("/v1/peers", listing),
        web.post("/v1/peers", add),
        web.get("/v1/peers/{org}", show),
        web.post("/v1/peers/{org}/addresses", set_addresses),
        *_state_routes(services),
    ]


def _state_routes(services: Services) -> list[web.RouteDef]:
    async def change(request: web.Request, state: PeerState) -> web.Response:
        peer = await services.registry.set_peer_state(request.match_info["org"], state)
        if peer.state is not PeerState.ACTIVE:
            await quiet(services, peer)
        return web.json_response(shown(peer, services.links.status()))

    @operation("end what runs with a peer, for a while", answers=answers.PEER)
    async def suspend(request: web.Request) -> web.Response:
        return await change(request, PeerState.SUSPENDED)

    @operation("go on with a suspended peer", answers=answers.PEER)
    async def resume(request: web.Request) -> web.Response:
        return await change(request, PeerState.ACTIVE)

    @operation("end what runs with a peer, for ever", answers=answers.PEER)
    async def revoke(request: web.Request) -> web.Response:
        return await change(request, PeerState.REVOKED)

    return [
        web.post("/v1/peers/{org}/suspend", suspend),
        web.post("/v1/peers/{org}/resume", resume),
        web.post("/v1/peers/{org}/revoke", revoke),
    ]


async def quiet(services: Services, peer: Peer) -> None:
    """Wait until nothing is read for a peer that is not active, and nothing of it is written. Raises PeerStillBusy."""
    try:
        async with asyncio.timeout(services.config.timing.append_timeout_s + SETTLE_S):
            await services.links.stopped(peer.org)
            await services.lanes.peer_stopped(peer.org)
    except TimeoutError as error:
        raise PeerStillBusy(peer.org, peer.state) from error


def shown(peer: Peer, links: tuple[()] | list[LinkStatus], sight: PeerSight = UNSEEN) -> dict[str, object]:
    return {
        "org": peer.org,
        "state": peer.state,
        "addresses": list(peer.addresses),
        "added_ms": peer.added_ms,
        "bundle_sequence": peer.bundle.sequence,
        "certificates": len(peer.bundle.certificates),
        "approved": peer.approved,
        "phrase": spoken(confirmation_phrase(bytes.fromhex(peer.transcript))) if peer.transcript else "",
        "revoked_before_ms": peer.revoked_before_ms,
        "denied": list(peer.denied),
        "bundle_refused": sight.bundle_refused or None,
        "failure": sight.failure._asdict() if sight.failure else None,
        "down": [each._asdict() for each in sight.down],
        "last_alive_ms": dict(sight.last_alive_ms),
        "links": [_link(link) for link in links if link.peer == peer.org],
    }


def _link(link: LinkStatus) -> dict[str, object]:
    return {
        "gateway": link.gateway,
        "role": link.role,
        "since_ms": link.since_ms,
        "address": link.address,
        "leaf_end_ms": link.leaf_end_ms,
        "exports": link.exports,
        "imports": link.imports,
        "version": link.version,
        "clock_skew_ms": link.clock_skew_ms,
    }


async def own_bundle(services: Services) -> Bundle:
    return await asyncio.to_thread(read_own_bundle, services.config, moment(services.now_ms()))


def read_own_bundle(config: GatewayConfig, now: datetime) -> Bundle:
    """What peers verify this organization by. Raises OwnTrustDamaged, CertificateFileUnreadable, BundleRefused."""
    return load_own(config.keys_dir, config.organization, now).bundle


def own_addresses(services: Services) -> tuple[str, ...]:
    advertised = tuple(map(str, services.config.advertised))
    listening = services.peer_address()
    return advertised or ((listening,) if listening else ())


def checked_addresses(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Raises PeerAddressRefused."""
    for number, address in enumerate(addresses):
        if number >= MAX_ADDRESSES or not legal_address(address):
            raise PeerAddressRefused(address[:300])
    return addresses


def moment(now_ms: int) -> datetime:
    return datetime.fromtimestamp(now_ms / 1000, UTC)
