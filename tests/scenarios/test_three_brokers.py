"""A cluster of three brokers, mirrored in both directions at once, loses leaders, brokers and controllers.

Stock producers write all the time at both ends. The other side of each mirror is a single broker that stays.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.support.brokers import Broker, several_brokers, shared_broker
from tests.support.kills import new_seed
from tests.support.leaders import behind, controller, leads, move_leaders
from tests.support.organization import Organization, stop_all, wait_for
from tests.support.steady import Flow, flowing
from tests.support.stock import read_with_aiokafka, read_with_confluent

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(360)]

PARTITIONS = 3
RATE = 600
"""Records a second and direction: enough that each fault strikes in the middle of something."""
RARELY_S = 0.2
"""Between two looks: whoever asks all the time takes the processor from the brokers that are to come back."""
THERE, BACK = "three.there", "three.back"
Positions = dict[str, int]


@pytest.fixture
def three() -> Iterator[list[Broker]]:
    with several_brokers(3) as brokers:
        yield brokers


def test_leaders_brokers_and_controllers_change_and_no_record_is_lost_or_twice(
    three: list[Broker], tmp_path: Path
) -> None:
    seed = new_seed()
    print(f"SCENARIO_SEED={seed}")
    one, addresses = shared_broker(), ",".join(broker.address for broker in three)
    create(one.address, THERE, 1)
    create(addresses, BACK, 3)
    acme = Organization.init(tmp_path / "acme", "acme.example", "--kafka", one.address)
    globex = Organization.init(tmp_path / "globex", "globex.example", "--kafka", addresses)
    flows = [Flow(one.address, THERE, PARTITIONS, RATE, seed), Flow(addresses, BACK, PARTITIONS, RATE, seed)]
    with stop_all(acme, globex):
        # 1. each shares with the other, while producers write
        acme.start()
        globex.start()
        acme.pair(globex)
        acme.share("there", globex, THERE)
        globex.share("back", acme, BACK)
        globex.mesh("subscribe", "acme.example/there", "--topic", f"{THERE}={THERE}")
        acme.mesh("subscribe", "globex.example/back", "--topic", f"{BACK}={BACK}")
        mirrors = Mirrors(acme, globex)
        with flowing(*flows):
            mirrors.progress("the beginning")
            watch = Faults(three, addresses)

            # 2. every leader moves to another broker, by the operators' means
            mirrors.progress("leaders moved", watch.move_leaders)

            # 3. the leader of a partition dies at once, and comes back
            mirrors.progress("a broker killed", watch.kill_a_broker)
            mirrors.progress("it is back", watch.revive)

            # 4. the active controller dies at once, and comes back
            mirrors.progress("the controller killed", watch.kill_the_controller)
            mirrors.progress("it is back", watch.revive)

            # 5. the cluster is restarted as for an upgrade, broker by broker
            for broker in three:
                mirrors.progress(f"broker {broker.config.node_id} restarted", partial(watch.restart, broker))

        # 6. everything is there once, in order, at the same offsets, by two stock clients at each end
        for flow, copy, organization in ((flows[0], addresses, globex), (flows[1], one.address, acme)):
            counts = {key: len(digests) for key, digests in flow.written.items()}
            total = sum(counts.values())
            same(flow, flow.address, counts)  # before anything is said of a copy
            try:
                wait_for(f"all {total} of {flow.topic}", partial(has, organization, total), 60)
            except AssertionError as error:
                raise AssertionError(f"{error}; written {counts}, copied {copied(organization)}") from error
            same(flow, copy, counts)
            print(f"{flow.topic}: {total} records, the same by two clients at both ends")


class Faults:
    def __init__(self, brokers: list[Broker], addresses: str) -> None:
        self.brokers = brokers
        self.addresses = addresses
        self.dead: Broker | None = None

    @property
    def living(self) -> str:
        return next(broker.address for broker in self.brokers if broker is not self.dead)

    def move_leaders(self) -> None:
        asyncio.run(move_leaders(self.living, [THERE, BACK, "_mesh.lanes"], len(self.brokers)))

    def kill_a_broker(self) -> None:
        leading = asyncio.run(leads(self.living, THERE)) - {asyncio.run(controller(self.living))}
        self._kill(min(leading))

    def kill_the_controller(self) -> None:
        self._kill(asyncio.run(controller(self.living)))

    def _kill(self, node: int) -> None:
        self.dead = next(broker for broker in self.brokers if broker.config.node_id == node)
        self.dead.kill()

    def revive(self) -> None:
        assert self.dead is not None
        self.dead.restart()
        self.dead = None
        self._settled()

    def restart(self, broker: Broker) -> None:
        self.dead = broker  # nobody asks it meanwhile
        broker.restart()
        self.dead = None
        self._settled()

    def _settled(self) -> None:
        """As an operator waits before the next broker: every replica is in sync again."""
        wait_for("all replicas to be in sync", lambda: asyncio.run(behind(self.living)) == 0, pause_s=RARELY_S)


class Mirrors:
    """Both mirrors, watched: after each fault every lane must go on."""

    def __init__(self, *organizations: Organization) -> None:
        self.organizations = organizations
        self.began = time.monotonic()

    def progress(self, what: str, fault: Callable[[], None] = lambda: None) -> None:
        """Carry out `fault`, and wait until every lane got further; prints how long either took."""
        began = time.monotonic()
        fault()
        done = time.monotonic()
        held = self._positions()
        wait_for(f"every lane to go on after: {what}", lambda: self._further(held), 60, RARELY_S)
        ended = time.monotonic()
        print(f"{what}: took {done - began:.1f} s, progress {ended - done:.1f} s later ({ended - self.began:.0f} s)")

    def _positions(self) -> Positions:
        lanes = [lane for each in self.organizations for lane in each.lanes()]
        stopped = [lane for lane in lanes if lane["state"] == "stopped"]
        assert not stopped, stopped
        return {lane["lane"]: int(lane["records"]) for lane in lanes}

    def _further(self, held: Positions) -> bool:
        now = self._positions()
        return len(now) == 2 * PARTITIONS and all(now[lane] > held.get(lane, 0) for lane in now)


def create(address: str, topic: str, replicas: int) -> None:
    admin = AdminClient({"bootstrap.servers": address})
    wanted = NewTopic(topic, PARTITIONS, replicas, config={"retention.ms": "-1"})
    admin.create_topics([wanted])[topic].result(30)


def has(organization: Organization, total: int) -> bool:
    return sum(int(lane["records"]) for lane in organization.lanes()) == total


def copied(organization: Organization) -> dict[str, tuple[str, int, int]]:
    return {lane["lane"]: (lane["state"], lane["records"], lane["source_end"]) for lane in organization.lanes()}


def same(flow: Flow, address: str, counts: dict[tuple[str, int], int]) -> None:
    assert read_with_confluent(address, counts) == flow.written
    assert read_with_aiokafka(address, counts) == flow.written
