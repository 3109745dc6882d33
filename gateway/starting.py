"""Where a lane, or a reader, begins in a partition."""

from __future__ import annotations

from mesh.ids import Partition
from mesh.log import LogRange
from mesh.ports import Source
from mesh.shares import StartAt


async def first_offset(source: Source, partition: Partition, start: StartAt, log_range: LogRange) -> int:
    """An offset is taken as it is, so that a position outside the log is reported."""
    match start.kind:
        case "earliest":
            return log_range.start
        case "latest":
            return log_range.last_stable
        case "timestamp":
            found = await source.offset_at(partition, start.value)
            return log_range.last_stable if found is None else found
        case _:
            return start.value
