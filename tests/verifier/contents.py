"""What a record is, as a digest: 16 bytes of BLAKE2b over its key, value and headers. The timestamp stands apart.

    part(x)    b"\\x00" if x is null, else b"\\x01" + BLAKE2b-16(x)
    content    BLAKE2b-16( part(key) + part(value) + for each header: i32 length of its key, its key, part(its value) )

So a write journal that holds digests of key and value, and the headers, gives the same digest as the record itself;
null is not empty, and the order of headers and their repeats count.

A record carries its id (16 random bytes) in a header `lab-id`, else at the beginning of its value, else at the end of
its key. A record with none of them is known by its digest only.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeAlias

DIGEST_BYTES = 16
ID_BYTES = 16
ID_HEADER = b"lab-id"

Headers: TypeAlias = Sequence[tuple[bytes, bytes | None]]


def part(field: bytes | None) -> bytes:
    return b"\x00" if field is None else b"\x01" + blake2b(field, digest_size=DIGEST_BYTES).digest()


def content(key: bytes | None, value: bytes | None, headers: Headers) -> bytes:
    return content_of_parts(part(key), part(value), headers)


def content_of_parts(key: bytes, value: bytes, headers: Headers) -> bytes:
    """`key` and `value` as `part` gives them."""
    told = key + value
    for name, field in headers:
        told += len(name).to_bytes(4, "big") + name + part(field)
    return blake2b(told, digest_size=DIGEST_BYTES).digest()


def possible_ids(key: bytes | None, value: bytes | None, headers: Headers) -> tuple[bytes, ...]:
    """Where a record's id may stand, the likeliest first."""
    found = [field for name, field in headers if name == ID_HEADER and field is not None and len(field) == ID_BYTES]
    if value is not None and len(value) >= ID_BYTES:
        found.append(value[:ID_BYTES])
    if key is not None and len(key) >= ID_BYTES:
        found.append(key[-ID_BYTES:])
    return tuple(found)
