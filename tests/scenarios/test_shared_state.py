"""Two gateways of one organization on one Kafka cluster: what one decides holds at both, and is on record once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.brokers import Broker
from tests.support.organization import Organization, stop_all, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(120)]

CUT_S = 2.0


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
    lines = gateway.mesh("audit", "export").out.splitlines()
    return [entry for line in lines if (entry := json.loads(line)).get("action") == action]


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
        def create(at: int) -> int:
            gateway = (one, two)[at % 2]
            name = "contested" if at >= 8 else f"share-{at}"
            return gateway.try_mesh("share", "create", name, "--topic", f"topic-{at}").code

        with ThreadPoolExecutor(4) as pool:
            codes = list(pool.map(create, range(10)))
        assert codes[:8] == [0] * 8
        assert sorted(codes[8:]) == [0, 1]
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
        print(f"cut at both after {time.monotonic() - began:.2f} s")
        assert one.refuses("peer", "add", "-", stdin=acme.mesh("peer", "export").out.encode()).code == "peer-revoked"

        # 4. a gateway that was killed meanwhile knows it when it is back
        one.kill()
        two.mesh("share", "create", "later", "--topic", "later")
        one.start()
        assert "later" in one.mesh("share", "list").out

        # 5. the audit log is one chain of both, each change in it once
        for gateway in (one, two):
            assert "verified" in gateway.mesh("audit", "verify").out
        assert len(entries(one, "share.created")) == 8 + 1 + 1
        assert len(entries(two, "peer.revoked")) == 1
        started = {entry["object"] for entry in entries(one, "gateway.started")}
        assert started == {f"spiffe://globex.example/gateway/gw-{number}" for number in (1, 2)}
