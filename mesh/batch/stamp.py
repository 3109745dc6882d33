"""A batch made ready for its place in the destination log.

The payload is never touched: a stamp is a new header, and one CRC pass over both. A lane's sequences are its
ordinals modulo 2^31 (rule B), so a batch may span the wrap: its first sequence is stated, the rest follow from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple, TypeAlias

from crc32c import crc32c

Buffer: TypeAlias = bytes | bytearray | memoryview

SEQUENCES = 1 << 31
"""Sequences run from 0 to 2^31 (exclusive) and wrap."""
SEQUENCE_MASK = SEQUENCES - 1
NO_LEADER_EPOCH = -1

_HEADER_BYTES, _LENGTH_END = 61, 12
# base offset, length, leader epoch, magic, CRC: what the CRC does not cover
_OUTER = Struct(">qiibI")
# attributes, last offset delta, both timestamps as they are, producer id, epoch, base sequence, records count
_INNER = Struct(">hi16sqhii")
_KEPT = Struct(">21xhi16s14xi")
_CODEC_BITS = 0x07


class Producer(NamedTuple):
    id: int
    epoch: int


@dataclass(frozen=True, slots=True)
class StampedBatch:
    """A batch ready for its place: base offset 0, our producer, the sequence of its ordinal, CRC done."""

    header: bytes
    payload: Buffer
    producer: Producer
    base_sequence: int
    count: int

    @property
    def size_bytes(self) -> int:
        return len(self.header) + len(self.payload)


def sequence_of(ordinal: int) -> int:
    """The sequence of a lane's record: after 2^31 - 1 comes 0."""
    return ordinal & SEQUENCE_MASK


def next_sequence(base_sequence: int, count: int) -> int:
    """The sequence that follows `count` records from `base_sequence`."""
    return (base_sequence + count) & SEQUENCE_MASK


def restamp(batch: Buffer, producer: Producer, base_sequence: int) -> StampedBatch:
    """`batch` (whole, v2, validated) under a new header; the payload is a view of the input.

    Of the attributes only the codec stays: the partner's transactions and delete horizons are not ours. Record
    timestamps stay what they were, since they count from the base timestamp, which is kept.
    """
    return stamp(batch, memoryview(batch)[_HEADER_BYTES:], producer, base_sequence)


def stamp(header: Buffer, payload: Buffer, producer: Producer, base_sequence: int) -> StampedBatch:
    """As `restamp`, of a batch in two parts. What `header` says of its length and its CRC is not looked at."""
    attributes, last_delta, timestamps, count = _KEPT.unpack_from(header)
    inner = _INNER.pack(attributes & _CODEC_BITS, last_delta, timestamps, *producer, base_sequence, count)
    crc = crc32c(payload, crc32c(inner))
    outer = _OUTER.pack(0, _HEADER_BYTES - _LENGTH_END + len(payload), NO_LEADER_EPOCH, 2, crc)
    return StampedBatch(outer + inner, payload, producer, base_sequence, count)
