"""A source that loses what it held, and what a mirror must have made of it: an account kept beside both logs."""

from __future__ import annotations

from dataclasses import dataclass, field

from mesh.batch.header import HEADER_BYTES, split
from mesh.batch.records import records_of
from mesh.ids import LaneId, Partition
from mesh.lanes.checkpoint import load_former, load_lane, load_ledger, prefix
from mesh.lanes.ledger import LedgerEntry
from mesh.offsets.answers import Exact, Foreign, InGap
from mesh.offsets.map import OffsetMap
from mesh.ports import Cluster
from mesh.spans import GapReason
from tests.support.batches import plain_batch


@dataclass
class Account:
    """What was produced, where its copy must be, and what was lost. Everything produced is copied before it is lost,
    but for what `lost` is told of."""

    written: int = 0
    held: dict[int, bytes] = field(default_factory=dict)
    """Source offset to value, of the present history of the present incarnation."""
    places: dict[int, int] = field(default_factory=dict)
    """Source offset to destination offset."""
    copies: list[bytes] = field(default_factory=list)
    """Values by destination offset."""
    lost: set[int] = field(default_factory=set)
    orphans: set[int] = field(default_factory=set)
    """Destination offsets of records that the source has lost, in this incarnation."""

    def values(self, count: int) -> list[bytes]:
        self.written += count
        return [b"value-%d" % number for number in range(self.written - count, self.written)]

    def produced(self, offset: int, values: list[bytes], *, copied: bool = True) -> None:
        for number, value in enumerate(values, offset):
            self.held[number] = value
            if copied:
                self.places[number] = len(self.copies)
                self.copies.append(value)
            else:
                self.lost.add(number)

    def truncated(self, end: int) -> None:
        for offset in [offset for offset in self.held if offset >= end]:
            del self.held[offset]
            self.lost.discard(offset)
            if (place := self.places.pop(offset, None)) is not None:
                self.orphans.add(place)

    def recreated(self) -> None:
        self.held.clear()
        self.places.clear()
        self.lost.clear()
        self.orphans.clear()


async def values_of(cluster: Cluster, partition: Partition) -> list[bytes]:
    """Every record of the partition, from its beginning; it must be dense."""
    start, end, _ = await cluster.source.range(partition)
    found: dict[int, bytes] = {}
    position = start
    while position < end:
        fetched = await cluster.source.fetch(partition, position, None, 1 << 20, 1)
        for header, batch in split(fetched.data):
            for record in records_of(header, batch[HEADER_BYTES:]):
                found[header.base_offset + record.offset_delta] = record.value or b""
            position = header.next_offset
    return [found[offset] for offset in range(start, end)]


async def stored(cluster: Cluster, lane: LaneId) -> tuple[OffsetMap, tuple[LedgerEntry, ...]]:
    """What is durable of the lane: its map and its ledger; every former incarnation must load, too."""
    entries = await cluster.lanes.load(prefix(lane))
    found = load_lane(lane, entries)
    assert found is not None, "the lane has not begun"
    for number in range(found[0].incarnation):
        load_former(lane, entries, number)
    return found[1], load_ledger(lane, entries)


async def check_account(account: Account, cluster: Cluster, lane: LaneId, partition: Partition) -> None:
    """The copy holds each record once, in order, and the map gives each offset its one answer."""
    assert await values_of(cluster, partition) == account.copies
    offset_map, _ = await stored(cluster, lane)
    for offset in sorted(account.held):
        if offset < offset_map.start:
            continue
        answer = offset_map.translate(offset)
        if offset in account.places:
            assert answer == Exact(account.places[offset]), (offset, answer)
            assert offset_map.translate_back(account.places[offset]) == Exact(offset)
        else:
            assert isinstance(answer, InGap), (offset, answer)
            assert answer.reason is GapReason.LOST
    for place in account.orphans:
        if offset_map.destination_start <= place < offset_map.destination_offset:
            assert isinstance(offset_map.translate_back(place), Foreign)


def batch_of_values(values: list[bytes]) -> bytes:
    return plain_batch(values)
