"""What a peer is told of what it may copy: at once when it changes, how much there is, and by which path it came."""

from __future__ import annotations

import asyncio

import pytest

from gateway.peers import hub, offering
from gateway.peers.errors import FeatureMissing, PeerRefusedRequest
from mesh.ids import OrgId, Partition, ShareName, TopicName
from mesh.link.errors import LaneEnded
from mesh.origins import Hop, Path, TopicOrigin, path_token
from mesh.shares import StartAt
from mesh.wire.v1 import catalog_pb2
from tests.support.hubs import FLIGHTS, TOPIC, Both, lane_of, now_ms, two

ACME, GLOBEX, INITECH = OrgId("acme.example"), OrgId("globex.example"), OrgId("initech.example")


async def asked(both: Both, known: bytes = b"") -> catalog_pb2.CatalogReply:
    await both.globex.hub.wait(ACME)
    return await both.globex.hub.catalog(ACME, known)


async def test_a_change_of_ours_is_told_at_once_and_one_of_the_cluster_soon() -> None:
    async with two() as both:
        first = await asked(both)
        waiting = asyncio.create_task(asked(both, first.digest))
        await both.acme.registry.add_to_share(FLIGHTS, [TopicName("secret")])
        second = await waiting
        assert [topic.name for topic in second.shares[0].topics] == [TOPIC, "secret"]
        waiting = asyncio.create_task(asked(both, second.digest))
        await both.acme.cluster.ports.topics.grow(TOPIC, 4)
        assert [topic.partitions for topic in (await waiting).shares[0].topics] == [4, 1]


async def test_where_nothing_changes_the_answer_says_so_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offering, "MAX_WAIT_S", 0.05)
    async with two() as both:
        first = await asked(both)
        again = await asked(both, first.digest)
        assert (again.unchanged, again.digest, len(again.shares)) == (True, first.digest, 0)


async def test_the_size_of_what_is_shared_is_told_from_the_start_that_is_asked_for() -> None:
    async with two() as both:
        await both.globex.hub.wait(ACME)
        await both.acme.cluster.ports.topics.grow(TOPIC, 2)
        names = [TOPIC, "secret", "absent", "not a topic"]
        whole = await both.globex.hub.measure(ACME, FLIGHTS, names, StartAt())
        assert [topic.topic for topic in whole.topics] == [TOPIC]
        first, empty = whole.topics[0].partitions
        assert (first.log_start, first.log_end, first.last_stable, first.first_source_offset) == (0, 9, 9, 0)
        assert first.size_bytes == both.acme.cluster.log(Partition(TOPIC, 0)).size_bytes
        assert (empty.log_end, empty.size_bytes) == (0, 0)
        for start, offset in ((StartAt("latest"), 9), (StartAt("offset", 4), 4), (StartAt("timestamp", 1 << 50), 9)):
            part = await both.globex.hub.measure(ACME, FLIGHTS, [TOPIC], start)
            assert part.topics[0].partitions[0].first_source_offset == offset


async def test_what_is_not_granted_is_not_measured() -> None:
    async with two() as both:
        await both.globex.hub.wait(ACME)
        await both.acme.registry.create_share(ShareName("hidden"), [TopicName("secret")], now_ms())
        for share in ("hidden", "absent"):
            with pytest.raises(PeerRefusedRequest, match="not-available"):
                await both.globex.hub.measure(ACME, ShareName(share), [TOPIC], StartAt())
        with pytest.raises(PeerRefusedRequest, match="too-many-measured"):
            await both.globex.hub.measure(ACME, FLIGHTS, [f"t{number}" for number in range(101)], StartAt())


async def as_copy(both: Both, *, onward: bool) -> Path:
    """ACME's topic is a copy of INITECH's; answers its path."""
    topic_id = both.acme.cluster.topic(TOPIC).topic_id
    path = (Hop(INITECH, topic_id),)
    await both.acme.registry.record_origin(TopicOrigin(topic_id, TOPIC, path, onward))
    return (*path, Hop(ACME, topic_id))


async def test_a_lane_of_a_copy_is_served_only_to_who_knows_its_path() -> None:
    async with two() as both:
        path = await as_copy(both, onward=True)
        session = await both.globex.hub.wait(ACME)
        lane = session.open_lane(lane_of())
        with pytest.raises(LaneEnded) as caught:
            await lane.next()
        assert (caught.value.ended_code, caught.value.may_retry) == ("origin-changed", True)
        lane = session.open_lane(lane_of(origin=path_token(path)))
        assert (await lane.next()).record_count == 9


async def test_a_lane_ends_when_the_path_changes_under_it_even_if_nothing_is_written() -> None:
    async with two() as both:
        session = await both.globex.hub.wait(ACME)
        lane = session.open_lane(lane_of())
        await lane.next()
        await as_copy(both, onward=True)
        with pytest.raises(LaneEnded) as caught:
            await lane.next()
        assert caught.value.ended_code == "origin-changed"


async def test_a_copy_that_may_not_be_shared_is_neither_listed_nor_measured_nor_read() -> None:
    async with two() as both:
        path = await as_copy(both, onward=False)
        assert [list(share.topics) for share in (await asked(both)).shares] == [[]]
        assert not (await both.globex.hub.measure(ACME, FLIGHTS, [TOPIC], StartAt())).topics
        with pytest.raises(PeerRefusedRequest, match="not-available"):
            await both.globex.hub.digests(ACME, FLIGHTS, TOPIC, 0, 0, 9, 9)
        session = await both.globex.hub.wait(ACME)
        with pytest.raises(LaneEnded) as caught:
            await session.open_lane(lane_of(origin=path_token(path))).next()
        assert caught.value.ended_code == "not-available"


async def test_digests_of_records_without_their_timestamps_are_asked_only_of_who_knows_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with two() as both:
        await both.globex.hub.wait(ACME)
        page = await both.globex.hub.digests(ACME, FLIGHTS, TOPIC, 0, 0, 9, 9, bare=True)
        assert (len(page.offsets), len(page.digests), len(page.bare)) == (9, 9, 9)
        assert not (await both.globex.hub.digests(ACME, FLIGHTS, TOPIC, 0, 0, 9, 9)).bare
    monkeypatch.setattr(hub, "FEATURES", ("bundles",))
    async with two() as both:
        await both.globex.hub.wait(ACME)
        with pytest.raises(FeatureMissing):
            await both.globex.hub.digests(ACME, FLIGHTS, TOPIC, 0, 0, 9, 9, bare=True)
