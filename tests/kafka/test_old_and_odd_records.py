"""What real brokers hold and refuse: segments of old formats, and timestamps far from their clocks."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.kafka import KafkaConfig, open_kafka
from gateway.offers import ANY_TIMESTAMP, offered_settings, taken_settings
from mesh.batch.encode import encode
from mesh.batch.header import HEADER_BYTES
from mesh.batch.limits import DEFAULT_LIMITS
from mesh.batch.records import Record, records_of
from mesh.batch.stamp import restamp
from mesh.batch.validate import validate
from mesh.cluster_errors import BatchRefused, TimestampRefused
from mesh.ids import Partition
from mesh.lanes.checkpoint import load_lane, prefix
from mesh.lanes.export import cut
from mesh.lanes.status import LaneState
from mesh.offsets.answers import Exact, InGap
from mesh.ports import Cluster
from mesh.shares import OnTimestamp
from mesh.spans import GapReason
from tests.support.batches import stamped
from tests.support.brokers import Broker, open_cluster
from tests.support.mirror import (
    DESTINATION,
    FROM,
    LANE,
    SOURCE,
    TO,
    Mirror,
    destination,
    mirroring,
    records_of_partition,
    source_of,
)
from tests.support.old_messages import OLD_OFFSETS, OLD_SETS
from tests.support.source_log import SourceLog

pytestmark = pytest.mark.kafka

HOUR = 3_600_000
NARROW = {"message.timestamp.before.max.ms": str(HOUR), "message.timestamp.after.max.ms": str(HOUR)}
KEEP = {"retention.ms": "-1"}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Real:
    """A real cluster where the mirror expects a fake one."""

    ports: Cluster


async def put(cluster: Cluster, topic: str, stamp: int, key: bytes | None = b"k") -> int:
    producer = await cluster.destination.producer()
    return await cluster.destination.append(
        Partition(topic, 0), restamp(encode([Record(0, stamp, key, b"v")]), producer, 0)
    )


# --- timestamps


async def test_a_copy_as_we_make_it_takes_any_timestamp() -> None:
    async with open_cluster() as cluster:
        await cluster.topics.create("any-timestamp", 1, taken_settings(offered_settings({})))
        for offset, stamp in enumerate([0, -1, -5, now_ms(), now_ms() + 1000 * HOUR, (1 << 63) - 1]):
            assert await put(cluster, "any-timestamp", stamp) == offset
        assert (await cluster.topics.describe("any-timestamp")).in_force.items() >= ANY_TIMESTAMP.items()


async def test_a_record_without_timestamp_is_taken_where_others_are_refused() -> None:
    """What the policy `override` rests on."""
    async with open_cluster() as cluster:
        await cluster.topics.create("narrow", 1, NARROW | KEEP)
        assert await put(cluster, "narrow", -1) == 0
        for stamp in (0, -5, now_ms() - 2 * HOUR, now_ms() + 2 * HOUR):
            with pytest.raises(TimestampRefused, match="out of range"):
                await put(cluster, "narrow", stamp)
        assert await put(cluster, "narrow", now_ms()) == 1


async def test_a_compacted_topic_takes_an_empty_key_and_no_null_one() -> None:
    async with open_cluster() as cluster:
        await cluster.topics.create("compacted", 1, {"cleanup.policy": "compact"})
        with pytest.raises(BatchRefused, match="without key"):
            await put(cluster, "compacted", now_ms(), key=None)
        assert await put(cluster, "compacted", now_ms(), key=b"") == 0


@asynccontextmanager
async def narrow_copy(config: dict[str, str]) -> AsyncIterator[Cluster]:
    async with open_cluster() as cluster:
        await cluster.topics.create(DESTINATION, 1, config)
        try:
            yield cluster
        finally:
            await cluster.topics.delete(DESTINATION)
            await cluster.lanes.put(dict.fromkeys(await cluster.lanes.load(prefix(LANE))))


def odd_log() -> SourceLog:
    now, log = now_ms(), SourceLog()
    for stamps in ([now] * 3, [now, 0, now + 9 * HOUR], [0], [0, now], [now, -1, now - 9 * HOUR]):
        log.append(list(range(len(stamps))), len(stamps), stamps=stamps)
    return log


@pytest.mark.parametrize("policy", list(OnTimestamp))
async def test_refused_timestamps_end_as_the_policy_says(policy: OnTimestamp) -> None:
    log = odd_log()
    hour_off = [(offset, record.timestamp_ms - now_ms()) for offset, record in log.visible.items()]
    refused = {offset for offset, off in hour_off if abs(off) > HOUR and log.visible[offset].timestamp_ms != -1}
    async with narrow_copy(NARROW | KEEP) as cluster:
        mirror = Mirror(await source_of(log), cluster, on_timestamp=policy, now_ms=now_ms)
        async with mirroring(mirror):
            if policy is OnTimestamp.STOP:
                status = await mirror.until_stopped()
                assert status.code == "timestamp-refused"
                assert "source offset 4 for its timestamp 0" in status.reason
                assert "The timestamp should be within" in status.reason
                return
            await mirror.until_copied()
        copied = dict(await records_of_partition(cluster, TO))
        stored = load_lane(LANE, await cluster.lanes.load(prefix(LANE)))
        assert stored is not None
        for offset, record in log.visible.items():
            answer = stored[1].translate(offset)
            if policy is OnTimestamp.QUARANTINE and offset in refused:
                assert isinstance(answer, InGap)
                assert answer.reason is GapReason.QUARANTINED
                continue
            assert isinstance(answer, Exact)
            expected = record._replace(timestamp_ms=-1) if offset in refused else record
            assert copied.pop(answer.offset)[1:] == expected[1:]
        assert not copied


async def test_a_topic_that_stamps_at_append_is_refused_before_anything_is_written() -> None:
    async with narrow_copy({"message.timestamp.type": "LogAppendTime"}) as cluster:
        mirror = Mirror(await source_of(odd_log()), cluster, now_ms=now_ms)
        async with mirroring(mirror):
            status = await mirror.until(lambda found: found.state is LaneState.STOPPED)
        assert status.code == "destination-topic-unfit"
        assert (await cluster.source.range(TO)).end == 0


# --- old formats


@pytest.mark.timeout(180)
async def test_a_broker_serves_old_segments_and_they_are_mirrored_exactly() -> None:
    """Brokers write no old format any more; segments as they were written long ago are put in their place."""
    fixed = [data for (magic, codec, _), data in OLD_SETS.items() if magic == 0 and codec]
    several = b"".join(moved(data, 100 * at) for at, data in enumerate(OLD_SETS.values()) if data not in fixed)
    with Broker.start() as broker:
        config = KafkaConfig(bootstrap=(broker.address,))
        async with open_kafka(config) as cluster:
            for name, partitions in (("old", len(fixed)), (SOURCE, 1)):
                await cluster.topics.create(name, partitions, KEEP)
                for number in range(partitions):
                    await write(cluster, Partition(name, number), b"to be replaced")
        broker.kill()
        for number, data in enumerate(fixed):
            plant(broker.directory, Partition("old", number), data)
        plant(broker.directory, FROM, several)
        broker.restart()
        async with open_kafka(config) as cluster:
            for number, data in enumerate(fixed):
                await check_served(cluster, Partition("old", number), data)
            await write(cluster, FROM, b"new")
            end = (await cluster.source.range(FROM)).end
            mirror = Mirror(Real(cluster), (await destination()).ports)  # type: ignore[arg-type]
            async with mirroring(mirror):
                await mirror.until(lambda status: status.source_position == end)
            copied = await records_of_partition(mirror.destination, TO)
            assert [record.value for _, record in copied] == [b"value " * 7, b"", None] * 9 + [b"new"]


async def write(cluster: Cluster, partition: Partition, value: bytes) -> None:
    await cluster.destination.append(partition, stamped(await cluster.destination.producer(), 0, [value]))


async def check_served(cluster: Cluster, partition: Partition, data: bytes) -> None:
    fetched = await cluster.source.fetch(partition, 0, None, 1 << 20, 1)
    assert bytes(fetched.data) == data, "the broker gives it as it lies there"
    segment = cut(fetched, 0, 0, 1 << 20)
    assert segment is not None
    assert [span.source_offset for span in segment.spans if span.reason is None] == [40, 44]
    (batch,) = segment.batches
    header = validate(memoryview(batch), DEFAULT_LIMITS)
    assert len(list(records_of(header, batch[HEADER_BYTES:]))) == len(OLD_OFFSETS)


def moved(data: bytes, by: int) -> bytes:
    """The set at later offsets; those inside the wrappers of format 1 count from 0."""
    out, at = bytearray(data), 0
    while at < len(out):
        out[at : at + 8] = (int.from_bytes(out[at : at + 8], "big") + by).to_bytes(8, "big")
        at += 12 + int.from_bytes(out[at + 8 : at + 12], "big")
    return bytes(out)


def plant(directory: Path, partition: Partition, data: bytes) -> None:
    """The partition's only segment; the broker makes the rest anew."""
    (found,) = directory.rglob(f"{partition.topic}-{partition.number}")
    for path in found.iterdir():
        if path.suffix in (".log", ".index", ".timeindex", ".snapshot") or path.name == "leader-epoch-checkpoint":
            path.unlink()
    (found / "00000000000000000000.log").write_bytes(data)
