"""Chosen groups follow their source: forward, empty ones only, by whoever owns the lanes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.groups.syncing import REFUSED_TURNS, GroupSync, SyncState, SyncStatus
from gateway.peers.errors import PeerRefusedRequest
from gateway.registry import Registry
from mesh.batch.stamp import Producer
from mesh.cluster_errors import ClusterUnreachable
from mesh.groups import PeerGroup, TopicPositions
from mesh.ids import GroupName, LaneId, OrgId, Partition, ShareName, SubscriptionName, TopicId, TopicName
from mesh.lanes.checkpoint import checkpoint_of, entries
from mesh.lanes.status import LaneState, LaneStatus
from mesh.offsets.map import OffsetMap
from mesh.patterns import PatternMapping
from mesh.shares import Subscription, TopicMapping
from mesh.spans import GapReason
from mesh.testing.cluster import FakeCluster
from tests.support.admin import FakeLanes, FakeLinks
from tests.support.batches import plain_batch
from tests.support.control import peer_of

ACME, SALES, BILLING = OrgId("acme.example"), SubscriptionName("sales"), GroupName("billing")
ORDERS, COPY = TopicName("orders"), TopicName("acme.orders")
ID = TopicId("ab" * 16)
LANES = [LaneId(SALES, ORDERS, number) for number in range(2)]
SUBSCRIPTION = Subscription(SALES, ACME, ShareName("sales"), (TopicMapping(ORDERS, COPY),), groups=("bill*",))


class Stage:
    """Two lanes that have copied ten records each, from source offset 100 on, with a gap of five after four of them."""

    def __init__(self) -> None:
        self.fake, self.links, self.lanes = FakeCluster(), FakeLinks(), FakeLanes()

    async def open(self, subscription: Subscription = SUBSCRIPTION) -> Stage:
        cluster = self.fake.ports
        await cluster.topics.create(COPY, 2, {})
        self.registry = await Registry.open(cluster.control, cluster.lanes)
        await self.registry.add_peer(peer_of(ACME))
        await self.registry.subscribe(subscription)
        for lane in LANES:
            await self.begin(lane)
        self.sync = GroupSync(cluster, self.registry, self.links, self.lanes, period_s=1, now_ms=lambda: 5)
        return self

    async def begin(self, lane: LaneId) -> None:
        offset_map = OffsetMap(100)
        offset_map.add_records(100, 0, 4)
        offset_map.add_gap(104, 5, GapReason.ABORTED)
        offset_map.add_records(109, 4, 6)
        checkpoint = checkpoint_of(offset_map, ID, 10, 10, Producer(1, 0))
        await self.fake.ports.lanes.put(entries(lane, checkpoint, offset_map, None))
        self.fake.foreign_write(Partition(COPY, lane.partition), plain_batch([b"r"] * 10))
        self.lanes.maps[lane] = offset_map
        self.lanes.found.append(LaneStatus(lane, ACME, COPY, LaneState.RUNNING))

    def stands(self, *positions: int, name: GroupName = BILLING, topic_id: TopicId = ID) -> None:
        """The group at the provider, by partition."""
        at = TopicPositions(ORDERS, topic_id, dict(enumerate(positions)))
        self.links.groups[ACME] = [PeerGroup(name, True, (at,))]

    async def turned(self) -> SyncStatus:
        await self.sync.turn()
        (status,) = self.sync.statuses()
        return status

    async def here(self) -> dict[int, int]:
        group = await self.fake.ports.groups.describe(BILLING, [COPY])
        return {place.number: position for place, position in group.positions.items()}


@pytest.fixture
async def stage() -> Stage:
    return await Stage().open()


async def test_a_group_is_brought_in_step_and_followed(stage: Stage) -> None:
    stage.stands(102, 106)
    assert await stage.turned() == SyncStatus(
        SALES, BILLING, SyncState.IN_STEP, partitions=2, source_has_members=True, as_of_ms=5
    )
    assert await stage.here() == {0: 2, 1: 4}
    stage.stands(115, 112)
    assert (await stage.turned()).state is SyncState.IN_STEP
    assert await stage.here() == {0: 10, 1: 7}


async def test_nothing_is_written_where_nothing_has_changed(stage: Stage) -> None:
    stage.stands(102, 106)
    for _ in range(3):
        await stage.turned()
    assert len(stage.fake.groups.commits) == 1


async def test_a_position_that_is_not_mirrored_yet_waits_alone(stage: Stage) -> None:
    stage.stands(102, 116)
    status = await stage.turned()
    assert (status.state, status.waiting) == (SyncState.WAITING, 1)
    assert await stage.here() == {0: 2}


async def test_a_group_with_members_here_is_left_alone(stage: Stage) -> None:
    stage.fake.groups.join(BILLING)
    stage.stands(102, 106)
    assert (await stage.turned()).state is SyncState.BLOCKED
    assert stage.fake.groups.commits == []
    stage.fake.groups.leave(BILLING)
    assert (await stage.turned()).state is SyncState.IN_STEP


async def test_a_group_that_read_further_here_does_not_go_back(stage: Stage) -> None:
    await stage.fake.ports.groups.commit(BILLING, {Partition(COPY, 0): 9})
    stage.stands(102, 106)
    status = await stage.turned()
    assert (status.state, status.reason) == (SyncState.AHEAD, "acme.orders[0]: it stands at 9, the source at 2")
    assert await stage.here() == {0: 9, 1: 4}


@pytest.mark.parametrize(("positions", "topic_id"), [((99, 106), ID), ((102, 106), TopicId("cd" * 16))])
async def test_what_has_no_copy_is_said(stage: Stage, positions: tuple[int, int], topic_id: TopicId) -> None:
    stage.stands(*positions, topic_id=topic_id)
    assert (await stage.turned()).state is SyncState.UNANSWERED


async def test_only_the_owner_of_a_lane_writes_its_positions(stage: Stage) -> None:
    stage.fake.ownership.give({LANES[0]: "gw-2"})
    stage.stands(102, 106)
    status = await stage.turned()
    assert (status.state, status.partitions) == (SyncState.IN_STEP, 1)
    assert await stage.here() == {1: 4}


async def test_a_lane_that_does_not_run_is_waited_for(stage: Stage) -> None:
    stage.lanes.found[0] = replace(stage.lanes.found[0], state=LaneState.STOPPED)
    stage.stands(102, 106)
    status = await stage.turned()
    assert (status.state, status.reason, status.waiting) == (SyncState.WAITING, "for lanes that do not run", 1)
    assert await stage.here() == {1: 4}


async def test_groups_that_are_not_meant_are_left_alone(stage: Stage) -> None:
    stage.stands(102, 106, name=GroupName("other"))
    status = await stage.turned()
    assert (status.group, status.state) == ("bill*", SyncState.ABSENT), "a pattern that means none is said, too"
    assert stage.fake.groups.commits == []


async def test_a_named_group_that_the_provider_has_not_is_absent() -> None:
    stage = await Stage().open(replace(SUBSCRIPTION, groups=("billing",)))
    stage.stands(1, name=GroupName("other"))
    assert (await stage.turned()).state is SyncState.ABSENT


async def test_nobody_is_asked_while_patterns_have_found_no_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = PatternMapping.parsed("orders.*", "acme.*")
    stage = await Stage().open(replace(SUBSCRIPTION, topics=(), patterns=(pattern,), groups=("billing",)))

    async def unexpected(*_: object, **__: object) -> list[PeerGroup]:
        raise AssertionError("a question without a topic is refused, and stands in the provider's audit log")

    monkeypatch.setattr(stage.links, "group_positions", unexpected)
    assert (await stage.turned()).state is SyncState.ABSENT


async def test_a_provider_that_does_not_answer_is_asked_in_the_next_turn(stage: Stage) -> None:
    assert (await stage.turned()).state is SyncState.UNREACHABLE
    stage.stands(102, 106)
    assert (await stage.turned()).state is SyncState.IN_STEP


async def test_a_provider_that_refuses_is_asked_rarely(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def refuse(*_: object, **__: object) -> list[PeerGroup]:
        nonlocal asked
        asked += 1
        raise PeerRefusedRequest(ACME, "not-available", "share 'sales' is not available")

    monkeypatch.setattr(stage.links, "group_positions", refuse)
    for _ in range(REFUSED_TURNS):
        assert (await stage.turned()).state is SyncState.NOT_GRANTED
    assert asked == 1
    await stage.turned()
    assert asked == 2


async def test_a_cluster_that_fails_is_said_and_tried_again(stage: Stage) -> None:
    stage.stands(102, 106)
    stage.fake.fail_next("groups", ClusterUnreachable("fake", "cut"))
    assert (await stage.turned()).state is SyncState.UNREACHABLE
    assert (await stage.turned()).state is SyncState.IN_STEP


async def test_a_paused_subscription_is_forgotten(stage: Stage) -> None:
    stage.stands(102, 106)
    await stage.turned()
    await stage.registry.pause_subscription(SALES)
    await stage.sync.turn()
    assert stage.sync.statuses() == []
