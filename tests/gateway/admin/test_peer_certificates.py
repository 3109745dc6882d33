"""The certificates of peers: their roots, what they showed last, and whether they hold ours."""

from __future__ import annotations

from datetime import UTC, datetime

from certs.bundle import bundle_of
from gateway.peer import Peer
from gateway.peers.sight import Presented
from gateway.services import PeerSight
from mesh.trust.pem import to_der
from tests.support.admin import AdminGateway, authority
from tests.support.trust import GATEWAY


async def test_roots_and_leaves_are_shown_with_their_ends(admin: AdminGateway) -> None:
    globex, now = authority("globex.example"), datetime.now(UTC)
    await admin.services.registry.add_peer(
        Peer(bundle_of(globex.org, [globex.certificate], now, 3), acknowledged_sequence=2)
    )
    leaf = globex.issue(GATEWAY, now).certificate
    admin.links.sights["globex.example"] = PeerSight(
        leaves=[Presented(to_der(leaf), 5), Presented(b"no certificate", 4, "unreadable")]
    )

    async with admin.session.get(f"{admin.url}/v1/peer-certificates") as answer:
        (found,) = (await answer.json())["peers"]

    assert (found["org"], found["bundle_sequence"], found["acknowledged"], found["refusal"]) == (
        "globex.example",
        3,
        2,
        "",
    )
    (root,) = found["roots"]
    assert root["end"] == globex.certificate.not_valid_after_utc.isoformat()
    (shown,) = found["leaves"]
    assert shown["subject"] == f"spiffe://globex.example/gateway/{GATEWAY}"
    assert (shown["end"], shown["at_ms"], shown["refused"]) == (leaf.not_valid_after_utc.isoformat(), 5, "")
