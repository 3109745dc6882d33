"""Gateways of one organization share lanes: they are added, killed, stopped for longer than their session, and leave.

Records flow all the time. After each fault every lane must go on soon, and at the end every record is
there once, in order, at its source's offset.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.brokers import Broker, two_clusters
from tests.support.flow import Ends, Flow, figures, progress
from tests.support.organization import Organization, stop_all, wait_for
from tests.support.stock import Load, create_topics, read_with_aiokafka, read_with_confluent

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(180)]

TOPIC, PARTITIONS = "departures", 12
SESSION_S = 6.0
LIMIT_S = 15.0
"""The promise is 10 s, and `python -m bench.replicas` measures it; a machine of tests does other things besides."""


@pytest.fixture
def brokers() -> Iterator[tuple[Broker, Broker]]:
    with two_clusters() as made:
        yield made


def runs(gateway: Organization) -> dict[str, str]:
    """Which gateway runs each lane, as this one says."""
    return {lane["lane"]: lane["gateway"] for lane in gateway.lanes()}


def shared_by(asked: Organization, *names: str) -> bool:
    """Whether every lane runs, and each of these gateways runs some, and no other any."""
    return set(runs(asked).values()) == set(names)


def pair(ours: list[Organization], theirs: list[Organization]) -> None:
    for one, other in ((ours, theirs), (theirs, ours)):
        addresses = [word for each in other for word in ("--address", each.peers)]
        one[0].mesh("peer", "add", "-", stdin=other[0].mesh("peer", "export", *addresses).out.encode())


def test_lanes_change_hands_and_nothing_is_lost_or_twice(brokers: tuple[Broker, Broker], tmp_path: Path) -> None:
    theirs, ours = brokers
    create_topics(theirs.address, [Load(TOPIC, PARTITIONS, "none", 0, (), 0)])

    # 1. acme has two gateways, globex one; each side is told of the other's addresses
    acme = Organization.init(tmp_path / "acme", "acme.example", "--kafka", theirs.address)
    spare = acme.joined(tmp_path / "acme-2", "gw-2")
    one = Organization.init(tmp_path / "globex", "globex.example", "--kafka", ours.address)
    two, three = one.joined(tmp_path / "globex-2", "gw-2"), one.joined(tmp_path / "globex-3", "gw-3")
    times: dict[str, list[float]] = {}
    with stop_all(acme, spare, one, two, three):
        for gateway in (acme, spare, one):
            gateway.launch()
        for gateway in (acme, spare, one):
            gateway.wait_ready()
        pair([acme, spare], [one])
        acme.share("flights", one, TOPIC)
        one.mesh("subscribe", "acme.example/flights", "--topic", f"{TOPIC}={TOPIC}")
        with Flow(theirs.address, TOPIC, PARTITIONS) as flow:
            source, copy = Ends(theirs.address, TOPIC, PARTITIONS), Ends(ours.address, TOPIC, PARTITIONS)
            progress(source, copy)

            # 2. a gateway that takes another's name does not start
            impostor = one.joined(tmp_path / "impostor", "gw-9")
            (impostor.home / "mesh.toml").write_text((impostor.home / "mesh.toml").read_text().replace("gw-9", "gw-1"))
            assert impostor.refused().code == "gateway-name-taken"

            # 3. two more gateways are added while records flow
            two.start()
            times["add"] = progress(source, copy)
            three.start()
            times["add another"] = progress(source, copy)
            wait_for("three gateways to share the lanes", lambda: shared_by(one, "gw-1", "gw-2", "gw-3"))
            wait_for("all of them to say the same", lambda: runs(one) == runs(two) == runs(three))

            # 4. one is killed, and comes back
            two.kill()
            times["kill"] = progress(source, copy)
            wait_for("two gateways to share the lanes", lambda: shared_by(one, "gw-1", "gw-3"))
            two.start()
            times["come back"] = progress(source, copy)
            wait_for("three gateways to share the lanes", lambda: shared_by(one, "gw-1", "gw-2", "gw-3"))

            # 5. one does nothing for longer than its session; it writes nothing on, and takes part again
            three.freeze()
            frozen = time.monotonic()
            times["stop for longer than a session"] = progress(source, copy)
            wait_for("the session to end", lambda: time.monotonic() - frozen > SESSION_S + 2)
            three.thaw()
            times["go on"] = progress(source, copy)
            wait_for("three gateways to share the lanes", lambda: shared_by(three, "gw-1", "gw-2", "gw-3"))
            wait_for("it to have noticed", lambda: "group left behind" in three.log)

            # 6. the first one leaves in good order: the others need not wait for its session
            began = time.monotonic()
            assert one.stop() == 0
            print(f"stopping took {time.monotonic() - began:.2f} s")
            times["leave"] = progress(source, copy)
            wait_for("two gateways to share the lanes", lambda: shared_by(two, "gw-2", "gw-3"))

            # 7. of the provider's gateways one is killed: lanes go on over the other
            acme.kill()
            times["provider killed"] = progress(source, copy)

            # 8. a subscription paused at one gateway stands still at all
            two.mesh("subscription", "pause", "flights")
            wait_for("every lane to be paused", lambda: {lane["state"] for lane in three.lanes()} == {"paused"})
            three.mesh("subscription", "resume", "flights")
            times["resume"] = progress(source, copy)
            flow.stop()
            counts = flow.counts
            wait_for("everything to arrive", lambda: copy.look() == list(counts.values()))
            source.close()
            copy.close()
        for what, found in times.items():
            print(f"{what}: {figures(found)}")

        # 9. two stock clients find every record once, in order, at its source's offset
        assert read_with_confluent(ours.address, counts) == flow.written
        assert read_with_aiokafka(ours.address, counts) == flow.written
        closing = two.mesh("verify", "flights").out.splitlines()[-1]
        assert "0 lost, 0 duplicated, 0 reordered, 0 altered, 0 wrong translations" in closing
        assert max(max(found) for found in times.values()) < LIMIT_S, times

        # 10. it is promoted, then deleted, at one gateway, with what all of them stored
        cut = two.mesh("subscription", "promote", "flights", "--yes", "--json").json["lanes"]
        assert [lane["unmapped"] for lane in cut] == [0] * PARTITIONS
        two.mesh("subscription", "delete", "flights")
        wait_for("no lane to be left", lambda: not three.lanes())
