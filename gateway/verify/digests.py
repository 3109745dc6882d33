"""Digests of the visible records of one partition, page by page, from any Source.

The provider answers a partner's request for digests with it; the subscriber runs it on its own copy. A digest covers
what the mirror promises to keep: timestamp, key, value, headers in order; null and empty differ. Not covered is what
may differ between two logs: offset, producer, batch boundaries, compression.

    serialisation, big-endian: timestamp_ms int64, key length int32 (-1 null), value length int32 (-1 null),
    header count int32; key; value; for each header: key length int32, value length int32 (-1 null), key, value

A bare digest is that of the record with timestamp -1, which is how a topic gets it that refuses its timestamp.
"""

from __future__ import annotations

import asyncio
import struct
from hashlib import blake2b
from itertools import islice
from operator import lt

from gateway.services import DigestPage
from gateway.verify.decoder import Batch, Record, committed, read_batches, read_records
from gateway.verify.errors import BatchUnreadable, DigestsIllegal, DigestsOutOfRange, LogSilent
from mesh.cluster_errors import OffsetOutOfRange
from mesh.ids import Partition
from mesh.log import Fetched
from mesh.ports import Source

DIGEST_BYTES = 16
"""Collisions by accident are out of reach (2^-64 for billions of records); nobody gains by making one."""

FETCH_BYTES = 1 << 20
_RETRY_WAIT_S = 1.0
_TRIES = 3
_FIXED = struct.Struct(">qiii")
_HEADER = struct.Struct(">ii")
_NO_TIMESTAMP = (-1).to_bytes(8, "big", signed=True)


def digest(record: Record) -> bytes:
    """The 16-byte digest of a record's content; the offset has no part in it."""
    return blake2b(serialise(record), digest_size=DIGEST_BYTES).digest()


def serialise(record: Record) -> bytes:
    """The canonical bytes of a record: two records have the same exactly if they are the same."""
    _, timestamp, key, value, headers = record
    key_length = -1 if key is None else len(key)
    value_length = -1 if value is None else len(value)
    fixed = _FIXED.pack(timestamp, key_length, value_length, len(headers))
    body = fixed + (key or b"") + (value or b"")
    if not headers:
        return body
    parts = [body]
    for name, content in headers:
        parts += (_HEADER.pack(len(name), -1 if content is None else len(content)), name, content or b"")
    return b"".join(parts)


class _Collected:
    """What a page is made of."""

    def __init__(self, *, bare: bool) -> None:
        self.offsets: list[int] = []
        self.digests: list[bytes] = []
        self.bare: list[bytes] | None = [] if bare else None

    def add(self, record: Record) -> None:
        content = serialise(record)
        self.offsets.append(record[0])
        self.digests.append(blake2b(content, digest_size=DIGEST_BYTES).digest())
        if self.bare is not None:
            bare = _NO_TIMESTAMP + content[len(_NO_TIMESTAMP) :]
            self.bare.append(blake2b(bare, digest_size=DIGEST_BYTES).digest())


async def digest_page(
    source: Source,
    partition: Partition,
    start: int,
    end: int,
    max_records: int,
    max_bytes: int = FETCH_BYTES,
    *,
    bare: bool = False,
) -> DigestPage:
    """The first visible records of [start, end), at most `max_records`; with `bare` also their bare digests.

    `next_source_offset` is where the next page begins, at most `end`; where the log ends (its last stable offset)
    before `end`, it stays there and a page without records means that there is nothing to read yet. Raises
    BatchUnreadable, LogSilent, DigestsOutOfRange and what else `Source.fetch` raises.
    """
    found = _Collected(bare=bare)
    position, silent = start, 0
    while position < end and len(found.offsets) < max_records:
        fetched = await _fetch(source, partition, position, max_bytes, _RETRY_WAIT_S if silent else 0.0)
        stop = min(end, fetched.range.last_stable)
        if position >= stop:
            break
        # Decompression, parsing and hashing take milliseconds: not on the event loop.
        reached = await asyncio.to_thread(_collect, fetched, position, stop, max_records, found)
        silent = silent + 1 if reached == position else 0
        if silent == _TRIES:
            raise LogSilent(partition.topic, partition.number, position, fetched.range.last_stable)
        position = reached
    return DigestPage(found.offsets, found.digests, position, found.bare or ())


async def _fetch(source: Source, partition: Partition, position: int, max_bytes: int, wait_s: float) -> Fetched:
    try:
        return await source.fetch(partition, position, None, max_bytes, wait_s)
    except OffsetOutOfRange as error:
        raise DigestsOutOfRange(*partition, error.offset, error.start, error.end) from error


def _collect(fetched: Fetched, position: int, stop: int, limit: int, found: _Collected) -> int:
    """Add the visible records of [position, stop) in `fetched`, `limit` in all at most; where reading goes on."""
    batches = list(read_batches(fetched.data))
    visible = {batch.base_offset for batch in committed(batches, fetched.aborted, fetched.range.last_stable)}
    for batch in batches:
        if batch.base_offset in visible and batch.last_offset >= position:
            _collect_batch(batch, position, stop, limit, found)
            if len(found.offsets) == limit:
                return min(stop, found.offsets[-1] + 1)
    return min(stop, max(position, batches[-1].last_offset + 1)) if batches else position


def _collect_batch(batch: Batch, position: int, stop: int, limit: int, found: _Collected) -> None:
    try:
        for record in read_records(batch):
            if position <= record[0] < stop:
                found.add(record)
                if len(found.offsets) == limit:
                    return
    except struct.error as error:
        raise BatchUnreadable(batch.base_offset, f"a number is out of range ({error})") from error


def check_page(page: DigestPage, start: int, end: int, *, bare: bool = False) -> None:
    """Raises DigestsIllegal unless a peer's page for [start, end) is in order, in bounds and goes on."""
    offsets, digests, position, without = page
    if len(offsets) != len(digests):
        raise DigestsIllegal(f"{len(offsets)} offsets with {len(digests)} digests")
    if len(without) != (len(digests) if bare else 0):
        raise DigestsIllegal(f"{len(digests)} digests with {len(without)} bare ones")
    if not start < position <= end:
        raise DigestsIllegal(f"asked for {start} to {end}, it goes on at {position}")
    if offsets and not (start <= offsets[0] and offsets[-1] < position):
        raise DigestsIllegal(f"offsets {offsets[0]} to {offsets[-1]} are outside {start} to {position}")
    if not all(map(lt, offsets, islice(offsets, 1, None))):
        raise DigestsIllegal("its offsets do not rise")
    if set(map(len, (*digests, *without))) - {DIGEST_BYTES}:
        raise DigestsIllegal(f"a digest is not {DIGEST_BYTES} bytes long")
