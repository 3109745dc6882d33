"""Idempotency keys: what stands in a record's header, and what is known to have been appended under a key.

Each record of a keyed request carries the header `mesh-idempotency-key`: its place in the request, how many records the
request has, a digest of all of it, and the key. So the log alone tells which records of a request it holds, and whether
a repeated key belongs to the same request.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

from gateway.local.values import NewRecord
from mesh.batch.records import Headers

HEADER = "mesh-idempotency-key"
MAX_KEYS = 100_000
"""Of one partition: older ones are forgotten, some tens of megabytes earlier than memory would be a worry."""
MAX_KEY_CHARS = 200
_DIGEST_BYTES = 8


class KeyOf(NamedTuple):
    """The request that a record belongs to."""

    key: str
    digest: str
    records: int
    """How many it has."""

    def header(self, index: int) -> tuple[str, bytes]:
        """What the record at `index` of the request carries."""
        return HEADER, f"{index}/{self.records} {self.digest} {self.key}".encode()


def read_header(headers: Headers) -> tuple[KeyOf, int] | None:
    """Of which request a record is, and which of its records; None where the last header is none of ours."""
    name, value = headers[-1] if headers else ("", None)
    if name != HEADER or value is None:
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
    for record in records:
        sizes = [_size(record.key), _size(record.value), record.timestamp_ms]
        found.update(repr((sizes, [(name, _size(value)) for name, value in record.headers])).encode())
        found.update(record.key or b"")
        found.update(record.value or b"")
        for _, value in record.headers:
            found.update(value or b"")
    return found.hexdigest()


def _size(data: bytes | None) -> int:
    return -1 if data is None else len(data)


@dataclass(slots=True)
class Known:
    """What one partition holds of a request: the offset of each record that is there, by its place in the request."""

    of: KeyOf
    at_ms: int
    offsets: dict[int, int] = field(default_factory=dict)


class KeyTable:
    """The keys that one partition holds records of, the latest `max_keys`."""

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._max_keys = max_keys

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str) -> Known | None:
        return self._known.get(key)

    def add(self, of: KeyOf, index: int, offset: int, now_ms: int) -> None:
        """The log holds that record of the request at `offset`. Of one that is there twice, the first is meant."""
        known = self._known.get(of.key)
        if known is None or known.of != of:
            known = self._known[of.key] = Known(of, now_ms)
            self._known.move_to_end(of.key)
        known.offsets.setdefault(index, offset)
        if len(self._known) > self._max_keys:
            self._known.popitem(last=False)

    def forget_before(self, time_ms: int) -> None:
        """Forget what was learnt before that time."""
        while self._known and next(iter(self._known.values())).at_ms < time_ms:
            self._known.popitem(last=False)

    def offsets(self, of: KeyOf, indexes: Sequence[int]) -> list[int] | None:
        """Where these records of the request lie, None where one of them does not."""
        known = self._known.get(of.key)
        if known is None or known.of != of:
            return None
        found = [known.offsets[index] for index in indexes if index in known.offsets]
        return found if len(found) == len(indexes) else None
