"""Payloads that a broker may take and that stop or mislead consumers: (payload, count, what is said, record)."""

from __future__ import annotations

from mesh.batch.records import Record
from tests.support.records import TIMESTAMP_MS, body, framed, sized, varint

_RECORD = Record(0, TIMESTAMP_MS, b"k", b"v")
_FIRST = body(_RECORD)
_SECOND = body(_RECORD._replace(offset_delta=1))
_NULLS = varint(-1) + varint(-1)
_START = b"\0\0\0"

POISON: dict[str, tuple[bytes, int, str, int]] = {
    "repeated deltas": (framed(_FIRST, _FIRST), 2, "offset delta 0 is out of order", 1),
    "a first delta above 0": (framed(_SECOND), 1, "offset delta 1 is out of order", 0),
    "deltas swapped": (framed(_SECOND, _FIRST), 2, "offset delta 1 is out of order", 0),
    "a negative delta": (framed(b"\0\0" + varint(-1) + _NULLS + b"\0"), 1, "offset delta -1 is out of order", 0),
    "a length one too long": (varint(len(_FIRST) + 1) + _FIRST + framed(_SECOND), 2, "states that it ends at byte", 0),
    "a length one too short": (varint(len(_FIRST) - 1) + _FIRST, 1, "states that it ends at byte", 0),
    "a length beyond the end": (varint(1 << 30) + _FIRST, 1, "states that it ends at byte", 0),
    "a negative length": (varint(-9) + _FIRST, 1, "its size as -9 bytes", 0),
    "an attribute": (framed(b"\1" + _FIRST[1:]), 1, "attributes are 1", 0),
    "an attribute of two bytes": (framed(b"\x80\0" + _FIRST[1:]), 1, "attributes are 128", 0),
    "a key size of -2": (framed(_START + varint(-2) + varint(-1) + b"\0"), 1, "size of -2", 0),
    "a value size of -3": (framed(_START + varint(-1) + varint(-3) + b"\0"), 1, "size of -3", 0),
    "a key beyond the end": (framed(_START + varint(5000) + b"k"), 1, "end within it", 0),
    "a value beyond its record": (framed(_START + varint(-1) + varint(9) + b"v\0", _SECOND), 2, "ends at byte", 0),
    "a negative header count": (framed(_START + _NULLS + varint(-1)), 1, "header count of -1", 0),
    "a header too many": (framed(_START + _NULLS + varint(1), _SECOND), 2, "ends at byte|end within", 0),
    "a huge header count": (framed(_START + _NULLS + varint(999_999) + b"\0\1" * 9), 1, "more than 100000 headers", 0),
    "more headers than a batch may have": (
        framed(_START + _NULLS + varint((1 << 31) - 1)),
        1,
        "more than 1000000 headers",
        0,
    ),
    "a null header key": (framed(_START + _NULLS + varint(1) + varint(-1) + varint(-1)), 1, "key of -1 bytes", 0),
    "a header key not UTF-8": (framed(_START + _NULLS + varint(1) + sized(b"\xff") + varint(-1)), 1, "not UTF-8", 0),
    "a header key of a surrogate": (
        framed(_START + _NULLS + varint(1) + sized(b"\xed\xa0\x80") + varint(-1)),
        1,
        "not UTF-8",
        0,
    ),
    "a header value of -2": (framed(_START + _NULLS + varint(1) + sized(b"h") + varint(-2)), 1, "size of -2", 0),
    "a number of 33 bits": (framed(_START + varint(1 << 32) + b"\0\0"), 1, "more than 32 bits", 0),
    "a number of six bytes": (framed(_START + varint(0, 6) + b"\0\0"), 1, "more than 32 bits", 0),
    "a timestamp of eleven bytes": (framed(b"\0" + varint(0, 11) + b"\0" + _NULLS + b"\0"), 1, "more than 64 bits", 0),
    "a timestamp that overflows": (
        framed(b"\0" + varint((1 << 63) - 1) + b"\0" + _NULLS + b"\0"),
        1,
        "does not fit 64 bits",
        0,
    ),
    "an endless number": (b"\xff" * 40, 1, "more than 32 bits", 0),
    "bytes after the last record": (framed(_FIRST) + b"\0", 1, "1 bytes follow the last record", 1),
    "a record less than stated": (framed(_FIRST), 2, "end within it; the header states 2 records", 1),
    "a record more than stated": (framed(_FIRST, _SECOND), 1, "follow the last record", 1),
    "no bytes at all": (b"", 1, "end within it", 0),
}
