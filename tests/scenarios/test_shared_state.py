"""Two gateways of one organization on one Kafka cluster: what one decides holds at both, and is on record once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.support.brokers import Broker
from tests.support.organization import Organization, stop_all, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(180)]

CUT_S = 5.0


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker.start() as broker:
        yield broker


def links(gateway: Organization, peer: str) -> list[Any]:
    found: dict[str, Any] = gateway.mesh("peer", "show", peer, "--json").json
    return list(found["links"])


def state(gateway: Organization, peer: str) -> str:
    return str(gateway.mesh("peer", "show", peer, "--json").json["state"])


def entries(gateway: Organization, action: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = gateway.mesh("audit", "list", "--action", action, "--json").lines
    return found


def post_share(gateway: Organization, name: str) -> int:
    """The status of the answer. Not by the command, of which one runs at a time here."""
    token = (gateway.home / "state" / "admin.token").read_text().strip()
    connection = HTTPConnection(gateway.admin, timeout=30)
    body = json.dumps({"name": name, "topics": ["fares"]})
    try:
        connection.request(
            "POST", "/v1/shares", body, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        )
        return connection.getresponse().status
    finally:
        connection.close()


def test_what_one_gateway_decides_holds_at_the_other(broker: Broker, tmp_path: Path) -> None:
    # 1. globex has two gateways; acme, with a log of its own, dials both
    acme = Organization.init(tmp_path / "acme", "acme.example")
    one = Organization.init(tmp_path / "globex", "globex.example", "--kafka", broker.address)
    two = one.joined(tmp_path / "globex-2", "gw-2")
    with stop_all(acme, one, two):
        for gateway in (acme, one, two):
            gateway.launch()
        for gateway in (acme, one, two):
            gateway.wait_ready()
        addresses = ["--address", one.peers, "--address", two.peers]
        one.mesh("peer", "add", "-", stdin=acme.mesh("peer", "export").out.encode())
        acme.mesh("peer", "add", "-", stdin=one.mesh("peer", "export", *addresses).out.encode())
        wait_for("the second gateway to know the peer", lambda: "acme.example" in two.mesh("peer", "list").out)
        wait_for("a link to each gateway", lambda: links(one, "acme.example") and links(two, "acme.example"))

        # 2. both make shares at the same moment: none is lost, and of one name there is one
        one.mesh("topic", "create", "fares")

        def create(at: int) -> int:
            return post_share((one, two)[at % 2], "contested" if at >= 8 else f"share-{at}")

        with ThreadPoolExecutor(4) as pool:
            statuses = list(pool.map(create, range(10)))
        assert statuses[:8] == [201] * 8
        assert sorted(statuses[8:]) == [201, 409]
        wait_for(
            "both to know all shares",
            lambda: one.mesh("share", "list", "--json").json == two.mesh("share", "list", "--json").json,
        )

        # 3. a revocation at one cuts the links of both, at once
        began = time.monotonic()
        two.mesh("peer", "revoke", "acme.example")
        wait_for("every link to be cut", lambda: not links(one, "acme.example") + links(two, "acme.example"))
        for gateway in (one, two):
            assert state(gateway, "acme.example") == "revoked"
            kept = json.loads((gateway.home / "state" / "revocations.json").read_text())
            assert kept["peers"]["acme.example"]["state"] == "revoked"
        took_s = time.monotonic() - began
        print(f"cut at both after {took_s:.2f} s")
        assert took_s < CUT_S
        assert one.refuses("peer", "add", "-", stdin=acme.mesh("peer", "export").out.encode()).code == "peer-revoked"

        # 4. a gateway that was killed meanwhile knows it when it is back
        one.kill()
        two.mesh("share", "create", "later", "--topic", "fares")
        one.start()
        assert "later" in one.mesh("share", "list").out

        # 5. the audit log is one chain of both, each change in it once
        for gateway in (one, two):
            assert "verified" in gateway.mesh("audit", "verify").out
        wait_for("the last change to be on record", lambda: len(entries(one, "share.created")) == 8 + 1 + 1)
        assert len(entries(two, "peer.revoked")) == 1
        started = {entry["object"] for entry in entries(one, "gateway.started")}
        assert started == {f"spiffe://globex.example/gateway/gw-{number}" for number in (1, 2)}
