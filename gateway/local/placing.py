"""Where the records of a request go, and in which batches: pure rules.

A. A record with a key goes where Kafka's own clients put it: records of one key stay in order. Those without one go
   together to the one partition that the caller of `places` names.
B. The records of one request in one partition keep their order; as long as they fit they are one piece, that is one
   batch or a part of one: it is appended wholly or not at all.
C. Under an idempotency key all of that follows from the request and the number of partitions alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from zlib import crc32

from gateway.local.values import NewRecord, Placed

RECORD_BYTES = 24
"""What a record takes beside its key, value and headers, at most."""
BATCH_OVERHEAD_BYTES = 256
PIECE_BYTES = 512 * 1024
PIECE_RECORDS = 20_000


def places(
    records: Sequence[NewRecord], partition: int | None, by_key: Callable[[bytes], int], keyless: int
) -> list[int]:
    """The partition of each record."""
    if partition is not None:
        return [partition] * len(records)
    return [keyless if record.key is None else by_key(record.key) for record in records]


def keyless_of(idempotency_key: str, partitions: int) -> int:
    """Where the records without a key go of a request that may be repeated."""
    return crc32(idempotency_key.encode()) % partitions


def size_of(record: NewRecord) -> int:
    """What a record takes in a batch, at most."""
    size = RECORD_BYTES + len(record.key or b"") + len(record.value or b"")
    for name, value in record.headers:
        size += len(name) * 3 + len(value or b"") + 10
    return size


def pieces(places: Iterable[int], sizes: Sequence[int], max_bytes: int) -> Iterator[tuple[int, list[int]]]:
    """Partition and indexes of each piece: by partition in the order of first use, and of each in order."""
    gathered: dict[int, list[int]] = {}
    for index, partition in enumerate(places):
        gathered.setdefault(partition, []).append(index)
    for partition, indexes in gathered.items():
        for piece in _bounded(indexes, sizes, max_bytes):
            yield partition, piece


def _bounded(indexes: list[int], sizes: Sequence[int], max_bytes: int) -> Iterator[list[int]]:
    piece: list[int] = []
    size = 0
    for index in indexes:
        if piece and (size + sizes[index] > max_bytes or len(piece) >= PIECE_RECORDS):
            yield piece
            piece, size = [], 0
        piece.append(index)
        size += sizes[index]
    if piece:
        yield piece


def placed(found: Mapping[int, tuple[int, int]]) -> list[Placed]:
    """Partition and offset of each record by its index, as stretches in the order of the records."""
    stretches: list[Placed] = []
    for index in sorted(found):
        partition, offset = found[index]
        last = stretches[-1] if stretches else None
        if last is not None and last.partition == partition and last.first_offset + last.count == offset:
            stretches[-1] = Placed(partition, last.first_offset, last.count + 1)
        else:
            stretches.append(Placed(partition, offset, 1))
    return stretches
