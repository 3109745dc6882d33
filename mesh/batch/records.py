"""The records of a batch: a strict parser.

Strategy: one walk (`_walk`) finds where each record's parts lie and judges all of it; it makes no objects, so that
hostile data cannot cost more memory than it has. `check_records` is the walk alone, `iter_records` takes the
parts out. It is stricter than the Java client, which other clients differ from in these points:
A. A size is -1 (null) or not negative; Java takes any negative size as null.
B. A number fits its type: 32 bits in at most 5 bytes, timestamps 64 bits in at most 10; Java drops higher bits.
C. A record's attributes are 0: no bit is defined, and clients read the byte in two ways.
D. Header keys are UTF-8; Java replaces what is not.
E. A timestamp does not overflow its 64 bits.
F. A batch has at most MAX_HEADERS headers, a record MAX_RECORD_HEADERS: of two bytes of input each, they would cost
   seconds, and seventy bytes of memory where they become objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from mesh.batch.codec import decompress
from mesh.batch.errors import BatchPoison
from mesh.batch.header import BatchHeader
from mesh.batch.limits import DEFAULT_LIMITS, Limits
from mesh.batch.stamp import Buffer

Headers: TypeAlias = tuple[tuple[str, bytes | None], ...]

MAX_HEADERS = 1_000_000
MAX_RECORD_HEADERS = 100_000

_MAX_I64 = (1 << 63) - 1
_MIN_I64 = -1 << 63
_VARINT_BITS = 32
_VARLONG_BITS = 64

#   record: varint length, i8 attributes, varlong timestamp delta, varint offset delta, varint key size (-1 null), key,
#   varint value size (-1 null), value, varint header count, (varint key size, key, varint value size, value)*


class Record(NamedTuple):
    offset_delta: int
    """From the base offset of its batch; what encodes records numbers them anew."""
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


_Place: TypeAlias = tuple[int, int, int, int, int, int, int, int]
"""Where a record's parts lie in the uncompressed bytes: offset delta, timestamp, key at and size, value at and size,
headers at and count. A size of -1 is null. A plain tuple, because one is made for every record."""


def records_of(header: BatchHeader, payload: Buffer, limits: Limits = DEFAULT_LIMITS) -> Iterator[Record]:
    """The records of a batch whose offsets may have holes, from the bytes after its header.

    Raises BatchPoison, and what `decompress` raises. A batch without records has nothing to decompress.
    """
    if header.records_count == 0 and not payload:
        return iter(())
    return iter_records(header, decompress(header.codec, payload, limits))


def iter_records(header: BatchHeader, payload: bytes, *, dense: bool = False) -> Iterator[Record]:
    """The records in `payload` (uncompressed), each judged before it is yielded. Raises BatchPoison.

    Their offset deltas are 0, 1, 2 … where `dense`, otherwise they rise up to the header's last one.
    """
    for delta, timestamp, key_at, key_size, value_at, value_size, headers_at, header_count in _walk(
        header, payload, dense
    ):
        yield Record(
            delta,
            timestamp,
            None if key_size < 0 else payload[key_at : key_at + key_size],
            None if value_size < 0 else payload[value_at : value_at + value_size],
            _headers(payload, headers_at, header_count) if header_count else (),
        )


def check_records(header: BatchHeader, payload: bytes) -> None:
    """Nothing, if `payload` (uncompressed) is exactly the header's records, dense; otherwise BatchPoison."""
    for _ in _walk(header, payload, True):
        pass


def _walk(header: BatchHeader, data: bytes, dense: bool) -> Iterator[_Place]:
    count, base, last = header.records_count, header.base_timestamp_ms, header.last_offset_delta
    index, pos, delta, headers_left = 0, 0, -1, MAX_HEADERS
    if count < 0:
        raise BatchPoison(0, 0, f"the header states {count} records")
    try:
        for index in range(count):
            # one- and two-byte numbers are taken in place, since they are nearly all of them
            size = data[pos]
            pos += 1
            if size > 127:
                if (byte := data[pos]) < 128:
                    size, pos = size & 127 | byte << 7, pos + 1
                else:
                    size, pos = _longer(data, pos, size, index)
            end = pos + (size >> 1)
            if size & 1 or data[pos]:
                _refuse_start(data, pos, size, index)
            number = data[pos + 1]
            pos += 2
            if number > 127:
                number, pos = _longer(data, pos, number, index, _VARLONG_BITS)
            timestamp = base + ((number >> 1) ^ -(number & 1))
            number = data[pos]
            pos += 1
            if number > 127:
                if (byte := data[pos]) < 128:
                    number, pos = number & 127 | byte << 7, pos + 1
                else:
                    number, pos = _longer(data, pos, number, index)
            previous, delta = delta, number >> 1
            if number & 1 or (delta != index if dense else not previous < delta <= last):
                raise BatchPoison(index, pos, f"the offset delta {_zigzag(number)} is out of order")
            number = data[pos]
            key_at = pos + 1
            if number > 127:
                if (byte := data[key_at]) < 128:
                    number, key_at = number & 127 | byte << 7, key_at + 1
                else:
                    number, key_at = _longer(data, key_at, number, index)
            key_size = number >> 1
            if number & 1:
                key_size = -1 if number == 1 else _null(number, pos, index)
                pos = key_at
            else:
                pos = key_at + key_size
            number = data[pos]
            value_at = pos + 1
            if number > 127:
                if (byte := data[value_at]) < 128:
                    number, value_at = number & 127 | byte << 7, value_at + 1
                else:
                    number, value_at = _longer(data, value_at, number, index)
            value_size = number >> 1
            if number & 1:
                value_size = -1 if number == 1 else _null(number, pos, index)
                pos = value_at
            else:
                pos = value_at + value_size
            number = data[pos]
            pos = headers_at = pos + 1
            if number:
                if number > 127:
                    number, headers_at = _longer(data, pos, number, index)
                headers_left -= number >> 1
                if headers_left < 0:
                    raise BatchPoison(index, pos, f"more than {MAX_HEADERS} headers in the batch")
                if number >> 1 > MAX_RECORD_HEADERS:
                    raise BatchPoison(index, pos, f"more than {MAX_RECORD_HEADERS} headers")
                pos = _check_headers(data, headers_at, number, end, index)
            if pos != end or not _MIN_I64 <= timestamp <= _MAX_I64:
                _refuse_end(pos, end, timestamp, index)
            yield delta, timestamp, key_at, key_size, value_at, value_size, headers_at, number >> 1
    except IndexError:
        raise BatchPoison(index, len(data), f"the bytes end within it; the header states {count} records") from None
    if pos != len(data):
        raise BatchPoison(count, pos, f"{len(data) - pos} bytes follow the last record")


def _check_headers(data: bytes, pos: int, number: int, end: int, index: int) -> int:
    """Where the headers end; stops at the first that passes the record's end, however many are stated."""
    if number & 1:
        raise BatchPoison(index, pos, f"a header count of {_zigzag(number)}")
    for _ in range(number >> 1):
        size, pos = _varint(data, pos, index)
        if size & 1:
            raise BatchPoison(index, pos, f"a header key of {_zigzag(size)} bytes")
        key_at, pos = pos, pos + (size >> 1)
        if pos > end:
            break
        try:
            data[key_at:pos].decode()
        except UnicodeDecodeError:
            raise BatchPoison(index, key_at, "a header key is not UTF-8") from None
        at = pos
        size, pos = _varint(data, pos, index)
        if size & 1:
            _null(size, at, index)
        else:
            pos += size >> 1
        if pos > end:
            break
    return pos


def _headers(data: bytes, pos: int, count: int) -> Headers:
    """The headers that `_check_headers` has judged."""
    headers: list[tuple[str, bytes | None]] = []
    for _ in range(count):
        size, pos = _varint(data, pos, 0)
        key_at, pos = pos, pos + (size >> 1)
        key = data[key_at:pos].decode()
        size, pos = _varint(data, pos, 0)
        if size & 1:
            headers.append((key, None))
        else:
            headers.append((key, data[pos : pos + (size >> 1)]))
            pos += size >> 1
    return tuple(headers)


def _varint(data: bytes, pos: int, index: int) -> tuple[int, int]:
    number = data[pos]
    return (number, pos + 1) if number < 128 else _longer(data, pos + 1, number, index)


def _longer(data: bytes, pos: int, number: int, index: int, bits: int = _VARINT_BITS) -> tuple[int, int]:
    """The zigzag number that begins with the byte `number` just before `pos`, and where it ends."""
    start, shift = pos - 1, 7
    number &= 127
    while shift < bits:
        byte = data[pos]
        pos += 1
        number |= (byte & 127) << shift
        if byte < 128:
            if number >> bits:
                break
            return number, pos
        shift += 7
    raise BatchPoison(index, start, f"a number of more than {bits} bits")


def _zigzag(number: int) -> int:
    return (number >> 1) ^ -(number & 1)


def _null(number: int, pos: int, index: int) -> int:
    if number != 1:
        raise BatchPoison(index, pos, f"a size of {_zigzag(number)}; only -1 means null")
    return -1


def _refuse_start(data: bytes, pos: int, size: int, index: int) -> None:
    if size & 1:
        raise BatchPoison(index, pos, f"it states its size as {_zigzag(size)} bytes")
    raise BatchPoison(index, pos, f"its attributes are {data[pos]}, and no attribute is defined")


def _refuse_end(pos: int, end: int, timestamp: int, index: int) -> None:
    if pos != end:
        raise BatchPoison(index, pos, f"it states that it ends at byte {end}, its parts end at byte {pos}")
    raise BatchPoison(index, pos, f"its timestamp {timestamp} does not fit 64 bits")
