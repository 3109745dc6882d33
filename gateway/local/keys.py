"""Idempotency keys: what stands in a record's header, and what is known to have been appended under a key.

Each record of a keyed request carries the header `mesh-idempotency-key`: its place in the request, how many records the
request has, a digest of all of it, and the key. So the log alone tells which records of a request it holds, and whether
a repeated key belongs to the same request.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

from gateway.local.values import NewRecord
from mesh.batch.records import Headers
from mesh.local.names import KEY_HEADER

MAX_KEYS = 100_000
"""Of one partition, and"""
MAX_RECORDS = 5_000_000
"""so many records: beyond some tens of megabytes, older ones are forgotten."""
_DIGEST_BYTES = 8
_SIZES = Struct("<qqqq")


class KeyOf(NamedTuple):
    """The request that a record belongs to."""

    key: str
    digest: str
    records: int
    """How many it has."""

    def header(self, index: int) -> tuple[str, bytes]:
        """What the record at `index` of the request carries."""
        return KEY_HEADER, f"{index}/{self.records} {self.digest} {self.key}".encode()


def read_header(headers: Headers) -> tuple[KeyOf, int] | None:
    """Of which request a record is, and which of its records; None where the last header is none of ours."""
    name, value = headers[-1] if headers else ("", None)
    if name != KEY_HEADER or value is None:
        return None
    place, _, rest = value.decode(errors="replace").partition(" ")
    digest, _, key = rest.partition(" ")
    index, _, count = place.partition("/")
    if not (index.isdecimal() and count.isdecimal() and key) or int(index) >= int(count):
        return None
    return KeyOf(key, digest, int(count)), int(index)


def digest_of(partition: int | None, records: Iterable[NewRecord]) -> str:
    """Of a request's content: another one under the same key is a mistake, not a repeat."""
    found = blake2b(f"{partition}".encode(), digest_size=_DIGEST_BYTES)
    for key, value, headers, timestamp_ms in records:
        given_ms = -1 if timestamp_ms is None else timestamp_ms
        found.update(_SIZES.pack(_size(key), _size(value), given_ms, len(headers)))
        found.update(key or b"")
        found.update(value or b"")
        for name, content in headers:
            encoded = name.encode()
            found.update(_SIZES.pack(len(encoded), _size(content), 0, 0))
            found.update(encoded)
            found.update(content or b"")
    return found.hexdigest()


def _size(data: bytes | None) -> int:
    return -1 if data is None else len(data)


class Stretch(NamedTuple):
    """Records that lie one behind another: the n-th of them has the n-th of these places in its request."""

    first_offset: int
    indexes: Sequence[int]
    """Ascending; a range where they are neighbours, so that a large request costs little."""

    def offset(self, index: int) -> int | None:
        at = bisect_left(self.indexes, index)
        return self.first_offset + at if at < len(self.indexes) and self.indexes[at] == index else None


@dataclass(slots=True)
class Known:
    """What one partition holds of a request."""

    of: KeyOf
    at_ms: int
    stretches: list[Stretch] = field(default_factory=list)

    def offset(self, index: int) -> int | None:
        """Of a record by its place in the request. Of one that is there twice, the first is meant."""
        return next((found for each in self.stretches if (found := each.offset(index)) is not None), None)

    @property
    def offsets(self) -> dict[int, int]:
        """All that are there."""
        found: dict[int, int] = {}
        for first_offset, indexes in reversed(self.stretches):
            found |= {index: first_offset + at for at, index in enumerate(indexes)}
        return found

    @property
    def records(self) -> int:
        return sum(len(each.indexes) for each in self.stretches)


class KeyTable:
    """The keys that one partition holds records of: the latest ones, as many as fit into both bounds."""

    def __init__(self, max_keys: int = MAX_KEYS, max_records: int = MAX_RECORDS) -> None:
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._max_keys, self._max_records = max_keys, max_records
        self._records = 0

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str) -> Known | None:
        return self._known.get(key)

    def add(self, of: KeyOf, indexes: Sequence[int], first_offset: int, now_ms: int) -> None:
        """The log holds those records of the request, one behind another from `first_offset` on."""
        known = self._known.get(of.key)
        if known is not None and known.of != of:
            self._drop(of.key)
            known = None
        if known is None:
            known = self._known[of.key] = Known(of, now_ms)
        known.stretches.append(Stretch(first_offset, _compact(indexes)))
        self._records += len(indexes)
        while len(self._known) > self._max_keys or (self._records > self._max_records and len(self._known) > 1):
            self._drop(next(iter(self._known)))

    def forget_before(self, time_ms: int) -> None:
        """Forget what was learnt before that time."""
        while self._known and next(iter(self._known.values())).at_ms < time_ms:
            self._drop(next(iter(self._known)))

    def offsets(self, of: KeyOf, indexes: Sequence[int]) -> list[int] | None:
        """Where these records of the request lie, None where one of them does not."""
        known = self._known.get(of.key)
        if known is None or known.of != of:
            return None
        found = [offset for index in indexes if (offset := known.offset(index)) is not None]
        return found if len(found) == len(indexes) else None

    def _drop(self, key: str) -> None:
        self._records -= self._known.pop(key).records


def _compact(indexes: Sequence[int]) -> Sequence[int]:
    first, last = indexes[0], indexes[-1]
    return range(first, last + 1) if last - first + 1 == len(indexes) else array("I", indexes)
