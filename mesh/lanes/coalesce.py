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
"""More bytes than may become one batch."""
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
    size = records_count = codec = 0
    for each in batches:
        _, own_codec, own_count, _, _, records = each
        if records is None or len(records) > SMALL_BYTES.get(own_codec, 0) or own_count > FEW_RECORDS:
            own = NEVER
        else:
            own = len(records) + NUMBER_BYTES * own_count
        size, records_count = size + own, records_count + own_count
        if group and (own_codec != codec or size > most_bytes or records_count > most_records):
            yield group
            group, size, records_count = [], own, own_count
        codec = own_codec
        group.append(each)
    if group:
        yield group


def _joined(group: Sequence[Sound], joining: Joining) -> Iterator[Ready]:
    ready = _as_one(group, joining) if len(group) > 1 else None
    if ready is not None:
        yield ready
    else:
        for each in group:
            yield ready_of(each.batch, len(each.batch))


def _as_one(group: Sequence[Sound], joining: Joining) -> Ready | None:
    """None where they had better stay as they are."""
    # by columns: a producer without linger makes a batch of every record
    wholes, codecs, counts, bases, latest, parts = zip(*group, strict=True)
    codec, epoch = codecs[0], _epoch(group[-1])
    # Along a log they rise; so where both ends have the same, all have.
    if _epoch(group[0]) != epoch:
        return None
    try:
        records = merged(list(zip(parts, counts, bases, strict=True)))
    except ValueError:  # timestamps too far apart for one batch, or too many headers
        return None
    if len(records) > joining.most_bytes:
        return None
    source_bytes = sum(map(len, wholes))
    is_tried = len(records) > TRIED_BYTES * len(group) and source_bytes > HARDLY_SMALLER * len(records)
    payload = store(codec, records) if is_tried else compress(codec, records)
    if len(payload) > source_bytes * 5 // 4:
        return None
    header = _header(codec, sum(counts), bases[0], max(latest), epoch, len(payload))
    return Ready(header, payload, sum(counts), epoch, source_bytes, len(group))


def _header(
    codec: int, count: int, base_timestamp_ms: int, max_timestamp_ms: int, epoch: int, payload_bytes: int
) -> bytes:
    length = HEADER_BYTES - LENGTH_END + payload_bytes
    stated = codec, count - 1, base_timestamp_ms, max_timestamp_ms, *NO_PRODUCER, -1, count
    return LAYOUT.pack(0, length, epoch, MAGIC, 0, *stated)


def _epoch(batch: Sound) -> int:
    return int.from_bytes(batch.batch[LENGTH_END:MAGIC_AT], "big", signed=True)
