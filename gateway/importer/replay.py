"""Records that the log held already, compared with what the source gives for their places (design: recovery).

A crash can leave records in the log that no checkpoint covers. The source sends them again; each must be the record
that lies at its place, or the lane freezes: then log and map are of different stories.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.batch.encode import encode
from mesh.batch.header import HEADER_BYTES, parse_header, split
from mesh.batch.limits import Limits
from mesh.batch.records import Record, records_of
from mesh.cluster_errors import OffsetOutOfRange
from mesh.ids import LaneId, Partition
from mesh.lanes.coalesce import Ready, ready_of
from mesh.lanes.placement import Placement
from mesh.lanes.recovery import FreezeReason, LaneFrozen
from mesh.lanes.timestamps import NO_TIMESTAMP
from mesh.log import Fetched
from mesh.ports import Source

FETCH_BYTES = 1 << 20
WAIT_S = 5.0


class Replay:
    """Compares placements with the destination log, in order; one reader moves along with them."""

    def __init__(
        self, lane: LaneId, source: Source, partition: Partition, limits: Limits, *, may_lack_timestamps: bool = False
    ) -> None:
        self._lane = lane
        self._source = source
        self._partition = partition
        self._limits = limits
        self._may_lack_timestamps = may_lack_timestamps
        """Whether a record may have been written without its timestamp: that was decided by the clock of then."""
        self._page: Iterator[tuple[int, Record]] = iter(())
        self._next = 0

    async def compare(self, placement: Placement, batch: Ready) -> Ready | None:
        """Check the records of `batch` that are in the log; answer the others as a batch, None where there are none.

        Raises LaneFrozen where a record differs.
        """
        header = parse_header(batch.header)
        records = list(records_of(header, batch.payload, self._limits))
        index = 0
        for part in placement.present:
            for offset in range(part.destination_offset, part.destination_offset + part.records):
                if not self._same(records[index], await self._record_at(offset)):
                    raise self._frozen(placement.first_ordinal + index, offset)
                index += 1
        if index == len(records):
            return None
        return ready_of(encode(records[index:], codec=header.codec))._replace(leader_epoch=batch.leader_epoch)

    async def is_at(self, offset: int, record: Record) -> bool:
        """Whether the log holds just such a record at the offset. Raises LaneFrozen where it holds none."""
        return self._same(record, await self._record_at(offset))

    async def _record_at(self, offset: int) -> Record:
        found = self._find(offset) if offset >= self._next else None
        if found is None:
            try:
                fetched = await self._source.fetch(self._partition, offset, None, FETCH_BYTES, WAIT_S)
            except OffsetOutOfRange as error:  # cut or trimmed since it was asked
                raise LaneFrozen(str(self._lane), FreezeReason.TAIL_LOST, str(error)) from error
            self._page = self._records(fetched)
            found = self._find(offset)
        if found is None:
            raise LaneFrozen(str(self._lane), FreezeReason.TAIL_LOST, f"{self._partition} holds no record at {offset}")
        return found

    def _find(self, offset: int) -> Record | None:
        for at, record in self._page:
            self._next = at + 1
            if at >= offset:
                return record if at == offset else None
        return None

    def _records(self, fetched: Fetched) -> Iterator[tuple[int, Record]]:
        for header, batch in split(fetched.data):
            for record in records_of(header, batch[HEADER_BYTES:], self._limits):
                yield header.base_offset + record.offset_delta, record

    def _same(self, given: Record, held: Record) -> bool:
        if self._may_lack_timestamps and held.timestamp_ms == NO_TIMESTAMP:
            given = given._replace(timestamp_ms=NO_TIMESTAMP)
        return given[1:] == held[1:]  # all but the offset delta: timestamp, key, value, headers

    def _frozen(self, ordinal: int, offset: int) -> LaneFrozen:
        return LaneFrozen(
            str(self._lane),
            FreezeReason.DIFFERENT,
            f"the record of ordinal {ordinal} at {self._partition} offset {offset} is not the one the source gives",
        )
