"""What of the group's sharing out counts as owned, with claims that the test answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from gateway.kafka.lease import Lease
from gateway.kafka.ownership import KafkaOwnership
from mesh.ids import LaneId, SubscriptionName, TopicName

OURS = "gw-1"


def lane(partition: int) -> LaneId:
    return LaneId(SubscriptionName("flights"), TopicName("departures"), partition)


class HeldClaims:
    """A lanes state of two partitions; a claim is over when the test says so."""

    partitions = 2

    def __init__(self) -> None:
        self.under_way: list[asyncio.Future[None]] = []
        self.claimed: frozenset[int] = frozenset()

    def partition_of(self, lane: LaneId) -> int:
        return lane.partition

    async def claim(self, partitions: Collection[int]) -> None:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.under_way.append(answer)
        await answer
        self.claimed |= frozenset(partitions)

    def release(self, partitions: Collection[int]) -> None:
        self.claimed -= frozenset(partitions)


@asynccontextmanager
async def owning() -> AsyncIterator[tuple[KafkaOwnership, HeldClaims, Lease]]:
    claims, lease = HeldClaims(), Lease(60.0)
    ownership = KafkaOwnership(OURS, claims, lease)
    lease.renew(lease.clock())
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        running = group.create_task(ownership.run())
        try:
            yield ownership, claims, lease
        finally:
            running.cancel()
            lease.end()


async def claiming(claims: HeldClaims, count: int) -> None:
    while len(claims.under_way) < count:  # noqa: ASYNC110  # the claim under test tells nobody
        await asyncio.sleep(0)


async def claimed(ownership: KafkaOwnership, claims: HeldClaims) -> None:
    version = ownership.version
    claims.under_way[-1].set_result(None)
    await ownership.wait_changed(version)


async def test_what_was_gained_is_owned_once_it_is_claimed_and_as_long_as_the_lease_holds() -> None:
    async with owning() as (ownership, claims, lease):
        ownership.share((OURS, "gw-2"), is_next=False)
        await claiming(claims, 1)
        assert not ownership.owns(lane(0))
        await claimed(ownership, claims)
        assert ownership.owns(lane(0))
        assert ownership.owner(lane(1)) == "gw-2"
        lease.end()
        assert not ownership.owns(lane(0))
        assert ownership.term(lane(0)) == 0


async def test_a_claim_that_was_under_way_when_everything_was_lost_does_not_count() -> None:
    async with owning() as (ownership, claims, _):
        ownership.share((OURS, "gw-2"), is_next=False)
        await claiming(claims, 1)
        ownership.lose()
        ownership.share((OURS, "gw-2"), is_next=True)
        claims.under_way[0].set_result(None)
        await claiming(claims, 2)
        assert not ownership.owns(lane(0)), "another gateway may have stored something in between"
        await claimed(ownership, claims)
        assert ownership.owns(lane(0))


async def test_owning_again_after_a_loss_is_another_term() -> None:
    async with owning() as (ownership, claims, _):
        ownership.share((OURS, "gw-2"), is_next=False)
        await claiming(claims, 1)
        await claimed(ownership, claims)
        first = ownership.term(lane(0))
        ownership.share(("gw-2", "gw-2"), is_next=True)
        assert ownership.term(lane(0)) == 0
        ownership.share((OURS, "gw-2"), is_next=True)
        await claiming(claims, 2)
        await claimed(ownership, claims)
        assert ownership.term(lane(0)) not in {0, first}
