"""What a peer learns of our groups, and what it may set, is what its grant says and what the share holds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from gateway.groups import provider
from gateway.groups.errors import GroupAbsent, PositionOutsideLog, PositionsRefused, PositionWouldGoBack
from gateway.groups.provider import GroupAnswers
from gateway.groups.writer import GroupWriter
from gateway.metrics import Metrics
from gateway.registry import Registry
from mesh.cluster_errors import GroupNotEmpty
from mesh.groups import Group
from mesh.ids import GroupName, IllegalName, OrgId, Partition, ShareName, TopicName
from mesh.origins import Hop, TopicOrigin
from mesh.policy import ShareNotAvailable
from mesh.ports import Groups
from mesh.shares import Grant, GroupAccess
from mesh.testing.cluster import FakeCluster
from mesh.wire.v1 import link_pb2
from tests.support.batches import plain_batch
from tests.support.control import peer_of

GLOBEX, INITECH = OrgId("globex.example"), OrgId("initech.example")
SHARE, ORDERS, SECRET = ShareName("sales"), TopicName("orders"), TopicName("secret")
BILLING, HIDDEN = GroupName("billing"), GroupName("hidden")


class Stage:
    """Two topics, one shared, and two groups, one of which reads the shared one; grants as a test gives them."""

    def __init__(self) -> None:
        self.fake = FakeCluster()
        self.recorded: list[tuple[str, str, dict[str, Any]]] = []
        self.refused: list[tuple[str, str]] = []

    async def open(self) -> Stage:
        cluster = self.fake.ports
        for name in (ORDERS, SECRET):
            await cluster.topics.create(name, 2, {})
            self.fake.foreign_write(Partition(name, 0), plain_batch([b"r"] * 10))
        self.registry = await Registry.open(cluster.control, cluster.lanes)
        for org in (GLOBEX, INITECH):
            await self.registry.add_peer(peer_of(org))
        await self.registry.create_share(SHARE, [ORDERS], 0)
        await cluster.groups.commit(BILLING, {Partition(ORDERS, 0): 4, Partition(SECRET, 0): 9})
        await cluster.groups.commit(HIDDEN, {Partition(SECRET, 0): 1})
        metrics = Metrics()
        metrics.on_refusal = lambda peer, reason: self.refused.append((peer, reason))
        self.answers = GroupAnswers(
            cluster, self.registry, GroupWriter(cluster), self._record, metrics, now_ms=lambda: 1000
        )
        return self

    async def _record(self, action: str, object_: str, **details: Any) -> None:
        self.recorded.append((action, object_, details))

    async def grant(self, groups: GroupAccess, peer: OrgId = GLOBEX) -> None:
        await self.registry.create_grant(Grant(SHARE, peer, groups=groups), 0)

    async def ask(self, group: str = "", *topics: str, **options: Any) -> list[tuple[str, dict[str, dict[int, int]]]]:
        body = link_pb2.GroupPositionsRequest(share=SHARE, group=group, topics=topics or (ORDERS,), **options)
        reply = await self.answers.positions(GLOBEX, body)
        return [
            (
                each.group,
                {topic.topic: dict(zip(topic.partitions, topic.positions, strict=True)) for topic in each.topics},
            )
            for each in reply.groups
        ]

    async def set(self, positions: Mapping[int, int], group: str = BILLING, **options: Any) -> int:
        topic_id = options.pop("topic_id", (await self.fake.ports.topics.describe(ORDERS)).topic_id)
        topic = link_pb2.TopicPositions(
            topic=options.pop("topic", ORDERS),
            topic_id=topic_id,
            partitions=list(positions),
            positions=list(positions.values()),
        )
        body = link_pb2.GroupCommitRequest(share=SHARE, group=group, topics=[topic], **options)
        return (await self.answers.commit(GLOBEX, body)).changed


@pytest.fixture
async def stage() -> Stage:
    return await Stage().open()


async def test_groups_are_told_with_their_positions_on_the_share_and_nothing_else(stage: Stage) -> None:
    await stage.grant(GroupAccess.READ)
    assert await stage.ask() == await stage.ask(BILLING) == [(BILLING, {ORDERS: {0: 4}})]


async def test_a_group_without_a_position_on_the_share_looks_like_none(stage: Stage) -> None:
    await stage.grant(GroupAccess.WRITE)
    assert await stage.ask(HIDDEN) == await stage.ask("nobody") == []
    for group in (HIDDEN, "nobody"):
        with pytest.raises(GroupAbsent) as raised:
            await stage.set({0: 5}, group)
        assert raised.value.where == "share 'sales'"
    stage.fake.groups.join(HIDDEN)
    with pytest.raises(GroupAbsent):
        await stage.set({0: 5}, HIDDEN)


@pytest.mark.parametrize("access", [GroupAccess.NONE, GroupAccess.READ])
async def test_what_is_not_granted_looks_like_no_share(stage: Stage, access: GroupAccess) -> None:
    await stage.grant(access)
    if access is GroupAccess.NONE:
        with pytest.raises(ShareNotAvailable):
            await stage.ask(BILLING)
    with pytest.raises(ShareNotAvailable):
        await stage.set({0: 5})
    assert set(stage.refused) == {(GLOBEX, "groups-not-granted")}
    assert stage.fake.groups.commits[2:] == []


async def test_a_topic_beyond_the_share_is_refused(stage: Stage) -> None:
    await stage.grant(GroupAccess.WRITE)
    with pytest.raises(ShareNotAvailable):
        await stage.ask(BILLING, ORDERS, SECRET)
    with pytest.raises(ShareNotAvailable):
        await stage.set({0: 5}, topic=SECRET)
    assert stage.refused[-1] == (GLOBEX, "topic-not-shared")


async def test_another_peers_grant_is_none(stage: Stage) -> None:
    await stage.grant(GroupAccess.WRITE, INITECH)
    with pytest.raises(ShareNotAvailable):
        await stage.ask()


async def test_ends_and_members_are_told(stage: Stage) -> None:
    await stage.grant(GroupAccess.READ)
    stage.fake.groups.join(BILLING)
    body = link_pb2.GroupPositionsRequest(share=SHARE, topics=[ORDERS], with_ends=True)
    (group,) = (await stage.answers.positions(GLOBEX, body)).groups
    assert group.has_members
    assert list(group.topics[0].ends) == [10]


async def test_a_group_that_reads_a_copy_which_may_not_be_shared_on_looks_like_none(stage: Stage) -> None:
    await stage.grant(GroupAccess.WRITE)
    await stage.registry.add_to_share(SHARE, [SECRET])
    secret = (await stage.fake.ports.topics.describe(SECRET)).topic_id
    await stage.registry.record_origin(TopicOrigin(secret, SECRET, (Hop(INITECH, secret),), onward=False))
    with pytest.raises(GroupAbsent):
        await stage.set({0: 5}, HIDDEN)


async def test_a_grant_that_ends_while_groups_are_looked_at_gets_no_answer(stage: Stage) -> None:
    await stage.grant(GroupAccess.READ)
    groups = stage.fake.ports.groups

    class Slow:
        async def describe(self, name: GroupName, topics: Collection[str]) -> Group:
            await stage.registry.revoke_grant(SHARE, GLOBEX)
            return await groups.describe(name, topics)

    stage.answers._cluster = replace(stage.fake.ports, groups=cast(Groups, Slow()))
    with pytest.raises(ShareNotAvailable):
        await stage.ask(BILLING)


async def test_an_empty_group_is_set_for_a_peer_and_audited(stage: Stage) -> None:
    await stage.grant(GroupAccess.WRITE)
    assert await stage.set({0: 7, 1: 0}) == 2
    assert await stage.ask(BILLING) == [(BILLING, {ORDERS: {0: 7, 1: 0}})]
    details = {"share": SHARE, "peer": GLOBEX, "changed": 2, "positions": "orders[0]=7,orders[1]=0"}
    assert stage.recorded == [("group.committed", BILLING, details)]


async def test_a_group_is_set_by_the_rules(stage: Stage) -> None:
    await stage.grant(GroupAccess.WRITE)
    with pytest.raises(PositionWouldGoBack):
        await stage.set({0: 3})
    with pytest.raises(PositionOutsideLog):
        await stage.set({0: 11})
    with pytest.raises(PositionsRefused):
        await stage.set({0: 5}, topic_id="ab" * 16)
    with pytest.raises(PositionsRefused):
        await stage.set({2: 0})
    stage.fake.groups.join(BILLING)
    with pytest.raises(GroupNotEmpty):
        await stage.set({0: 5})
    stage.fake.groups.leave(BILLING)
    assert await stage.set({0: 3}, backward=True) == 1
    assert len(stage.recorded) == 1


@pytest.mark.parametrize(
    "body",
    [
        link_pb2.GroupCommitRequest(share=SHARE, group=BILLING),
        link_pb2.GroupCommitRequest(share=SHARE, group="", topics=[link_pb2.TopicPositions(topic="orders")]),
        link_pb2.GroupCommitRequest(
            share=SHARE,
            group=BILLING,
            topics=[link_pb2.TopicPositions(topic="orders", topic_id="ab" * 16, partitions=[0])],
        ),
        link_pb2.GroupCommitRequest(share=SHARE, group=BILLING, topics=[link_pb2.TopicPositions(topic="../x")]),
    ],
)
async def test_a_commit_that_makes_no_sense_is_refused(stage: Stage, body: link_pb2.GroupCommitRequest) -> None:
    await stage.grant(GroupAccess.WRITE)
    with pytest.raises((PositionsRefused, IllegalName)):
        await stage.answers.commit(GLOBEX, body)


async def test_questions_are_bounded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.grant(GroupAccess.READ)
    with pytest.raises(PositionsRefused):
        await stage.answers.positions(GLOBEX, link_pb2.GroupPositionsRequest(share=SHARE))
    monkeypatch.setattr(provider, "MAX_GROUPS", 1)
    body = link_pb2.GroupPositionsRequest(share=SHARE, topics=[ORDERS])
    assert (await stage.answers.positions(GLOBEX, body)).truncated
