"""A gateway that was frozen while its subscription was promoted by another one wakes up and cannot write."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.brokers import Broker, BrokerConfig
from tests.support.organization import Organization, stop_all, wait_for
from tests.support.ports import free_ports

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(180)]

PARTITIONS = 2
FIRST, SECOND = 2_000, 600


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker.start(BrokerConfig()) as broker:
        yield broker


def test_a_gateway_that_slept_through_a_promotion_is_shut_out(broker: Broker, tmp_path: Path) -> None:
    # 1. globex mirrors a topic of acme into its Kafka cluster
    acme = Organization.init(tmp_path / "acme", "acme.example")
    sleeper = Organization.init(tmp_path / "globex", "globex.example", "--kafka", broker.address)
    waker = twin(sleeper, tmp_path / "globex-two")
    with stop_all(acme, sleeper, waker):
        acme.start()
        sleeper.start()
        acme.mesh("topic", "create", "departures", "--partitions", str(PARTITIONS))
        acme.append("departures", records(0, FIRST))
        acme.pair(sleeper)
        acme.share("flights", sleeper, "departures")
        sleeper.mesh("subscribe", "acme.example/flights", "--topic", "departures=copy")
        wait_for("the first records to arrive", lambda: arrived(sleeper) == FIRST)

        # 2. its gateway freezes; another one of the organization takes over
        assert sleeper.process is not None
        sleeper.process.send_signal(signal.SIGSTOP)
        waker.start()
        wait_for("the other gateway to hold every lane", lambda: arrived(waker) == FIRST)

        # 3. that one promotes the subscription: the topic is globex's own from now on
        promoted = waker.mesh("subscription", "promote", "flights", "--yes", "--json").json
        assert promoted["state"] == "promoted"
        ends = {lane["partition"]: lane["destination_end"] for lane in promoted["lanes"]}
        assert sum(ends.values()) == FIRST + PARTITIONS, "a cut takes one offset of each partition"
        assert [lane["unmapped"] for lane in promoted["lanes"]] == [0] * PARTITIONS
        waker.append("copy", iter([{"value": "mine", "partition": 0}]))

        # 4. more to mirror comes in, and the frozen gateway wakes up
        acme.append("departures", records(FIRST, SECOND))
        sleeper.process.send_signal(signal.SIGCONT)
        wait_for("the sleeper to know that it is over", lambda: state(sleeper) == "promoted" and not sleeper.lanes())

        # 5. whatever it tried before it knew, it has written nothing: neither mirrored records nor anything else
        found = waker.mesh("topic", "list", "--json").json
        copy = next(topic for topic in found if topic["name"] == "copy")
        assert [held["end"] for held in copy["ranges"]] == [ends[0] + 1, ends[1]]
        values = [json.loads(line)["value"] for line in waker.mesh("topic", "read", "copy").out.splitlines()]
        assert sorted(values) == sorted([*(f"r{at}" for at in range(FIRST)), "mine"])

        # 6. what was mirrored still translates, and the audit log says who ended it
        answer = waker.mesh("offsets", "translate", "flights", "--topic", "departures", "--partition", "0", "--offset",
                            "5", "--json").json  # fmt: skip
        assert (answer["answer"], answer["destination_offset"]) == ("exact", 5)
        closing = waker.mesh("verify", "flights").out.splitlines()[-1]
        assert closing.startswith(f"verified: {FIRST} records, 0 lost, 0 duplicated, 0 reordered, 0 altered")
        waker.mesh("audit", "verify")
        entries = [json.loads(line) for line in waker.mesh("audit", "list", "--json").out.splitlines()]
        assert [entry["actor"] for entry in entries if entry["action"] == "subscription.promoting"] == ["operator"]


def twin(organization: Organization, home: Path) -> Organization:
    """Another gateway of the same organization, with the same identity, on ports of its own."""
    shutil.copytree(organization.home, home)
    admin, peers = (f"127.0.0.1:{port}" for port in free_ports(2))
    return Organization(home, organization.org, admin, peers, (f"listen.admin={admin}", f"listen.peers={peers}"))


def records(first: int, count: int) -> Iterator[dict[str, Any]]:
    for at in range(first, first + count):
        yield {"value": f"r{at}", "partition": at % PARTITIONS}


def arrived(globex: Organization) -> int:
    return sum(int(lane["records"]) for lane in globex.lanes())


def state(globex: Organization) -> str:
    return str(globex.mesh("subscription", "show", "flights", "--json").json["state"])
