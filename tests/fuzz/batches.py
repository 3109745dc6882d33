"""Mutants of record batches, by the grammar of the format: header, codec, records, numbers.

A batch is made from parts (a header, records as lists of their fields) and damaged at one to three levels: a field of
the header, a field or a number of a record, the order of records, the uncompressed bytes, the compressed bytes, the
whole. Its length and CRC are mostly made right again: what a CRC refuses tests nothing behind it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache, lru_cache
from random import Random
from typing import NamedTuple, TypeAlias

import cramjam
import lz4.frame
import zstandard

from mesh.batch.codec import compress
from mesh.batch.header import HEADER_BYTES, LAYOUT, Codec
from tests.fuzz.mutate import EDGES, mutated
from tests.support.old_messages import OLD_SETS
from tests.support.records import TIMESTAMP_MS, resealed, varint

Parts: TypeAlias = list[bytes]
"""A record's fields, each as its bytes: attributes, timestamp delta, offset delta, key size, key, value size, value,
header count, and for each header key size, key, value size, value."""
_ATTRIBUTES, _TIME, _DELTA, _KEY_SIZE, _KEY, _VALUE_SIZE, _VALUE, _COUNT = range(8)
_HEADER_FIELDS = 13
# of LAYOUT: what the rest of the batch is read by
_MAGIC, _ATTRIBUTE_BITS, _LAST_DELTA, _BASE_TIME, _MAX_TIME, _RECORDS = 3, 5, 6, 7, 8, 12
_RIGHT_CRC = 0.97


class Shape(NamedTuple):
    """What a mutant is made of."""

    records: tuple[Parts, ...]
    codec: int
    attributes: int = 0
    producer_id: int = -1
    base_sequence: int = -1


def number(value: int, width: int = 1) -> bytes:
    """A zigzag number of 64 bits, padded to at least `width` bytes."""
    return varint(((value + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63), width)


def batch_mutant(random: Random) -> bytes:
    """A batch, mostly damaged, mostly with the length and the CRC that its bytes ask for."""
    shape = random.choice(shapes())
    records = [list(parts) for parts in shape.records]
    damage = random.random()
    if damage < 0.45:
        for _ in range(random.choice((1, 1, 2))):
            random.choice(_RECORD_DAMAGE)(records, random)
    plain = b"".join(map(_framed, records)) if damage > 0.12 else _misframed(records, random)
    if 0.45 <= damage < 0.55:
        plain = mutated(plain, random)
    payload = _packed(plain, shape.codec, random)
    if 0.5 < damage < 0.72:
        payload = _damaged_payload(payload, shape.codec, random)
    fields = _header(shape, len(records))
    if damage > 0.7 or random.random() < 0.1:
        _damage_header(fields, random)
    batch = LAYOUT.pack(*fields) + payload
    if damage > 0.95:
        batch = mutated(batch, random)
    if random.random() < _RIGHT_CRC and len(batch) >= HEADER_BYTES:
        batch = resealed(batch)
    return batch


@cache
def shapes() -> tuple[Shape, ...]:
    """Small batches of every kind, each with every codec."""
    plain = [record(delta, b"key-%d" % delta, b"value" * 3) for delta in range(3)]
    odd = [record(0, None, None), record(1, b"", b""), record(2, b"k", None, [("h", b"v"), ("h", None), ("é", b"")])]
    one = [record(0, None, b"x")]
    many = [record(delta, b"%d" % delta, b"same value again and again" * 2, time=-delta) for delta in range(40)]
    long = [record(0, b"k" * 200, b"v" * 300, [("header" * 12, b"w" * 130)]), record(1, None, b"z" * 9000)]
    marker = [record(0, b"\0\0\0\1", b"\0\0\0\0\0\0")]
    found = [
        Shape(tuple(records), codec, *rest)
        for codec in Codec
        for records, rest in (
            (plain, ()), (odd, ()), (one, ()), (many, ()), (long, ()), (plain, (0x10, 7, 3)), (marker, (0x30, 7, -1)),
            (plain, (0x40,)), (plain, (0x08,)), ([], ()),
        )
    ]  # fmt: skip
    return tuple(found)


def record(
    delta: int,
    key: bytes | None,
    value: bytes | None,
    headers: list[tuple[str, bytes | None]] | None = None,
    time: int = 0,
) -> Parts:
    parts = [b"\0", number(time), number(delta), *_sized(key), *_sized(value), number(len(headers or []))]
    for name, held in headers or []:
        parts += [*_sized(name.encode()), *_sized(held)]
    return parts


def _sized(data: bytes | None) -> tuple[bytes, bytes]:
    return (number(-1), b"") if data is None else (number(len(data)), data)


def _framed(parts: Parts) -> bytes:
    body = b"".join(parts)
    return number(len(body)) + body


def _misframed(records: list[Parts], random: Random) -> bytes:
    """The records, one of them behind a wrong size."""
    wrong = random.randrange(len(records)) if records else 0
    out = b""
    for index, parts in enumerate(records):
        body = b"".join(parts)
        size = len(body)
        if index == wrong:
            size = random.choice((size + 1, size - 1, -size, 0, random.choice(EDGES)))
        out += number(size, random.choice((1, 1, 2, 5, 6))) + body
    return out


# --- damage to records


def _edge_number(records: list[Parts], random: Random) -> None:
    if records:
        parts = random.choice(records)
        at = random.choice([_TIME, _DELTA, _KEY_SIZE, _VALUE_SIZE, _COUNT, random.randrange(len(parts))])
        parts[at] = number(random.choice(EDGES), random.choice((1, 1, 1, 2, 5, 6, 10, 11)))


def _near_number(records: list[Parts], random: Random) -> None:
    """A number one off, or the same in more bytes than it needs."""
    if records:
        parts = random.choice(records)
        at = random.choice([_TIME, _DELTA, _KEY_SIZE, _VALUE_SIZE, _COUNT])
        value = _read(parts[at]) + random.choice((-1, 0, 0, 1))
        parts[at] = number(value, random.choice((1, 2, 3, 4, 5, 6, 10, 11)))


def _changed_field(records: list[Parts], random: Random) -> None:
    if records:
        parts = random.choice(records)
        at = random.randrange(len(parts))
        parts[at] = mutated(parts[at], random)


def _other_bytes(records: list[Parts], random: Random) -> None:
    """Another key, value or header, rightly sized: what must be accepted, mostly."""
    if records:
        parts = random.choice(records)
        at = random.choice(range(_KEY_SIZE, _COUNT, 2))
        if len(parts) > _COUNT + 1 and random.random() < 0.5:
            at = random.randrange(_COUNT + 1, len(parts), 2)
        data = random.choice((None, b"", b"\xff\xfe", b"\0", "ü".encode(), b"\xed\xa0\x80", random.randbytes(9)))
        parts[at : at + 2] = list(_sized(data))


def _added_header(records: list[Parts], random: Random) -> None:
    if records:
        parts = random.choice(records)
        key = random.choice((b"h", b"", b"\xc3\xa9", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", None, b"n" * 70))
        parts += [*_sized(key), *_sized(random.choice((None, b"", b"v", b"v" * 200)))]
        if random.random() < 0.8:
            parts[_COUNT] = number(_read(parts[_COUNT]) + 1)


def _reordered(records: list[Parts], random: Random) -> None:
    kind = random.random()
    if records and kind < 0.3:
        records.append(list(random.choice(records)))
    elif records and kind < 0.6:
        del records[random.randrange(len(records))]
    elif records and kind < 0.8:
        random.shuffle(records)
    else:
        records.append(record(len(records), b"new", b"one"))


def _attribute(records: list[Parts], random: Random) -> None:
    if records:
        random.choice(records)[_ATTRIBUTES] = random.choice((b"\1", b"\x80", b"\xff", b"", b"\0\0", b"\x80\0"))


_RECORD_DAMAGE: tuple[Callable[[list[Parts], Random], None], ...] = (
    _edge_number, _near_number, _near_number, _changed_field, _other_bytes, _other_bytes, _added_header, _reordered,
    _attribute,
)  # fmt: skip


def _read(data: bytes) -> int:
    """The number in a field that may be damaged already."""
    raw = 0
    for shift, byte in enumerate(data[:10]):
        raw |= (byte & 127) << 7 * shift
    return (raw >> 1) ^ -(raw & 1)


# --- damage to what is compressed


def _packed(plain: bytes, codec: int, random: Random) -> bytes:
    """`plain` as one of the ways of writing the codec; the other ways are rarer."""
    if not codec or random.random() < 0.6:
        return _compressed(codec, plain)
    if codec == Codec.GZIP:
        return _gzip(plain, random)
    if codec == Codec.SNAPPY:
        return _snappy(plain, random)
    if codec == Codec.LZ4:
        return _lz4(plain, random)
    return _zstd(plain, random)


@lru_cache(4096)
def _compressed(codec: int, plain: bytes) -> bytes:
    return compress(codec, plain)


def _gzip(plain: bytes, random: Random) -> bytes:
    """Several members, levels, and the fields a header may have."""
    cut = random.randrange(len(plain) + 1)
    pieces = [plain] if random.random() < 0.5 else [plain[:cut], plain[cut:], b""]
    out = b""
    for piece in pieces:
        raw = zlib.compressobj(random.choice((0, 1, 9)), wbits=-15)
        body = raw.compress(piece) + raw.flush()
        flags = random.choice((0, 0, 4, 8, 16, 28, 2, 32))
        head = b"\x1f\x8b\x08" + bytes([flags]) + bytes(6)
        head += (
            (b"\2\0ab" if flags & 4 else b"") + (b"name\0" if flags & 8 else b"") + (b"note\0" if flags & 16 else b"")
        )
        head += zlib.crc32(head).to_bytes(4, "little")[:2] if flags & 2 else b""
        out += head + body + zlib.crc32(piece).to_bytes(4, "little") + (len(piece) & 0xFFFFFFFF).to_bytes(4, "little")
    return out


def _snappy(plain: bytes, random: Random) -> bytes:
    """Raw, or framed in blocks of another size, with another version, with empty blocks, twice over."""
    raw = bytes(cramjam.snappy.compress_raw(plain))
    if random.random() < 0.3:
        return raw
    step = random.choice((1, 7, 100, 1 << 15)) if len(plain) < 500 else 1 << 15
    blocks = [bytes(cramjam.snappy.compress_raw(plain[at : at + step])) for at in range(0, len(plain), step)]
    if random.random() < 0.2:
        blocks.insert(
            random.randrange(len(blocks) + 1), random.choice((b"", b"\0", bytes(cramjam.snappy.compress_raw(b""))))
        )
    version = random.choice((1, 1, 1, 0, 2, 1 << 31)).to_bytes(4, "big")
    head = b"\x82SNAPPY\x00" + version + random.choice((version, b"\0\0\0\1"))
    out = head + b"".join(len(block).to_bytes(4, "big") + block for block in blocks)
    return out + random.choice((b"", b"", b"", head, out))


def _lz4(plain: bytes, random: Random) -> bytes:
    """Other flags: linked blocks, checksums, a stated size, other block sizes, a frame that may be skipped."""
    frame = lz4.frame.compress(
        plain,
        block_size=random.choice((4, 5, 6, 7)),
        block_linked=random.random() < 0.2,
        content_checksum=random.random() < 0.3,
        block_checksum=random.random() < 0.3,
        store_size=random.random() < 0.3,
        compression_level=random.choice((0, 3)),
    )
    kind = random.random()
    if kind < 0.1:
        return b"\x50\x2a\x4d\x18\4\0\0\0skip" + bytes(frame)
    return bytes(frame) + (bytes(frame) if kind > 0.95 else b"")


def _zstd(plain: bytes, random: Random) -> bytes:
    """Frames with and without size and checksum, several, with frames to skip."""
    cut = random.randrange(len(plain) + 1)
    out = b""
    for piece in [plain] if random.random() < 0.5 else [plain[:cut], plain[cut:]]:
        writer = zstandard.ZstdCompressor(
            level=random.choice((1, 3, 19)) if len(plain) < 500 else 1,
            write_content_size=random.random() < 0.5,
            write_checksum=random.random() < 0.3,
        )
        out += writer.compress(piece)
        if random.random() < 0.2:
            out += b"\x5a\x2a\x4d\x18\3\0\0\0abc"
    return out


def _damaged_payload(payload: bytes, codec: int, random: Random) -> bytes:
    kind = random.random()
    if kind < 0.15:
        return payload + random.choice((b"\0", b"\0\0\0\0", payload, random.randbytes(5)))
    if kind < 0.35 and codec == Codec.LZ4 and len(payload) > 7:
        return _lz4_header(payload, random)
    return mutated(payload, random)


def _lz4_header(frame: bytes, random: Random) -> bytes:
    """Other flags in the descriptor, its checksum made right again where the length is that of ours."""
    from mesh.batch.old import _with_lz4_checksum

    changed = bytearray(frame)
    changed[random.choice((4, 5))] ^= 1 << random.randrange(8)
    return _with_lz4_checksum(bytes(changed))


# --- damage to the header


def _header(shape: Shape, count: int) -> list[int]:
    times = [TIMESTAMP_MS, TIMESTAMP_MS + 5]
    who = [shape.producer_id, 0, shape.base_sequence]
    return [77, 0, 3, 2, 0, shape.codec | shape.attributes, count - 1, *times, *who, count]


_FIELD_BITS = (64, 32, 32, 8, 0, 16, 32, 64, 64, 64, 16, 32, 32)


def _damage_header(fields: list[int], random: Random) -> None:
    for _ in range(random.choice((1, 1, 1, 2))):
        at = random.choice((_ATTRIBUTE_BITS, _ATTRIBUTE_BITS, _LAST_DELTA, _RECORDS, random.randrange(_HEADER_FIELDS)))
        if not _FIELD_BITS[at]:
            continue
        if at == _ATTRIBUTE_BITS:
            value = fields[at] ^ 1 << random.randrange(16)
        elif random.random() < 0.5:
            value = fields[at] + random.choice((-1, 1, 2))
        else:
            value = random.choice(EDGES)
        fields[at] = _fitting(value, _FIELD_BITS[at])
    if random.random() < 0.2:  # both, so that it stays dense: a count that the records do not have
        fields[_RECORDS] = _fitting(random.choice(EDGES), 32)
        fields[_LAST_DELTA] = _fitting(fields[_RECORDS] - 1, 32)


def _fitting(value: int, bits: int) -> int:
    """`value` cut to a signed number of so many bits."""
    return ((value + (1 << bits - 1)) & ((1 << bits) - 1)) - (1 << bits - 1)


# --- what a log of ours may hold


def old_mutant(random: Random) -> bytes:
    """A set of messages of the formats 0 and 1, damaged; the outer CRC mostly right again."""
    data = random.choice(list(OLD_SETS.values()))
    if random.random() < 0.2:
        data += random.choice(list(OLD_SETS.values()))
    changed = mutated(data, random)
    return _old_resealed(changed) if random.random() < 0.9 else changed


def _old_resealed(data: bytes) -> bytes:
    """Each message with the CRC that its bytes ask for."""
    out, at = bytearray(data), 0
    while at + 26 <= len(out):
        size = int.from_bytes(out[at + 8 : at + 12], "big", signed=True)
        end = at + 12 + size
        if size < 14 or end > len(out):
            break
        out[at + 12 : at + 16] = zlib.crc32(out[at + 16 : end]).to_bytes(4, "big")
        at = end
    return bytes(out)


def log_mutant(random: Random) -> bytes:
    """What a fetch of our own log may answer: batches and old messages, one after another, damaged, cut."""
    pieces = [
        batch_mutant(random) if random.random() < 0.7 else old_mutant(random) for _ in range(random.randrange(1, 4))
    ]
    joined = b"".join(pieces)
    return mutated(joined, random) if random.random() < 0.3 else joined
