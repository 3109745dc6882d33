"""The strict cut of a subscription: what is shut out, what stays, and what finishes it after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from gateway.promoting import Promoter, PromotionUnfinished
from gateway.registry import Registry
from gateway.registry_errors import SubscriptionPromoted
from gateway.services import Lanes
from gateway.stored_lanes import stored_lanes
from mesh.batch.stamp import Producer
from mesh.cluster_errors import ClusterUnreachable, ProducerFenced
from mesh.ids import LaneId, OrgId, Partition, ShareName, SubscriptionName, TopicId, TopicName
from mesh.lanes.checkpoint import producer_name
from mesh.lanes.progress import LaneProgress
from mesh.patterns import PatternMapping
from mesh.ports import Cluster
from mesh.shares import Subscription, SubscriptionState, TopicMapping
from mesh.testing.cluster import FakeCluster
from tests.support.batches import numbered, stamped
from tests.support.cli import CliResult, mesh
from tests.support.control import peer_of
from tests.support.control_cli import ControlGateway, catalog_of, control_gateway

NAME = SubscriptionName("flights")
GLOBEX = OrgId("globex.example")


@dataclass
class StoppedLanes:
    stops: asyncio.Event = field(default_factory=asyncio.Event)

    async def stopped(self, name: SubscriptionName) -> None:
        await self.stops.wait()


@dataclass
class Mirror:
    """Two partitions that were mirrored, two records each."""

    fake: FakeCluster
    cluster: Cluster
    registry: Registry
    lanes: StoppedLanes
    producers: list[Producer]

    @property
    def promoter(self) -> Promoter:
        return Promoter(self.cluster, self.registry, cast(Lanes, self.lanes), stop_s=0.05)

    async def append(self, number: int) -> int:
        """As a writer would that was asleep all the time."""
        batch = stamped(self.producers[number], 2, numbered(2))
        return await self.cluster.destination.append(Partition("copy", number), batch)


async def _begin(cluster: Cluster, number: int) -> Producer:
    lane = LaneId(NAME, TopicName("departures"), number)
    producer = await cluster.destination.producer(producer_name(lane))
    progress = LaneProgress.begin(lane, TopicId(f"{1:032x}"), 0, 0, producer)
    await cluster.lanes.put(progress.to_store()[1])
    await cluster.destination.append(Partition("copy", number), stamped(producer, 0, numbered(0, 1)))
    return producer


@pytest.fixture
async def mirror() -> Mirror:
    fake = FakeCluster()
    cluster = fake.ports
    await cluster.topics.create("copy", 2, {})
    registry = await Registry.open(cluster.control, cluster.lanes)
    await registry.add_peer(peer_of(GLOBEX))
    mapping = TopicMapping(TopicName("departures"), TopicName("copy"))
    await registry.subscribe(Subscription(NAME, GLOBEX, ShareName("flights"), (mapping,)))
    lanes = StoppedLanes()
    lanes.stops.set()
    return Mirror(fake, cluster, registry, lanes, [await _begin(cluster, number) for number in range(2)])


async def test_after_a_promotion_nobody_writes_as_the_lanes_did(mirror: Mirror) -> None:
    promoted = await mirror.promoter.promote(NAME)
    assert [(lane.topic, lane.partition, lane.destination_topic, lane.destination_end) for lane in promoted] == [
        ("departures", 0, "copy", 2),
        ("departures", 1, "copy", 2),
    ]
    assert [lane.unmapped for lane in promoted] == [2, 2], "the lanes' checkpoints were made before their records"
    for number in range(2):
        with pytest.raises(ProducerFenced):
            await mirror.append(number)
    assert mirror.registry.subscription(NAME).state is SubscriptionState.PROMOTED


async def test_it_is_final_and_may_be_asked_again(mirror: Mirror) -> None:
    promoted = await mirror.promoter.promote(NAME)
    assert await mirror.promoter.promote(NAME) == promoted
    for change in (mirror.registry.pause_subscription, mirror.registry.resume_subscription):
        with pytest.raises(SubscriptionPromoted):
            await change(NAME)
    subscription = mirror.registry.subscription(NAME)
    assert len(await stored_lanes(mirror.cluster.lanes, subscription)) == 2, "offsets still translate"
    await mirror.registry.delete_subscription(NAME)


async def test_a_subscription_whose_patterns_found_no_topic_is_promoted_too(mirror: Mirror) -> None:
    name, pattern = SubscriptionName("later"), PatternMapping.parsed("orders.*", "acme.*")
    await mirror.registry.subscribe(Subscription(name, GLOBEX, ShareName("flights"), (), patterns=(pattern,)))
    await mirror.registry.begin_promotion(name)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        finishing = group.create_task(mirror.promoter.run())  # as after a kill
        while mirror.registry.subscription(name).state is not SubscriptionState.PROMOTED:
            await mirror.registry.wait_changed(mirror.registry.version)
        finishing.cancel()
    assert await mirror.promoter.promote(name) == []


async def test_lanes_that_do_not_stop_are_not_cut_under_their_feet(mirror: Mirror) -> None:
    mirror.lanes.stops.clear()
    with pytest.raises(PromotionUnfinished):
        await mirror.promoter.promote(NAME)
    assert mirror.registry.subscription(NAME).state is SubscriptionState.PROMOTING
    assert await mirror.append(0) == 2
    mirror.lanes.stops.set()
    await mirror.promoter.promote(NAME)
    assert mirror.registry.subscription(NAME).state is SubscriptionState.PROMOTED


@pytest.mark.parametrize("operation", ["cut", "witness", "load", "put"])
async def test_what_was_interrupted_is_finished_at_the_next_start(mirror: Mirror, operation: str) -> None:
    # 1. the first attempt fails somewhere after its beginning is durable
    await mirror.registry.begin_promotion(NAME)
    mirror.fake.fail_next(operation, ClusterUnreachable("fake", "cut"))  # type: ignore[arg-type]
    with pytest.raises(ClusterUnreachable):
        await mirror.promoter.promote(NAME)
    # 2. the next start finds it by its state alone
    mirror.registry = await Registry.open(mirror.cluster.control, mirror.cluster.lanes)
    assert mirror.registry.subscription(NAME).state is SubscriptionState.PROMOTING
    async with asyncio.TaskGroup() as group:
        task = group.create_task(mirror.promoter.run())
        while mirror.registry.subscription(NAME).state is not SubscriptionState.PROMOTED:
            await mirror.registry.wait_changed(mirror.registry.version)
        task.cancel()
    with pytest.raises(ProducerFenced):
        await mirror.append(0)


async def test_a_destination_that_was_deleted_does_not_hold_it_up(mirror: Mirror) -> None:
    await mirror.cluster.topics.delete("copy")
    assert [lane.destination_end for lane in await mirror.promoter.promote(NAME)] == [-1, -1]


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[ControlGateway]:
    async with control_gateway(tmp_path) as running:
        await running.add_peer(GLOBEX)
        running.admin.links.catalogs[GLOBEX] = catalog_of("flights", {"departures": 1})
        await running.done("subscribe", f"{GLOBEX}/flights", "--topic", "departures=copy")
        yield running


async def test_the_command_asks_and_the_topic_is_the_owners_afterwards(gateway: ControlGateway) -> None:
    async def append() -> CliResult:
        return await mesh("topic", "append", "copy", directory=gateway.directory, stdin=b'{"value": "mine"}\n')

    assert "code: topic-mirrored" in (await append()).err
    said = await gateway.mesh("subscription", "promote", "flights", stdin="n\n")
    assert said.code == 1
    assert "code: topic-mirrored" in (await append()).err
    said = await gateway.done("subscription", "promote", "flights", "--yes")
    assert "flights is promoted" in said.out
    await gateway.refused("subscription-promoted", "subscription", "resume", "flights")
    assert "appended 1 record" in (await append()).out
    audited = (await gateway.done("audit", "list", "--action", "subscription")).out
    assert audited.index("subscription.promoting") < audited.index("subscription.promoted")
    await gateway.done("subscription", "delete", "flights")


async def test_of_several_gateways_the_owner_of_the_first_lane_cuts(mirror: Mirror) -> None:
    mirror.lanes.stops.set()
    mirror.fake.ownership.give({LaneId(NAME, TopicName("departures"), 0): "gw-2"})
    running = asyncio.create_task(mirror.promoter.run())
    with pytest.raises(PromotionUnfinished):
        await mirror.promoter.promote(NAME)
    assert mirror.registry.subscription(NAME).state is SubscriptionState.PROMOTING
    await mirror.append(1)  # nobody has shut it out: that is the other gateway's to do

    asked = asyncio.create_task(mirror.promoter.promote(NAME))
    await mirror.registry.finish_promotion(NAME)
    assert [lane.partition for lane in await asked] == [0, 1]
    running.cancel()


async def test_a_gateway_that_takes_the_first_lane_over_finishes_what_its_owner_left(mirror: Mirror) -> None:
    mirror.lanes.stops.set()
    mirror.fake.ownership.give({LaneId(NAME, TopicName("departures"), 0): "gw-2"})
    await mirror.registry.begin_promotion(NAME)
    running = asyncio.create_task(mirror.promoter.run())
    await asyncio.sleep(0)
    mirror.fake.ownership.give({})
    while mirror.registry.subscription(NAME).state is not SubscriptionState.PROMOTED:
        await mirror.registry.wait_changed(mirror.registry.version)
    with pytest.raises(ProducerFenced):
        await mirror.append(1)
    running.cancel()
