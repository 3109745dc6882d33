"""`mesh verify` over two fake clusters: what a clean run says, and each kind of planted damage by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from gateway.registry_errors import SubscriptionAbsent
from gateway.services import DigestPage, Services
from gateway.verify.digests import digest_page
from gateway.verify.errors import NothingToVerify
from gateway.verify.run import verify
from mesh.batch.records import Record
from mesh.batch.stamp import Producer
from mesh.cluster_errors import ClusterUnreachable
from mesh.ids import LaneId, OrgId, Partition, ShareName, SubscriptionName, TopicId, TopicName
from mesh.lanes.checkpoint import checkpoint_of, entries, recorded
from mesh.lanes.ledger import LedgerEntry
from mesh.lanes.losses import LossKind
from mesh.lanes.status import LaneState, LaneStatus
from mesh.offsets.map import OffsetMap
from mesh.shares import OnTimestamp, Subscription, TopicMapping
from mesh.testing.cluster import FakeCluster
from tests.support.records import TIMESTAMP_MS, batch_with_holes

NAME = SubscriptionName("departures")
SOURCE, COPY = TopicName("departures"), TopicName("ports.departures")
LANE = LaneId(NAME, SOURCE, 0)
SUBSCRIPTION = Subscription(NAME, OrgId("ports.example"), ShareName("departures"), (TopicMapping(SOURCE, COPY),))
CLOSING = "verified: {} records, 0 lost, 0 duplicated, 0 reordered, 0 altered, 0 wrong translations"

RECORDS = [
    Record(0, TIMESTAMP_MS + number, b"k%d" % number, b"v%d" % number, (("a", b"1"), ("b", None)))
    for number in range(200)
]


@dataclass
class Links:
    """The peer answers from its own log, as its gateway does."""

    source: FakeCluster
    refuse: Exception | None = None

    async def digests(
        self,
        peer: str,
        share: str,
        topic: str,
        partition: int,
        start: int,
        end: int,
        max_records: int,
        *,
        bare: bool = False,
    ) -> DigestPage:
        if self.refuse is not None:
            raise self.refuse
        place = Partition(topic, partition)
        return await digest_page(self.source.ports.source, place, start, end, max_records, bare=bare)


@dataclass
class Lanes:
    maps: dict[LaneId, OffsetMap | None]
    lag_records: int = 0

    def statuses(self) -> list[LaneStatus]:
        return [
            LaneStatus(lane, "ports.example", COPY, LaneState.RUNNING, lag_records=self.lag_records)
            for lane in self.maps
        ]

    async def offset_map(self, lane: LaneId) -> OffsetMap | None:
        return self.maps[lane]


@dataclass
class Registry:
    held: Subscription = SUBSCRIPTION

    def subscription(self, name: str) -> Subscription:
        if name != NAME:
            raise SubscriptionAbsent(name)
        return self.held


@dataclass
class World:
    source: FakeCluster = field(default_factory=FakeCluster)
    copy: FakeCluster = field(default_factory=FakeCluster)
    offset_map: OffsetMap = field(default_factory=lambda: OffsetMap(0))

    def __post_init__(self) -> None:
        self.links = Links(self.source)
        self.lanes = Lanes({LANE: self.offset_map})
        self.registry = Registry()
        self.events: list[Mapping[str, Any]] = []

    async def fill(self, source: list[Record], copy: list[Record]) -> None:
        """Both logs, and the map of a mirror that copied one by one."""
        for fake, topic, records in ((self.source, SOURCE, source), (self.copy, COPY, copy)):
            await fake.ports.topics.create(topic, 1, {})
            for first in range(0, len(records), 50):
                numbered = [r._replace(offset_delta=delta) for delta, r in enumerate(records[first : first + 50])]
                fake.put_raw(Partition(topic, 0), batch_with_holes(numbered, base_offset=first, codec=first // 50))
        self.offset_map.add_records(0, 0, len(source))

    @property
    def services(self) -> Services:
        parts: Any = {
            "config": None,
            "audit": None,
            "promoter": None,
            "registry": self.registry,
            "links": self.links,
            "lanes": self.lanes,
            "groups": None,
        }
        return Services(cluster=self.copy.ports, now_ms=lambda: 0, peer_address=str, **parts)

    async def verify(self, page_records: int = 30) -> dict[str, Any]:
        async def report(event: Mapping[str, object]) -> None:
            self.events.append(event)

        await verify(self.services, NAME, report, page_records)
        return dict(self.events[-1])


async def test_a_clean_run_ends_with_the_closing_line() -> None:
    world = World()
    await world.fill(RECORDS, RECORDS)
    result = await world.verify()
    assert (result["ok"], result["closing"]) == (True, CLOSING.format(200))
    assert result["translations"] == 200
    kinds = [event["event"] for event in world.events]
    assert (kinds[0], kinds[-2:]) == ("begin", ["lane", "result"])
    assert kinds.count("progress") == 7
    assert [e["done"] for e in world.events if e["event"] == "progress"][-1] == world.events[0]["total"] == 200


def _changed(place: int, **fields: object) -> Callable[[list[Record]], None]:
    def change(records: list[Record]) -> None:
        records[place] = records[place]._replace(**fields)  # type: ignore[arg-type]

    return change


ALTERATIONS = {
    "key": _changed(77, key=b"other"),
    "value": _changed(77, value=b"other"),
    "header order": _changed(77, headers=(("b", None), ("a", b"1"))),
    "timestamp": _changed(77, timestamp_ms=TIMESTAMP_MS),
    "null key": _changed(77, key=None),
    "empty value": _changed(77, value=b""),
    "null header turned empty": _changed(77, headers=(("a", b"1"), ("b", b""))),
}


@pytest.mark.parametrize("name", ALTERATIONS)
async def test_one_altered_record_is_named(name: str) -> None:
    world, copy = World(), list(RECORDS)
    ALTERATIONS[name](copy)
    await world.fill(RECORDS, copy)
    result = await world.verify()
    assert not result["ok"]
    assert result["closing"] == CLOSING.format(200).replace("0 altered", "1 altered")
    (evidence,) = result["lanes"][0]["evidence"]
    assert (evidence["kind"], evidence["source_offset"], evidence["destination_offset"]) == ("altered", 77, 77)


async def test_null_turned_empty_is_an_alteration() -> None:
    world, source = World(), list(RECORDS)
    source[5] = source[5]._replace(value=None)
    copy = list(source)
    copy[5] = copy[5]._replace(value=b"")
    await world.fill(source, copy)
    assert (await world.verify())["altered"] == 1


@pytest.mark.parametrize("kind", ["lost", "duplicated", "reordered"])
async def test_structural_damage_is_named(kind: str) -> None:
    world, copy = World(), list(RECORDS)
    if kind == "lost":
        del copy[120]
    elif kind == "duplicated":
        copy.insert(120, copy[119])
        copy.pop()
    else:
        copy[120], copy[121] = copy[121], copy[120]
    await world.fill(RECORDS, copy)
    result = await world.verify()
    assert not result["ok"]
    assert result[kind] == 1
    others = {"lost", "duplicated", "reordered", "altered"} - {kind}
    # A copy that is one too long pushed the last record out of the range that the map claims.
    assert sum(result[other] for other in others) == (1 if kind == "duplicated" else 0)


async def test_a_map_that_is_off_by_one_is_named() -> None:
    world = World()
    await world.fill(RECORDS, RECORDS)
    wrong = OffsetMap(0)
    wrong.add_records(0, 0, 150)
    wrong.add_records(150, 151, 49)
    world.lanes.maps[LANE] = wrong
    result = await world.verify()
    assert not result["ok"]
    assert result["wrong_translations"] >= 48
    kinds = {item["kind"] for item in result["lanes"][0]["evidence"]}
    assert "wrong_translations" in kinds


async def test_a_foreign_write_is_reported_beside_the_closing_line() -> None:
    world = World()
    await world.fill(RECORDS[:100], RECORDS[:100])
    foreign = batch_with_holes([Record(0, TIMESTAMP_MS, None, b"x", ())])
    world.copy.foreign_write(Partition(COPY, 0), foreign)
    later = [r._replace(offset_delta=delta) for delta, r in enumerate(RECORDS[100:])]
    world.source.put_raw(Partition(SOURCE, 0), batch_with_holes(later, base_offset=100))
    world.copy.put_raw(Partition(COPY, 0), batch_with_holes(later, base_offset=101))
    world.offset_map.add_records(100, 101, 100)
    result = await world.verify()
    assert (result["ok"], result["foreign"]) == (True, 1)
    assert result["closing"] == CLOSING.format(200)


def without_timestamps(records: list[Record], places: range) -> list[Record]:
    return [r._replace(timestamp_ms=-1) if at in places else r for at, r in enumerate(records)]


@pytest.mark.parametrize("policy", OnTimestamp)
async def test_copies_without_their_timestamps_are_altered_unless_the_subscription_allows_them(
    policy: OnTimestamp,
) -> None:
    world = World()
    world.registry.held = replace(SUBSCRIPTION, on_timestamp=policy)
    await world.fill(RECORDS, without_timestamps(RECORDS, range(60, 130)))
    result = await world.verify()
    allowed = policy is OnTimestamp.OVERRIDE
    assert (result["ok"], result["overridden"], result["altered"]) == (allowed, 70 * allowed, 70 * (not allowed))
    assert result["closing"] == CLOSING.format(200).replace("0 altered", f"{result['altered']} altered")


async def test_damage_among_copies_without_their_timestamps_is_named() -> None:
    world = World()
    world.registry.held = replace(SUBSCRIPTION, on_timestamp=OnTimestamp.OVERRIDE)
    copy = without_timestamps(RECORDS, range(60, 130))
    copy[100] = copy[100]._replace(value=b"other")
    copy[140] = copy[140]._replace(timestamp_ms=TIMESTAMP_MS)
    copy[110], copy[120] = copy[120], copy[110]
    await world.fill(RECORDS, copy)
    result = await world.verify()
    assert (result["altered"], result["reordered"], result["overridden"], result["lost"]) == (2, 2, 69, 0)
    named = {item["source_offset"] for item in result["lanes"][0]["evidence"] if item["kind"] == "altered"}
    assert named == {100, 140}


async def test_copies_of_what_the_source_lost_are_told_apart_from_foreign_ones_and_from_duplicates() -> None:
    """The source was truncated at 150; then it wrote ten of those records again, and others."""
    world = World()
    again = RECORDS[150:160] + [r._replace(value=b"anew") for r in RECORDS[160:180]]
    await world.fill(RECORDS[:150] + again, RECORDS + again)
    offset_map = OffsetMap(0)
    offset_map.add_records(0, 0, 150)
    offset_map.add_records(150, 200, 30)
    world.lanes.maps[LANE] = offset_map
    assert (await world.verify())["duplicated"] == 10, "without the ledger"
    checkpoint = replace(checkpoint_of(offset_map, TopicId("0" * 32), 230, 180, Producer(1, 0)), losses=1)
    entry = LedgerEntry(LossKind.TRUNCATED, 150, 200, 150, 200, 0, "0" * 32)
    await world.copy.ports.lanes.put(entries(LANE, checkpoint, offset_map, None) | recorded(LANE, 0, entry))
    result = await world.verify()
    assert (result["ok"], result["left_over"], result["foreign"]) == (True, 50, 0)
    assert result["closing"] == CLOSING.format(180)


async def test_what_is_not_mirrored_yet_is_lag_not_loss() -> None:
    world = World()
    await world.fill(RECORDS, RECORDS[:150])
    behind = OffsetMap(0)
    behind.add_records(0, 0, 150)
    world.lanes = Lanes({LANE: behind}, lag_records=50)
    result = await world.verify()
    assert (result["ok"], result["closing"], result["lag_records"]) == (True, CLOSING.format(150), 50)


@pytest.mark.parametrize("side", ["source", "copy"])
async def test_what_retention_took_from_one_log_is_not_compared(side: str) -> None:
    world = World()
    await world.fill(RECORDS, RECORDS)
    if side == "source":
        world.source.delete_before(Partition(SOURCE, 0), 100)
    else:
        world.copy.delete_before(Partition(COPY, 0), 100)
    result = await world.verify()
    assert (result["ok"], result["not_compared"]) == (True, 100)
    assert result["closing"] == CLOSING.format(100)


async def test_a_truncated_copy_is_loss() -> None:
    world = World()
    await world.fill(RECORDS, RECORDS)
    world.copy.truncate(Partition(COPY, 0), 150)
    result = await world.verify()
    assert (result["ok"], result["lost"]) == (False, 50)


async def test_a_copy_that_is_gone_is_not_called_verified() -> None:
    world = World()
    await world.fill(RECORDS, RECORDS)
    world.copy.delete_before(Partition(COPY, 0), 200)
    result = await world.verify()
    assert not result["ok"]
    assert result["lanes"][0]["failure"]["code"] == "nothing-left"


async def test_a_lane_that_cannot_be_read_fails_the_verification_and_says_why() -> None:
    world = World()
    await world.fill(RECORDS, RECORDS)
    world.links.refuse = ClusterUnreachable("kafka", "no answer")
    result = await world.verify()
    assert (result["ok"], result["unreadable"]) == (False, [str(LANE)])
    assert result["lanes"][0]["failure"]["code"] == "cluster-unreachable"


async def test_a_reader_that_fails_midway_ends_the_lane_with_its_error() -> None:
    world = World()
    await world.fill(RECORDS, RECORDS)
    world.copy.fail_next("fetch", ClusterUnreachable("copy", "cut"))
    result = await world.verify()
    assert result["lanes"][0]["failure"]["sentence"] == "cluster copy cannot be reached: cut"


async def test_lanes_that_have_not_begun_are_listed_and_alone_they_are_refused() -> None:
    world = World()
    await world.fill(RECORDS, RECORDS)
    waiting = LANE._replace(partition=1)
    world.lanes.maps[waiting] = None
    assert (await world.verify())["not_begun"] == [str(waiting)]
    del world.lanes.maps[LANE]
    with pytest.raises(NothingToVerify):
        await world.verify()


async def test_an_unknown_subscription_is_refused() -> None:
    world = World()

    async def report(event: Mapping[str, object]) -> None:
        raise AssertionError(event)

    with pytest.raises(SubscriptionAbsent):
        await verify(world.services, "other", report)
