"""Where a lane goes on: its stored state, what the log says, and the decision of `mesh.lanes.recovery`."""

from __future__ import annotations

import structlog

from gateway.failpoints import Place, reach
from gateway.importer.errors import DestinationRecreated, DestinationTopicUnfit
from mesh.batch.header import split
from mesh.cluster_errors import OffsetOutOfRange, PartitionAbsent
from mesh.ids import LaneId, Partition, TopicId
from mesh.lanes.checkpoint import Checkpoint, load_lane, prefix, producer_name, running_key
from mesh.lanes.progress import LaneProgress
from mesh.lanes.recovery import LaneFrozen, Resume, check_last_copy, decide_resume
from mesh.log import Witnesses
from mesh.offsets.map import OffsetMap
from mesh.ports import Cluster

log = structlog.get_logger()

# A writer that was still alive can make the witnesses disagree for a moment; after this many looks it is real.
LOOKS = 3
LOOK_S = 5.0


async def resume_lane(
    cluster: Cluster, lane: LaneId, partition: Partition, subscribed_ms: int = 0
) -> tuple[LaneProgress, Resume] | None:
    """The lane of the subscription made then as its log and its checkpoint agree, None where it has not begun.

    What a gateway that had not heard of a deletion stored of an earlier subscription of the name is forgotten; only the
    owner of a lane can store anything of it, so nothing newer is.

    Raises LaneFrozen with the evidence where they do not, DestinationRecreated, LaneStateDamaged, TopicAbsent,
    PartitionAbsent.
    """
    kept = await cluster.lanes.load(prefix(lane))
    stored = load_lane(lane, kept)
    if stored is None:
        return None
    checkpoint, offset_map = stored
    if not checkpoint.is_of(subscribed_ms):
        log.warning("state of a deleted subscription cleared", lane=str(lane))
        await cluster.lanes.put(dict.fromkeys(kept.keys() - {running_key(lane)}))
        return None
    for look in range(1, LOOKS + 1):
        reach(Place.RESUME)
        witnesses = await cluster.destination.witness(partition, checkpoint.producer, checkpoint.destination_offset)
        if witnesses.topic_id and checkpoint.destination_topic_id not in {"", witnesses.topic_id}:
            raise DestinationRecreated(partition.topic, checkpoint.destination_topic_id, witnesses.topic_id)
        found = decide_resume(lane, checkpoint, witnesses)
        if isinstance(found, Resume):
            found = await _history_of_ours(cluster, lane, partition, checkpoint, offset_map, witnesses) or found
        if isinstance(found, Resume):
            progress = LaneProgress(lane, checkpoint, offset_map)
            progress.destination_topic_id = checkpoint.destination_topic_id or witnesses.topic_id or ""
            progress.reopen(found)
            reach(Place.RESUMED)
            return progress, found
        if not found.reason.may_pass or look == LOOKS:
            raise found
    raise AssertionError("unreachable")


async def _history_of_ours(
    cluster: Cluster,
    lane: LaneId,
    partition: Partition,
    checkpoint: Checkpoint,
    offset_map: OffsetMap,
    witnesses: Witnesses,
) -> LaneFrozen | None:
    """Whether the last copy that the map knows is still there: a log that was truncated may have grown beyond it."""
    last = offset_map.destination_offset - 1
    if not offset_map.records or last < witnesses.range.start:
        return None
    try:
        fetched = await cluster.source.fetch(partition, last, None, 1, LOOK_S)
    except OffsetOutOfRange:
        return None  # retention, or what the next look finds
    header = next((header for header, _ in split(fetched.data) if header.next_offset > last), None)
    return None if header is None else check_last_copy(lane, checkpoint, offset_map.destination_offset, header)


async def begin_lane(
    cluster: Cluster,
    lane: LaneId,
    partition: Partition,
    topic_id: TopicId,
    first_source_offset: int,
    subscribed_ms: int = 0,
) -> LaneProgress:
    """A new lane, with a producer of its own; its checkpoint is durable before anything is appended."""
    log_end, destination_id = await destination_of(cluster, partition)
    producer = await cluster.destination.producer(producer_name(lane))
    # From the question on, appends are for the topic that was asked, not for another that is created under its name.
    asked = await cluster.destination.witness(partition, producer, log_end)
    log_end, destination_id = asked.range.end, asked.topic_id or destination_id
    progress = LaneProgress.begin(lane, topic_id, first_source_offset, log_end, producer, destination_id)
    progress.subscribed_ms = subscribed_ms
    checkpoint, entries = progress.to_store()
    await cluster.lanes.put(entries)
    progress.stored(checkpoint)
    return progress


async def destination_of(cluster: Cluster, partition: Partition) -> tuple[int, TopicId]:
    """Where the destination log ends, and which incarnation of its topic it is of. Raises DestinationTopicUnfit."""
    topic_id = (await cluster.topics.describe(partition.topic)).topic_id
    try:
        return (await cluster.source.range(partition)).end, topic_id
    except PartitionAbsent as error:
        raise DestinationTopicUnfit(partition.topic, str(error)) from error
