"""Going on after a loss at the source, where the operator's policy is to: each way is one put of the lanes state.

A. The gap, the cut or the new incarnation is durable, with its entry in the ledger, before the lane is opened again.
   A kill before the put changes nothing, since the provider says the same again; one after it finds the lane gone on.
B. The lane is at rest and its log was just asked: `progress` is what recovery made of both.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.importer.recovery import destination_of
from mesh.ids import LaneId, Partition, TopicId
from mesh.lanes.checkpoint import load_ledger, prefix, producer_name, recorded, succession
from mesh.lanes.ledger import LedgerEntry
from mesh.lanes.losses import Loss, LossKind, LostRange
from mesh.lanes.progress import LaneProgress
from mesh.ports import Cluster

Entries = Mapping[str, bytes | None]


async def go_on(
    cluster: Cluster, partition: Partition, progress: LaneProgress, loss: Loss, lost: LostRange, now_ms: int
) -> None:
    """Make the lane go on after what it lost. Copies that no checkpoint covers are known to be none of what is left."""
    match loss.kind:
        case LossKind.TRIMMED:
            entries = _pass_over(progress, loss, lost, now_ms)
        case LossKind.TRUNCATED:
            entries = _cut_back(progress, loss, lost, now_ms)
        case LossKind.RECREATED:
            entries = await _begin_anew(cluster, partition, progress, loss, lost, now_ms)
    await cluster.lanes.put(entries)


def _pass_over(progress: LaneProgress, loss: Loss, lost: LostRange, now_ms: int) -> Entries:
    copies, unmapped = (progress.map.destination_offset, progress.own_end), progress.replaying
    progress.disown()
    progress.pass_over(loss.log_start)
    return _with_entry(progress, _entry(progress, lost, copies, now_ms, unmapped))


def _cut_back(progress: LaneProgress, loss: Loss, lost: LostRange, now_ms: int) -> Entries:
    copies, unmapped = (progress.place_of(lost.source_offset), progress.own_end), progress.replaying
    progress.cut_back(lost.source_offset, knows_epochs=loss.leader_epoch >= 0)
    if loss.log_start > lost.source_offset:
        progress.pass_over(loss.log_start)
    return _with_entry(progress, _entry(progress, lost, copies, now_ms, unmapped))


def _with_entry(progress: LaneProgress, entry: LedgerEntry) -> Entries:
    progress.losses += 1
    _, entries = progress.to_store()
    return entries | recorded(progress.lane, progress.losses - 1, entry)


async def _begin_anew(
    cluster: Cluster, partition: Partition, former: LaneProgress, loss: Loss, lost: LostRange, now_ms: int
) -> Entries:
    assert former.durable is not None, "the former incarnation has a checkpoint"
    copies = (former.map.destination_start, former.own_end)
    entry = _entry(former, lost, copies, now_ms, former.replaying)
    log_end, destination_id = await destination_of(cluster, partition)
    producer = await cluster.destination.producer(producer_name(former.lane))
    progress = LaneProgress.begin(
        former.lane, TopicId(loss.topic_id), loss.log_start, log_end, producer, destination_id
    )
    progress.incarnation, progress.losses = former.incarnation + 1, former.losses + 1
    progress.subscribed_ms = former.subscribed_ms
    checkpoint, _ = progress.to_store()
    entries = succession(former.lane, former.durable, checkpoint, progress.map)
    return entries | recorded(former.lane, former.losses, entry)


def _entry(
    progress: LaneProgress, lost: LostRange, copies: tuple[int, int], now_ms: int, unmapped: int = 0
) -> LedgerEntry:
    return LedgerEntry(
        lost.kind,
        lost.source_offset,
        lost.next_source_offset,
        *copies,
        max(now_ms, 0),
        progress.topic_id,
        progress.incarnation,
        unmapped,
    )


async def was_before(cluster: Cluster, lane: LaneId, topic_id: str) -> bool:
    """Whether the source topic had this id before its present one: a broker that is behind may still speak of it."""
    ledger = load_ledger(lane, await cluster.lanes.load(prefix(lane)))
    return any(entry.kind is LossKind.RECREATED and entry.topic_id == topic_id for entry in ledger)
