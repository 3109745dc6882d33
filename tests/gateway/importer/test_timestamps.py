"""Records that a destination topic refuses for their timestamps, whatever fails and however the clocks go."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.batch.header import Codec
from mesh.cluster_errors import AppendUnknown, ClusterUnreachable
from mesh.lanes.checkpoint import load_lane, prefix
from mesh.lanes.status import LaneState
from mesh.offsets.answers import Exact, InGap
from mesh.shares import OnTimestamp
from mesh.spans import GapReason
from mesh.testing.clock import run
from mesh.testing.cluster import Operation
from mesh.testing.streams import Faults
from tests.support.failing import FailingCluster
from tests.support.mirror import DESTINATION, LANE, TO, Mirror, mirroring, records_of_partition, source_of
from tests.support.source_log import SourceLog

HOUR = 3_600_000
NOW = 1_800_000_000_000
NARROW = {"message.timestamp.before.max.ms": str(10 * HOUR), "message.timestamp.after.max.ms": str(HOUR)}
FINE, OLD, EARLY, EDGE = NOW, NOW - 100 * HOUR, NOW + 100 * HOUR, NOW + HOUR
BRINK = NOW - 10 * HOUR + 120_000
"""Taken now, and in two minutes no more."""
CUT, UNKNOWN = ClusterUnreachable("fake", "cut"), AppendUnknown(*TO, "no answer")


class Ticking(FailingCluster):
    """Its clock moves on with each call, and may be another than the importer's."""

    tick_ms = 0

    def check(self, operation: Operation) -> None:
        self.now_ms += self.tick_ms
        super().check(operation)


@dataclass(frozen=True)
class World:
    stamps: list[list[int]]
    codec: int
    policy: OnTimestamp
    joins_state: bool = False
    tick_ms: int = 0
    skew_ms: int = 0
    fetch_bytes: int = 300
    failures: tuple[tuple[Operation, int, Exception], ...] = ()
    cuts: tuple[int, ...] = ()
    config: tuple[tuple[str, str], ...] = tuple(NARROW.items())

    @property
    def log(self) -> SourceLog:
        log = SourceLog()
        for number, stamps in enumerate(self.stamps):
            holes = number % 3 == 2
            deltas = [2 * index if holes else index for index in range(len(stamps))]
            log.append(deltas, deltas[-1] + 1, codec=self.codec, stamps=stamps)
        return log

    async def mirror(self, log: SourceLog) -> Mirror:
        fake = Ticking(joins_state=self.joins_state)
        fake.now_ms, fake.tick_ms = NOW, self.tick_ms
        await fake.ports.topics.create(DESTINATION, 1, dict(self.config))
        for operation, call, error in self.failures:
            fake.fail_at(operation, call, error)
        faults = iter([Faults(cut_after=frames) for frames in self.cuts])
        clock = lambda: fake.now_ms + self.skew_ms  # noqa: E731
        return Mirror(
            await source_of(log), fake.ports, faults=faults, on_timestamp=self.policy, now_ms=clock, fake=fake,
            checkpoint_bytes=150, fetch_bytes=self.fetch_bytes,
        )  # fmt: skip


async def check(mirror: Mirror, log: SourceLog, policy: OnTimestamp) -> dict[int, str]:
    """What became of each source record: one of its forms at its place, or a gap. Nothing else is there."""
    copied = dict(await records_of_partition(mirror.destination, TO))
    stored = load_lane(LANE, await mirror.destination.lanes.load(prefix(LANE)))
    assert stored is not None
    offset_map, found, places = stored[1], {}, []
    for offset, record in sorted(log.visible.items()):
        answer = offset_map.translate(offset)
        if isinstance(answer, Exact):
            held = copied[answer.offset]
            places.append(answer.offset)
            found[offset] = "kept" if held[1:] == record[1:] else "bare"
            assert held[1:] in (record[1:], record._replace(timestamp_ms=-1)[1:])
            assert found[offset] == "kept" or policy is OnTimestamp.OVERRIDE
        else:
            assert isinstance(answer, InGap)
            assert (answer.reason, policy) == (GapReason.QUARANTINED, OnTimestamp.QUARANTINE)
            found[offset] = "gap"
    assert places == sorted(copied), "something is there that is no copy, or twice"
    return found


def outcome(world: World) -> dict[int, str]:
    async def scenario() -> dict[int, str]:
        log = world.log
        mirror = await world.mirror(log)
        async with mirroring(mirror):
            await mirror.until_copied()
            assert isinstance(mirror.fake, Ticking)
            mirror.fake.fail_no_more()  # what the lane keeps as it ends is to be looked at
        return await check(mirror, log, world.policy)

    return run(scenario())


POLICIES = st.sampled_from([OnTimestamp.OVERRIDE, OnTimestamp.QUARANTINE])
STAMPS = st.lists(
    st.lists(st.sampled_from([FINE, FINE, FINE, OLD, EARLY, -1, EDGE, EDGE - 2000, BRINK]), min_size=1, max_size=5),
    min_size=1,
    max_size=8,
)
FAILURES = st.lists(
    st.tuples(
        st.sampled_from(["append", "append answer", "put", "witness"]),
        st.integers(0, 15),
        st.sampled_from([CUT, UNKNOWN]),
    ),
    max_size=5,
)


@settings(max_examples=50, deadline=None)
@given(
    stamps=STAMPS,
    codec=st.sampled_from(list(Codec)),
    policy=POLICIES,
    joins_state=st.booleans(),
    tick_ms=st.sampled_from([0, 1, 700, 60_000]),
    skew_ms=st.sampled_from([0, 5000, -5000]),
    failures=FAILURES,
    cuts=st.lists(st.integers(5, 40), max_size=3),
)
def test_each_record_is_copied_once_or_left_out_once_whatever_fails(
    stamps: list[list[int]], codec: int, policy: OnTimestamp, joins_state: bool, tick_ms: int, skew_ms: int,
    failures: list[tuple[Operation, int, Exception]], cuts: list[int],
) -> None:  # fmt: skip
    world = World(stamps, codec, policy, joins_state, tick_ms, skew_ms, 300, tuple(failures), tuple(cuts))
    found, visible = outcome(world), world.log.visible
    by_policy = "bare" if policy is OnTimestamp.OVERRIDE else "gap"
    for offset, record in visible.items():
        if record.timestamp_ms in (OLD, EARLY):
            assert found[offset] == by_policy
        elif record.timestamp_ms in (FINE, -1):
            assert found[offset] == "kept"


@pytest.mark.parametrize("policy", [OnTimestamp.OVERRIDE, OnTimestamp.QUARANTINE])
def test_a_topic_that_takes_any_timestamp_gets_every_record_as_it_is(policy: OnTimestamp) -> None:
    found = outcome(World([[OLD, FINE], [EARLY, 0], [-5, -1]], 0, policy, config=()))
    assert set(found.values()) == {"kept"}


@pytest.mark.parametrize("joins_state", [True, False])
def test_neighbours_that_are_left_out_in_two_segments_are_each_durable(joins_state: bool) -> None:
    """The second makes no break of the map; after a crash it must not be taken for the record behind it."""
    stamps = [[FINE] * 3, [OLD], [OLD], [FINE], [OLD], [OLD, FINE], [OLD]]
    for call in range(1, 5):
        failing: tuple[tuple[Operation, int, Exception], ...] = (
            ("append answer", call, UNKNOWN),
            ("put", call + 4, CUT),
        )
        world = World(stamps, 0, OnTimestamp.QUARANTINE, joins_state, fetch_bytes=1, failures=failing, cuts=(14,))
        kept = [offset for offset, what in outcome(world).items() if what == "kept"]
        assert [world.log.visible[offset].timestamp_ms for offset in kept] == [FINE] * 5


@pytest.mark.parametrize("policy", [OnTimestamp.OVERRIDE, OnTimestamp.QUARANTINE])
def test_what_was_taken_once_is_not_judged_again_when_its_time_is_over(policy: OnTimestamp) -> None:
    """The answer is lost, and by the time of the retry the log would refuse the record."""
    first = [
        outcome(
            World(
                [[FINE]] + [[BRINK]] * 3,
                0,
                policy,
                tick_ms=tick_ms,
                fetch_bytes=1,
                failures=(("append answer", 1, UNKNOWN),),
            )
        )[1]
        for tick_ms in range(4000, 24_000, 2000)
    ]
    assert first[0] == "kept"
    assert first[-1] != "kept", "the clock has passed the limit in one of them, whenever the append came"


def test_by_default_the_lane_stops_and_names_the_record_and_the_limit() -> None:
    async def scenario() -> None:
        world = World([[FINE, FINE], [FINE, EARLY, OLD], [FINE]], 0, OnTimestamp.STOP)
        log = world.log
        mirror = await world.mirror(log)
        async with mirroring(mirror):
            status = await mirror.until_stopped()
            assert status.code == "timestamp-refused"
            assert f"source offset 3 for its timestamp {EARLY}" in status.reason
            assert "message.timestamp.after.max.ms=3600000" in status.reason
            assert "message.timestamp.before.max.ms" in status.remedy
        assert len(await records_of_partition(mirror.destination, TO)) == 2, "nothing of the batch was written"
        await mirror.destination.topics.configure(DESTINATION, dict.fromkeys(NARROW, str(1 << 62)))
        async with mirroring(mirror):
            await mirror.until_copied()
        assert set((await check(mirror, log, OnTimestamp.STOP)).values()) == {"kept"}

    run(scenario())


COMPRESSING = (("compression.type", "zstd"),)
"""Its broker answers a batch of another codec with a timestamp below -1 as if it did not know what became of it."""


def test_a_timestamp_that_a_broker_cannot_compress_anew_stops_the_lane_instead_of_being_tried_for_ever() -> None:
    async def scenario() -> None:
        world = World([[FINE], [FINE, -7], [FINE]], Codec.LZ4, OnTimestamp.STOP, config=COMPRESSING)
        log = world.log
        mirror = await world.mirror(log)
        async with mirroring(mirror):
            status = await mirror.until_stopped()
        assert (status.code, status.source_position) == ("timestamp-refused", 1)
        assert "source offset 2 for its timestamp -7: it is below -1" in status.reason
        assert "compression.type to producer" in status.remedy

    run(scenario())


@pytest.mark.parametrize(("policy", "fate"), [(OnTimestamp.OVERRIDE, "bare"), (OnTimestamp.QUARANTINE, "gap")])
def test_a_timestamp_that_a_broker_cannot_compress_anew_is_met_by_the_policy(policy: OnTimestamp, fate: str) -> None:
    found = outcome(World([[FINE], [FINE, -7], [-1]], Codec.LZ4, policy, config=COMPRESSING))
    assert found == {0: "kept", 1: "kept", 2: fate, 3: "kept"}


def test_a_batch_that_stays_as_it_is_keeps_any_timestamp() -> None:
    found = outcome(World([[FINE, -7]], Codec.ZSTD, OnTimestamp.QUARANTINE, config=COMPRESSING))
    assert set(found.values()) == {"kept"}


def test_a_topic_that_stamps_records_itself_stops_the_lane_before_it_begins() -> None:
    async def scenario() -> None:
        world = World([[FINE]], 0, OnTimestamp.STOP, config=(("message.timestamp.type", "LogAppendTime"),))
        mirror = await world.mirror(world.log)
        async with mirroring(mirror):
            status = await mirror.until_stopped()
        assert (status.state, status.code) == (LaneState.STOPPED, "destination-topic-unfit")
        assert "CreateTime" in status.reason
        assert await mirror.destination.lanes.load("lane/") == {}

    run(scenario())


@pytest.mark.parametrize(("stamp", "code"), [(NOW, ""), (NOW + 100 * HOUR, "timestamp-refused")])
def test_a_log_with_another_clock_is_met_by_a_margin_that_grows_for_some_days(stamp: int, code: str) -> None:
    async def scenario() -> None:
        config = (("message.timestamp.before.max.ms", "1"),)
        world = World([[stamp]], 0, OnTimestamp.QUARANTINE, skew_ms=-1000 * HOUR, config=config)
        mirror = await world.mirror(world.log)
        assert isinstance(mirror.fake, Ticking)
        mirror.fake.now_ms = NOW + 1000 * HOUR
        async with mirroring(mirror):
            status = await mirror.until(lambda found: found.state is LaneState.STOPPED or found.source_position == 1)
        assert (status.code, status.gaps) == (code, 0 if code else 1)

    run(scenario())
