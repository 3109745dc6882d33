"""Fewer and larger batches for the append: where batches are cut is free (rule C), but each one costs. Pure.

Small batches that lie next to each other become one with the same records in the same order, compressed as they were.
Only what has arrived together is joined; nothing is waited for.

A. The records that come out are those that went in, byte for byte but for their numbers within their batch.
B. A joined batch has one codec and one leader epoch. A batch that is not small, or of gzip, stays as it is.
C. What comes out is larger than what went in by a quarter at most, otherwise that stays as it is: nobody can make us
   hold much more than he has sent.
D. No more uncompressed records are held than go into one joined batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mesh.batch.codec import compress, store
from mesh.batch.encode import NO_PRODUCER
from mesh.batch.header import HEADER_BYTES, LAYOUT, LENGTH_END, MAGIC, MAGIC_AT, Codec, parse_header
from mesh.batch.native import IS_COMPILED, merged
from mesh.batch.stamp import Buffer
from mesh.batch.validate import Sound

JOINED_BYTES = 512 * 1024
"""What is wanted. Twice as much saves few requests more, and costs memory for each that is under way."""
SMALL_BYTES: Mapping[int, int] = {
    Codec.NONE: 128 * 1024,
    Codec.SNAPPY: 64 * 1024,
    Codec.LZ4: 64 * 1024,
    Codec.ZSTD: 32 * 1024,
}
"""Uncompressed. Up to here it costs less to compress the records again than to append them on their own."""
FEW_RECORDS = 1 << 31 if IS_COMPILED else 32
"""In Python a record costs about 2 us, and with more of them a batch costs less if it is appended as it is."""
FRAMING_BYTES = 1024
"""What may come to uncompressed records: the header, and the framing of a codec that cannot make them smaller."""

HARDLY_SMALLER, TRIED_BYTES = 0.98, 4096
"""Where producers won no more than this by compressing so many bytes at a time, nothing is sought again."""
NEVER = 1 << 62
NUMBER_BYTES = 4
"""By how much the numbers of a record usually grow at most."""


@dataclass(frozen=True, slots=True)
class Joining:
    """What bounds a joined batch."""

    wanted_bytes: int
    """Of uncompressed records; 0: nothing is joined."""
    max_batch_bytes: int
    """What the log takes."""
    max_records: int

    @property
    def most_bytes(self) -> int:
        """Of uncompressed records: brokers judge a batch by its size as they keep it, in whichever codec."""
        return self.max_batch_bytes * 15 // 16 - FRAMING_BYTES


NOTHING_JOINED = Joining(0, 0, 0)


class Ready(NamedTuple):
    """A batch to be stamped and appended. The length and the CRC in its header may be wrong."""

    header: Buffer
    payload: Buffer
    records_count: int
    leader_epoch: int
    """Of the source batch that ends where it does."""
    source_bytes: int
    """What it came as; 0 where it was made here."""
    sources: int
    """Of how many batches it was made."""

    @property
    def batch(self) -> memoryview:
        """All of it, in one piece."""
        return memoryview(b"".join((self.header, self.payload)))


def ready_of(batch: Buffer, source_bytes: int = 0) -> Ready:
    header, view = parse_header(batch), memoryview(batch)
    parts = view[:HEADER_BYTES], view[HEADER_BYTES:]
    return Ready(*parts, header.records_count, header.leader_epoch, source_bytes, 1)


def coalesce(batches: Iterable[Sound], joining: Joining) -> Iterator[Ready]:
    """`batches`, one after another in a lane, as few as they can be."""
    for group in _groups(batches, joining):
        yield from _joined(group, joining)


def _groups(batches: Iterable[Sound], joining: Joining) -> Iterator[list[Sound]]:
    """Neighbours that may become one batch."""
    most_bytes, most_records = min(joining.wanted_bytes, joining.most_bytes), joining.max_records
    group: list[Sound] = []
    size = records = 0
    for each in batches:
        own = _size(each)
        size, records = size + own, records + each.records_count
        if group and (each.codec != group[0].codec or size > most_bytes or records > most_records):
            yield group
            group, size, records = [], own, each.records_count
        group.append(each)
    if group:
        yield group


def _size(batch: Sound) -> int:
    """What it takes of the bytes that may become one: more than there are where it is to stay as it is."""
    records = batch.records
    if records is None or len(records) > SMALL_BYTES.get(batch.codec, 0) or batch.records_count > FEW_RECORDS:
        return NEVER
    return len(records) + NUMBER_BYTES * batch.records_count


def _joined(group: Sequence[Sound], joining: Joining) -> Iterator[Ready]:
    ready = _as_one(group, joining) if len(group) > 1 else None
    if ready is not None:
        yield ready
    else:
        for each in group:
            yield ready_of(each.batch, len(each.batch))


def _as_one(group: Sequence[Sound], joining: Joining) -> Ready | None:
    """None where they had better stay as they are."""
    first, epoch = group[0], _epoch(group[-1])
    # Along a log they rise; so where both ends have the same, all have.
    if _epoch(first) != epoch:
        return None
    try:
        records = merged(
            [(each.records, each.records_count, each.base_timestamp_ms) for each in group if each.records is not None]
        )
    except ValueError:  # timestamps too far apart for one batch, or too many headers
        return None
    if len(records) > joining.most_bytes:
        return None
    source_bytes = sum(len(each.batch) for each in group)
    is_tried = len(records) > TRIED_BYTES * len(group) and source_bytes > HARDLY_SMALLER * len(records)
    payload = store(first.codec, records) if is_tried else compress(first.codec, records)
    if len(payload) > source_bytes * 5 // 4:
        return None
    count, latest_ms = sum(each.records_count for each in group), max(each.max_timestamp_ms for each in group)
    header = _header(first.codec, count, first.base_timestamp_ms, latest_ms, epoch, len(payload))
    return Ready(header, payload, count, epoch, source_bytes, len(group))


def _header(
    codec: int, count: int, base_timestamp_ms: int, max_timestamp_ms: int, epoch: int, payload_bytes: int
) -> bytes:
    length = HEADER_BYTES - LENGTH_END + payload_bytes
    stated = codec, count - 1, base_timestamp_ms, max_timestamp_ms, *NO_PRODUCER, -1, count
    return LAYOUT.pack(0, length, epoch, MAGIC, 0, *stated)


def _epoch(batch: Sound) -> int:
    return int.from_bytes(batch.batch[LENGTH_END:MAGIC_AT], "big", signed=True)
