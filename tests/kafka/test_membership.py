"""Gateways as members of a group, on a real broker: who runs what, and how it changes hands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from gateway.kafka import KafkaConfig
from gateway.kafka.client import Client
from gateway.kafka.group_protocol import GroupCalls
from gateway.kafka.lease import Lease
from gateway.kafka.membership import GatewayNameTaken, Membership
from gateway.kafka.ownership import KafkaOwnership
from mesh.ids import LaneId, SubscriptionName, TopicName
from mesh.testing.clock import FakeClock
from tests.support.brokers import shared_broker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

PARTITIONS = 4
SESSION_S = 6.0
SOON_S = 5.0
"""Without waiting for anybody's session."""
LATE_S = 30.0
"""Where a session may have to end, or nothing is said of how fast it is."""
LANES = [LaneId(SubscriptionName("flights"), TopicName("departures"), number) for number in range(PARTITIONS)]


class Claimed:
    """The lanes state, as far as it matters who holds what. Lane n lies in partition n."""

    def __init__(self) -> None:
        self.held: set[int] = set()

    partitions = PARTITIONS

    def partition_of(self, lane: LaneId) -> int:
        return lane.partition

    async def claim(self, partitions: Collection[int]) -> None:
        await asyncio.sleep(0)
        self.held |= set(partitions)

    @property
    def claimed(self) -> frozenset[int]:
        return frozenset(self.held)

    def release(self, partitions: Collection[int]) -> None:
        self.held -= set(partitions)


class Replica:
    """One gateway, as far as it is a member."""

    def __init__(self, client: Client, group: str, name: str, file: Path | None = None) -> None:
        self.claims = Claimed()
        self.lease = Lease(SESSION_S)
        self.ownership = KafkaOwnership(name, self.claims, self.lease)
        calls = GroupCalls(client, group, SESSION_S)
        self.membership = Membership(calls, name, PARTITIONS, self.ownership, self.lease, file)
        self.tasks = [client.spawn(self.membership.run()), client.spawn(self.ownership.run())]

    @property
    def owned(self) -> set[int]:
        return {lane.partition for lane in LANES if self.ownership.owns(lane)}

    def kill(self) -> None:
        for task in self.tasks:
            task.cancel()

    async def stop(self) -> None:
        self.kill()
        await self.membership.leave()

    @property
    def owners(self) -> list[str]:
        """Of each lane, as this one says."""
        return [self.ownership.owner(lane) for lane in LANES]

    async def until_owning(self, count: int, within_s: float) -> None:
        await self.until(lambda _: len(self.owned) == count, within_s)

    async def until(self, holds: Callable[[list[str]], bool], within_s: float = LATE_S) -> None:
        """Of `owners`."""
        async with asyncio.timeout(within_s):
            while not holds(self.owners):
                await self.ownership.wait_changed(self.ownership.version)


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    async with asyncio.TaskGroup() as tasks:
        made = Client(KafkaConfig(bootstrap=(shared_broker().address,)), None, tasks)
        await made.start()
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def group() -> str:
    return f"_mesh.gateways-{uuid4().hex}"


async def test_gateways_share_out_and_take_over_from_one_that_leaves(group: str) -> None:
    async with client() as one, client() as two, client() as three:
        first = Replica(one, group, "gw-1")
        await first.membership.begun()
        await first.until_owning(4, LATE_S)
        second, third = Replica(two, group, "gw-2"), Replica(three, group, "gw-3")
        await first.until_owning(2, LATE_S)
        await second.until_owning(1, LATE_S)
        await third.until_owning(1, LATE_S)
        assert first.owned | second.owned | third.owned == {0, 1, 2, 3}
        kept = first.owned
        # each hears of it by an answer of its own
        for replica in (first, second, third):
            await replica.until(lambda said: sorted(said) == ["gw-1", "gw-1", "gw-2", "gw-3"])
        assert first.owners == second.owners == third.owners

        began = asyncio.get_running_loop().time()
        await second.stop()
        assert not second.owned
        assert not second.claims.held
        await third.until_owning(2, LATE_S)
        assert asyncio.get_running_loop().time() - began < SOON_S
        assert first.owned == kept
        assert first.claims.held == kept


async def test_lanes_of_a_gateway_that_died_go_to_the_others_after_its_session(group: str) -> None:
    async with client() as one, client() as two:
        first, second = Replica(one, group, "gw-1"), Replica(two, group, "gw-2")
        await first.until_owning(2, LATE_S)
        await second.until_owning(2, LATE_S)
        second.kill()
        await first.until_owning(4, LATE_S)
        assert not second.owned, "its own clock ended what it had before anybody else got it"


async def test_a_gateway_that_was_killed_is_back_without_waiting_for_its_session(group: str, tmp_path: Path) -> None:
    file = tmp_path / "member"
    async with client() as one, client() as two, client() as again:
        first, second = Replica(one, group, "gw-1"), Replica(two, group, "gw-2", file)
        await second.until_owning(2, LATE_S)
        had = second.owned
        second.kill()
        back = Replica(again, group, "gw-2", file)
        await back.until_owning(2, SOON_S)
        assert back.owned == had
        assert len(first.owned) == 2


async def test_of_two_gateways_of_one_name_the_second_does_not_start(group: str) -> None:
    async with client() as one, client() as two:
        first = Replica(one, group, "gw-1")
        await first.until_owning(4, LATE_S)
        second = Replica(two, group, "gw-1")
        with pytest.raises(GatewayNameTaken, match="another gateway named 'gw-1' is in the group"):
            await second.membership.begun()
        assert not second.owned
        await first.until_owning(4, LATE_S)
        assert first.membership.trouble is None


async def test_what_cannot_reach_its_group_owns_nothing_after_a_session_and_all_when_it_is_back(group: str) -> None:
    async with client() as one:
        first = Replica(one, group, "gw-1")
        clock = FakeClock()
        first.lease.clock = clock
        first.lease.end()
        await first.until_owning(4, LATE_S)  # a heartbeat renews it
        clock.advance(SESSION_S)
        assert not first.owned, "the clock alone decides"
        assert first.ownership.owner(LANES[0]) == ""
        await first.until_owning(4, LATE_S)
        assert first.ownership.owner(LANES[0]) == "gw-1"
