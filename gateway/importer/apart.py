"""Whether copies that no checkpoint covers are apart from what the source has left, when retention has passed them.

A crash can leave copies of which only this is known: they are of the visible records from the checkpoint's position on,
in order, without a hole. If the source still has one of them, the first record that it has left is among them. So if
that record is not among the copies, none is, and the lane may go on behind them without copying anything twice. The
same content does not prove the same record, but it forbids the opposite: then the lane freezes.
"""

from __future__ import annotations

import asyncio

from gateway.importer.errors import LaneUnanswered
from gateway.importer.replay import Replay
from gateway.link.lanes import ImportLane
from mesh.batch.header import HEADER_BYTES, parse_header
from mesh.batch.limits import Limits
from mesh.batch.records import Record, records_of
from mesh.batch.validate import RecordChecker, sound
from mesh.ids import LaneId, Partition
from mesh.lanes.progress import LaneProgress
from mesh.lanes.recovery import FreezeReason, LaneFrozen
from mesh.link.errors import LaneEnded
from mesh.ports import Source


async def first_left(
    lane: ImportLane, lane_id: LaneId, limits: Limits, check_records: RecordChecker, timeout_s: float
) -> Record | None:
    """The first visible record from where `lane` was opened, None where there is none. Raises LaneUnanswered."""
    try:
        async with asyncio.timeout(timeout_s):
            opened = await lane.opened()
            position = opened.first_source_offset
            while position < opened.last_stable:
                segment = await lane.next()
                if segment.batches:
                    first = next(sound(memoryview(segment.batches[0]), limits, check_records))
                    return next(iter(records_of(parse_header(first.batch), first.batch[HEADER_BYTES:], limits)))
                lane.credit(segment.weight_bytes)
                position = segment.next_source_offset
    except (TimeoutError, LaneEnded) as error:  # retention may have gone on: the lane is asked anew from its position
        raise LaneUnanswered(str(lane_id), timeout_s) from error
    return None


async def require_apart(
    progress: LaneProgress, left: Record | None, source: Source, partition: Partition, limits: Limits, log_start: int
) -> None:
    """Raises LaneFrozen where the record that the source has left first may be among the copies."""
    if left is None:
        return
    replay = Replay(progress.lane, source, partition, limits, may_lack_timestamps=True)
    for part in progress.present:
        for offset in range(part.destination_offset, part.destination_offset + part.records):
            if await replay.is_at(offset, left):
                raise unmatched(progress, log_start, f"; its first record may be the one copied to {offset}")


def unmatched(progress: LaneProgress, log_start: int, why: str = "") -> LaneFrozen:
    return LaneFrozen(
        str(progress.lane),
        FreezeReason.UNMATCHED,
        f"the destination log holds {progress.replaying} records after the checkpoint (source offset "
        f"{progress.position}), and the source begins at {log_start} now{why}",
    )
