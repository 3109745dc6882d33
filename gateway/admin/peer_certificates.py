"""The certificates of peers, with their ages, and how far each has our bundle.

GET /v1/peer-certificates    {"peers": [{org, state, fingerprint, bundle_sequence, bundle_created, acknowledged,
                              refusal, roots: [certificate], leaves: [leaf]}]}

A certificate is {subject, begin, end}; a leaf also {at_ms, refused}: the last that the peer showed us. `acknowledged`
is the sequence of our own bundle that it holds; `refusal` why it did not take it.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web
from cryptography.x509 import Certificate

from gateway.http import schemas
from gateway.http.described import operation
from gateway.peer import Peer
from gateway.peers.sight import Presented
from gateway.services import Services
from mesh.errors import MeshError
from mesh.trust.extensions import uris
from mesh.trust.peerfile import PeerFile
from mesh.trust.pem import leaf_from


def routes(services: Services) -> list[web.RouteDef]:
    @operation(
        "the certificates of peers, and who has acknowledged ours",
        answers=schemas.object_of({"peers": schemas.list_of(schemas.REPORT)}),
    )
    async def listing(request: web.Request) -> web.Response:
        refusals = _refusals(services)
        found = [services.registry.peers[org] for org in sorted(services.registry.peers)]
        shown = [_shown(peer, services.links.sight(peer.org).leaves, refusals.get(peer.org, "")) for peer in found]
        return web.json_response({"peers": shown})

    return [web.get("/v1/peer-certificates", listing)]


def _refusals(services: Services) -> dict[str, str]:
    """Why peers did not take our bundle."""
    status = services.certificates.status() if services.certificates is not None else {}
    listed = status.get("peers", [])
    assert isinstance(listed, list)
    return {str(each["peer"]): str(each["refusal"]) for each in listed}


def _shown(peer: Peer, leaves: Sequence[Presented], refusal: str) -> dict[str, object]:
    bundle = peer.bundle
    return {
        "org": peer.org,
        "state": peer.state,
        "fingerprint": PeerFile(bundle, peer.addresses).fingerprint,
        "bundle_sequence": bundle.sequence,
        "bundle_created": bundle.created.isoformat(),
        "acknowledged": peer.acknowledged_sequence,
        "refusal": refusal,
        "roots": _roots(peer),
        "leaves": [found for each in leaves if (found := _leaf(each)) is not None],
    }


def _roots(peer: Peer) -> list[dict[str, object]]:
    try:
        return [_certificate(root, root.subject.rfc4514_string()) for root in peer.bundle.anchors()]
    except MeshError:  # what does not parse is said where the peer is: nobody can connect as it
        return []


def _leaf(presented: Presented) -> dict[str, object] | None:
    try:
        leaf = leaf_from(presented.certificate)
    except ValueError:
        return None
    said = {"at_ms": presented.at_ms, "refused": presented.refused}
    return _certificate(leaf, next(iter(uris(leaf)), "no name")) | said


def _certificate(found: Certificate, subject: str) -> dict[str, object]:
    begin, end = found.not_valid_before_utc, found.not_valid_after_utc
    return {"subject": subject, "begin": begin.isoformat(), "end": end.isoformat()}
