"""The exporter: serves the lanes that peers ask for, from the local cluster's log.

Strategy: a loop for each lane: wait for credit, fetch, cut, hand over to the link's buffer. Whatever leaves, be it a
segment, the log's range or what it has lost, the grant is asked directly before. What leaves, and where a lane begins,
is decided by `mesh.lanes.export` and `mesh.policy`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from gateway.failpoints import Place, reach
from gateway.link.lanes import ExportLane
from gateway.losses import SourceLost, SourceRecreated, SourceTrimmed, SourceTruncated
from gateway.meters import LaneMeter
from gateway.starting import first_offset
from gateway.turns import Turn, Turns
from mesh.batch.header import split
from mesh.batch.limits import DEFAULT_LIMITS, Limits
from mesh.batch.old import split_any
from mesh.cluster_errors import LogTruncated, OffsetOutOfRange, PartitionAbsent, TopicRecreated
from mesh.errors import CallerError
from mesh.ids import Partition, TopicId
from mesh.lanes.export import segments
from mesh.lanes.losses import Loss, LossKind
from mesh.log import Fetched, LogRange, Topic
from mesh.ports import Cluster
from mesh.segment import Segment


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
    shared_bytes: int = 32 << 20
    """Kept of what was fetched, for lanes that read the same partition (`gateway.shared_fetches`)."""
    ahead_bytes: int = 8 << 20
    """Read by the lanes of one link that are behind, all together, until the link has room (`gateway.turns`)."""
    limits: Limits = DEFAULT_LIMITS


async def export_lane(
    cluster: Cluster,
    lane: ExportLane,
    authorize: Callable[[], object],
    settings: ExportSettings,
    meter: LaneMeter | None = None,
    turns: Turns | None = None,
) -> None:
    """Serve `lane` until it is cancelled. Raises what ends it; the session tells the peer.

    `authorize` raises ShareNotAvailable as soon as the peer may not read the partition (any more): by its name, then by
    `lane.topic_id`. `turns` are those of its link.
    """
    authorize()
    try:
        with Turn(turns or Turns(settings.ahead_bytes)) as turn:
            await _export(cluster, lane, authorize, settings, meter, turn)
    except SourceLost:
        authorize()  # it tells of our log, and was found after a wait
        raise


async def _export(
    cluster: Cluster,
    lane: ExportLane,
    authorize: Callable[[], object],
    settings: ExportSettings,
    meter: LaneMeter | None,
    turn: Turn,
) -> None:
    opening = lane.opening
    topic = await cluster.topics.describe(opening.topic)
    lane.topic_id = topic.topic_id
    authorize()
    partition = _partition(topic, opening.partition)
    if opening.topic_id and opening.topic_id != topic.topic_id:
        raise await _recreated(cluster, partition, opening.start.value)
    log_range = await cluster.source.range(partition)
    first = await first_offset(cluster.source, partition, opening.start, log_range)
    authorize()
    expected_id = TopicId(opening.topic_id) if opening.topic_id else topic.topic_id
    epoch = opening.leader_epoch if opening.start.kind == "offset" else -1
    batch_bytes = 0
    if opening.topic_id and log_range.last_stable <= first:
        # The importer may read a loss from this range. It was asked for after the topic's id, and may be another's.
        log_range = (await _fetch(cluster, partition, first, expected_id, 1, 0.0, epoch)).range
    lane.open(topic.topic_id, first, log_range)
    position, ordinal = first, 0
    while True:
        credit_bytes = await _credit(cluster, partition, lane, authorize, settings)
        budget = min(max(credit_bytes, batch_bytes), settings.fetch_bytes)
        if lane.log_range is not None and position < lane.log_range.last_stable:
            await turn.begin()
        reach(Place.FETCH)
        fetched = await _fetch(cluster, partition, position, expected_id, budget, settings.wait_s, epoch)
        turn.took(len(fetched.data))
        reach(Place.FETCHED)
        authorize()
        found = segments(fetched, position, ordinal, budget, settings.limits, joined=lane.joins)
        segment = next(found, None)
        if _is_news(fetched, segment, lane.log_range):
            lane.status(fetched.range)
        if segment is not None:
            _check_sizes(partition, segment, opening.max_batch_bytes)
            reach(Place.SEND)
            await lane.send(segment)
            reach(Place.SENT)
            turn.end()
            position, ordinal, epoch = segment.next_source_offset, ordinal + segment.record_count, segment.leader_epoch
            batch_bytes = _batch_bytes(segment, credit_bytes)
            if meter is not None:
                meter.moved(segment.record_count, segment.size_bytes)
        del fetched, found, segment  # the next may be long in coming: a thousand idle lanes would keep their last bytes


async def _credit(
    cluster: Cluster, partition: Partition, lane: ExportLane, authorize: Callable[[], object], settings: ExportSettings
) -> int:
    """Wait for credit; an importer that gives none still hears of the log, so that it can tell what it will miss.

    An importer that is behind gives it back bit by bit: reading as little each time would cost both sides several times
    as much. So half a window is waited for, or half of what is read at once; but not for long, since a window may have
    become smaller.
    """
    least_bytes = max(1, min(lane.opening.credit_bytes, settings.fetch_bytes) // 2)
    while True:
        try:
            async with asyncio.timeout(settings.wait_s):
                return await lane.credit(least_bytes)
        except TimeoutError:
            least_bytes = 1
            log_range = await cluster.source.range(partition)
            authorize()
            lane.status(log_range)


async def _fetch(
    cluster: Cluster, partition: Partition, position: int, topic_id: TopicId, max_bytes: int, wait_s: float, epoch: int
) -> Fetched:
    """Raises SourceTrimmed, SourceTruncated, SourceRecreated where what would come next is not what followed."""
    try:
        fetched = await cluster.source.fetch(partition, position, topic_id, max_bytes, wait_s, epoch)
    except OffsetOutOfRange as error:
        if position < error.start:
            raise _trimmed(partition, position, topic_id, error.start, error.end) from error
        # Nothing says up to where the log that ends before the position is the one that was copied.
        loss = Loss(LossKind.TRUNCATED, error.start, error.end, error.start, topic_id)
        raise SourceTruncated(*partition, error.start, position, loss) from error
    except LogTruncated as error:
        loss = Loss(
            LossKind.TRUNCATED, error.start, error.end, error.diverges_at, topic_id, leader_epoch=error.diverging_epoch
        )
        raise SourceTruncated(*partition, error.diverges_at, position, loss) from error
    except TopicRecreated as error:
        raise await _recreated(cluster, partition, position) from error
    # Retention may pass between the broker's look at the offset and at the log: what is missing was not compacted.
    if fetched.range.start > position and _first_offset_in(fetched) > position:
        raise _trimmed(partition, position, topic_id, fetched.range.start, fetched.range.end)
    return fetched


def _first_offset_in(fetched: Fetched) -> int:
    return next((header.base_offset for header, _ in split_any(fetched.data)), fetched.range.start)


def _trimmed(partition: Partition, position: int, topic_id: TopicId, log_start: int, log_end: int) -> SourceTrimmed:
    return SourceTrimmed(*partition, position, log_start, Loss(LossKind.TRIMMED, log_start, log_end, topic_id=topic_id))


async def _recreated(cluster: Cluster, partition: Partition, position: int) -> SourceRecreated:
    topic = await cluster.topics.describe(partition.topic)
    log_range = await cluster.source.range(partition)
    loss = Loss(LossKind.RECREATED, log_range.start, log_range.end, topic_id=topic.topic_id)
    return SourceRecreated(*partition, 0, position, loss)


def _is_news(fetched: Fetched, segment: Segment | None, told: LogRange | None) -> bool:
    """Whether the log's range is to be told beside `segment`.

    Not where the segment shows it, and no transaction was known to be open. Nor where the log has become shorter: an
    answer with records may be older than what was told (`gateway.shared_fetches`), and of a log that was truncated one
    without records, or an error, will tell.
    """
    start, end, last_stable = fetched.range
    if segment is None or told is None:
        return True
    is_shown = start == told.start and segment.next_source_offset == end == last_stable and told.end == told.last_stable
    return not is_shown and start >= told.start and end >= told.end


def _partition(topic: Topic, number: int) -> Partition:
    if number >= topic.partitions:
        raise PartitionAbsent(topic.name, number, topic.partitions)
    return Partition(topic.name, number)


def _batch_bytes(segment: Segment, credit_bytes: int) -> int:
    """What a batch like the first of `segment` takes, 0 where there was credit for it.

    One may go however small the window is, but a cluster that is asked for many lanes at once gives nothing of a batch
    that is larger than what was asked for.
    """
    if segment.size_bytes <= credit_bytes:
        return 0
    size_bytes = next((len(batch) for _, batch in split(memoryview(segment.batches[0]))), 0)
    return size_bytes * 9 // 8 if size_bytes > credit_bytes else 0


def _check_sizes(partition: Partition, segment: Segment, limit_bytes: int) -> None:
    if not 0 < limit_bytes < segment.size_bytes:
        return  # nearly always: a batch is looked at only where there may be one that is too large
    largest = max((len(batch) for entry in segment.batches for _, batch in split(memoryview(entry))), default=0)
    if largest > limit_bytes:
        raise BatchTooLarge(*partition, segment.first_source_offset, largest, limit_bytes)
