"""The exporter: serves the lanes that peers ask for, from the local cluster's log.

Strategy: a loop for each lane: wait for credit, fetch, cut, hand over to the link's buffer. Before each segment
the grant is asked again, so that nothing leaves after it ended. What leaves, and where a lane begins, is decided by
`mesh.lanes.export` and `mesh.policy`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from gateway.link.lanes import ExportLane
from gateway.meters import LaneMeter
from mesh.batch.header import epoch_before
from mesh.batch.limits import DEFAULT_LIMITS, Limits
from mesh.cluster_errors import OffsetOutOfRange, PartitionAbsent
from mesh.errors import CallerError, OperatorError
from mesh.ids import Partition, TopicId
from mesh.lanes.export import cut
from mesh.log import Fetched, LogRange, Topic
from mesh.ports import Cluster
from mesh.segment import Segment
from mesh.shares import StartAt


@dataclass(eq=False)
class SourceTruncated(OperatorError):
    """The source log ends before the position that the importer has copied."""

    topic: str
    partition: int
    position: int
    end: int

    code: ClassVar[str] = "source-truncated"
    sentence: ClassVar[str] = "the source log of {topic}[{partition}] ends at {end}, before position {position}"
    hint: ClassVar[str] = "records that were copied are gone from the source; decide with the provider what holds"


@dataclass(eq=False)
class SourceTrimmed(OperatorError):
    """Retention took records before they were copied."""

    topic: str
    partition: int
    position: int
    start: int

    code: ClassVar[str] = "source-trimmed"
    sentence: ClassVar[str] = (
        "records {position} to {start} (exclusive) of {topic}[{partition}] were removed by the source's retention "
        "before they were copied"
    )
    hint: ClassVar[str] = "subscribe anew to go on without them, and ask the provider for longer retention"


@dataclass(eq=False)
class BatchTooLarge(CallerError):
    topic: str
    partition: int
    source_offset: int
    size_bytes: int
    limit_bytes: int

    code: ClassVar[str] = "batch-too-large"
    sentence: ClassVar[str] = (
        "the batch at {topic}[{partition}] offset {source_offset} has {size_bytes} bytes; "
        "the importer takes {limit_bytes}"
    )
    hint: ClassVar[str] = "raise limits.max_batch_bytes at the importing gateway and restart it"


@dataclass(frozen=True, slots=True)
class ExportSettings:
    fetch_bytes: int = 1 << 20
    """Asked of the cluster at once for a lane: about a frame."""
    wait_s: float = 5.0
    """How long a fetch waits at the tip of the log."""
    limits: Limits = DEFAULT_LIMITS


async def export_lane(
    cluster: Cluster,
    lane: ExportLane,
    authorize: Callable[[], object],
    settings: ExportSettings,
    meter: LaneMeter | None = None,
) -> None:
    """Serve `lane` until it is cancelled. Raises what ends it; the session tells the peer.

    `authorize` raises ShareNotAvailable as soon as the peer may not read the partition (any more).
    """
    authorize()
    opening = lane.opening
    topic = await cluster.topics.describe(opening.topic)
    partition = _partition(topic, opening.partition)
    log_range = await cluster.source.range(partition)
    first = await _first_offset(cluster, partition, opening.start, log_range)
    lane.open(topic.topic_id, first, log_range)
    expected_id = TopicId(opening.topic_id) if opening.topic_id else topic.topic_id
    position, ordinal = first, 0
    epoch = opening.leader_epoch if opening.start.kind == "offset" else -1
    while True:
        budget = min(await _credit(cluster, partition, lane, settings.wait_s), settings.fetch_bytes)
        fetched = await _fetch(cluster, partition, position, expected_id, budget, settings.wait_s, epoch)
        authorize()
        lane.status(fetched.range)
        segment = cut(fetched, position, ordinal, settings.fetch_bytes, settings.limits)
        if segment is not None:
            _check_sizes(partition, segment, opening.max_batch_bytes)
            await lane.send(segment)
            position, ordinal = segment.next_source_offset, ordinal + segment.record_count
            epoch = epoch_before(fetched.data, position)
            if meter is not None:
                meter.moved(segment.record_count, segment.size_bytes)


async def _credit(cluster: Cluster, partition: Partition, lane: ExportLane, wait_s: float) -> int:
    """Wait for credit; an importer that gives none still hears of the log, so that it can tell what it will miss."""
    while True:
        try:
            async with asyncio.timeout(wait_s):
                return await lane.credit()
        except TimeoutError:
            lane.status(await cluster.source.range(partition))


async def _fetch(
    cluster: Cluster, partition: Partition, position: int, topic_id: TopicId, max_bytes: int, wait_s: float, epoch: int
) -> Fetched:
    try:
        return await cluster.source.fetch(partition, position, topic_id, max_bytes, wait_s, epoch)
    except OffsetOutOfRange as error:
        raise _out_of_range(partition, position, error) from error


def _partition(topic: Topic, number: int) -> Partition:
    if number >= topic.partitions:
        raise PartitionAbsent(topic.name, number, topic.partitions)
    return Partition(topic.name, number)


async def _first_offset(cluster: Cluster, partition: Partition, start: StartAt, log_range: LogRange) -> int:
    """Where the lane begins. An offset is taken as it is, so that a position outside the log is reported."""
    match start.kind:
        case "earliest":
            return log_range.start
        case "latest":
            return log_range.last_stable
        case "timestamp":
            found = await cluster.source.offset_at(partition, start.value)
            return log_range.last_stable if found is None else found
        case _:
            return start.value


def _out_of_range(partition: Partition, position: int, error: OffsetOutOfRange) -> OperatorError:
    if position < error.start:
        return SourceTrimmed(partition.topic, partition.number, position, error.start)
    return SourceTruncated(partition.topic, partition.number, position, error.end)


def _check_sizes(partition: Partition, segment: Segment, limit_bytes: int) -> None:
    largest = max(map(len, segment.batches), default=0)
    if limit_bytes and largest > limit_bytes:
        raise BatchTooLarge(*partition, segment.first_source_offset, largest, limit_bytes)
