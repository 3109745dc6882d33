"""What a group would read after moving, beside what it would read without: a look at both logs that changes nothing.

Both sides are read from where the group stands, and where it would stand, to where the mirror has come, and compared
by the digests of their records: independently of the map beyond the two places where reading begins.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from gateway.groups.moving import Direction, Lane, Move, MovedPosition, lanes_of
from gateway.services import DigestPage, Services
from gateway.verify.decoder import Record, committed, read_batches, read_records
from gateway.verify.digests import check_page, digest_page
from mesh.ids import Partition
from mesh.ports import Source
from mesh.shares import OnTimestamp

PAGE_RECORDS = 5000
MOST_RECORDS = 100_000
"""Compared of each partition: a group that is further behind is compared for its next records only."""
SHOWN_KEY = 64

Page = Callable[[int], Awaitable[DigestPage]]
"""The next page of one side from a position on; without records where its end is reached."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One record that the group reads next, on both sides; None where a side has none."""

    source_offset: int | None
    destination_offset: int | None
    timestamp_ms: int | None
    key: str | None
    source_digest: str | None
    destination_digest: str | None


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """One partition. `different` counts records that are not the same on both sides, at the same place in the order."""

    position: MovedPosition
    source_left: int = 0
    destination_left: int = 0
    different: int = 0
    is_whole: bool = True
    """Whether everything that is mirrored was compared."""
    first: tuple[Pair, ...] = field(default=())

    @property
    def is_equal(self) -> bool:
        return self.different == 0 and self.source_left == self.destination_left


async def rehearse(services: Services, move: Move, limit: int) -> AsyncIterator[Rehearsed]:
    """Each partition with an answer; the first `limit` records of each are shown. Raises as `gateway.verify` does."""
    assert move.direction is Direction.FORWARD
    lanes = await lanes_of(services.cluster, services.lanes, move.subscription)
    for each in move.positions:
        if each.destination_position is not None:
            yield await _rehearse(services, move, each, lanes[each.lane], limit)


async def _rehearse(services: Services, move: Move, position: MovedPosition, lane: Lane, limit: int) -> Rehearsed:
    source_end, destination_end = lane.view.position, lane.view.destination_offset
    subscription, (_, topic, number) = move.subscription, position.lane
    assert position.source_position is not None
    assert position.destination_position is not None
    bare = subscription.on_timestamp is OnTimestamp.OVERRIDE

    async def source_page(at: int) -> DigestPage:
        if at >= source_end:
            return DigestPage([], [], at)
        page = await services.links.digests(
            subscription.peer, subscription.share, topic, number, at, source_end, PAGE_RECORDS, bare=bare
        )
        check_page(page, at, source_end, bare=bare)
        return page

    async def destination_page(at: int) -> DigestPage:
        return await digest_page(services.cluster.source, lane.destination, at, destination_end, PAGE_RECORDS)

    source = await _read(source_page, position.source_position, source_end)
    destination = await _read(destination_page, position.destination_position, destination_end)
    _leave_timestamps_out(source, destination)
    different = sum(one != other for one, other in zip(source.digests, destination.digests, strict=False))
    is_whole = source.is_whole and destination.is_whole
    records = await first_records(services.cluster.source, lane.destination, position.destination_position, limit)
    records = [record for record in records if record[0] < destination_end]
    counts = (len(source.offsets), len(destination.offsets))
    return Rehearsed(position, *counts, different, is_whole, _pairs(source, destination, records, limit))


@dataclass(slots=True)
class _Side:
    offsets: list[int] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    bare: list[bytes] = field(default_factory=list)
    is_whole: bool = False


async def _read(page_at: Page, start: int, end: int) -> _Side:
    """At most MOST_RECORDS from `start` on."""
    side, position = _Side(), start
    while position < end and len(side.offsets) < MOST_RECORDS:
        page = await page_at(position)
        if page.next_source_offset <= position:
            break
        side.offsets += page.offsets
        side.digests += page.digests
        side.bare += page.bare
        position = page.next_source_offset
    side.is_whole = position >= end
    del side.offsets[MOST_RECORDS:], side.digests[MOST_RECORDS:]
    return side


def _leave_timestamps_out(source: _Side, destination: _Side) -> None:
    """Of records that were copied without theirs, as the subscription allows."""
    for at, (bare, copied) in enumerate(zip(source.bare, destination.digests, strict=False)):
        if at < len(source.digests) and bare == copied:
            source.digests[at] = bare


def _pairs(source: _Side, destination: _Side, records: list[Record], limit: int) -> tuple[Pair, ...]:
    contents = {record[0]: record for record in records}
    pairs = []
    for at in range(min(limit, max(len(source.offsets), len(destination.offsets)))):
        offset = destination.offsets[at] if at < len(destination.offsets) else None
        record = contents.get(offset) if offset is not None else None
        pairs.append(
            Pair(
                source.offsets[at] if at < len(source.offsets) else None,
                offset,
                record[1] if record else None,
                _shown_key(record[2]) if record else None,
                source.digests[at].hex() if at < len(source.digests) else None,
                destination.digests[at].hex() if at < len(destination.digests) else None,
            )
        )
    return tuple(pairs)


def _shown_key(key: bytes | None) -> str | None:
    if key is None:
        return None
    try:
        text = key.decode()
    except UnicodeDecodeError:
        text = f"0x{key.hex()}"
    return text if len(text) <= SHOWN_KEY else f"{text[:SHOWN_KEY]}…"


async def first_records(source: Source, partition: Partition, position: int, limit: int) -> list[Record]:
    """At most `limit` visible records from `position` on; fewer where the log ends."""
    found: list[Record] = []
    while len(found) < limit:
        fetched = await source.fetch(partition, position, None, 1 << 20, 0)
        batches = list(read_batches(fetched.data))
        if not batches:
            break
        for batch in committed(batches, fetched.aborted, fetched.range.last_stable):
            if batch.last_offset >= position:
                found += [record for record in read_records(batch) if record[0] >= position]
        position = batches[-1].last_offset + 1
    return found[:limit]
