"""The law of batches: both checkers agree, and what they accept reads the same everywhere.

Readers: our own, the verifier's of tests, the product's for `mesh verify`, and aiokafka's compiled one. What leaves
our own log (`mesh.lanes.export.cut`) is held to the same.
"""

from __future__ import annotations

from typing import TypeAlias

from aiokafka.record.default_records import DefaultRecordBatch

from gateway.fast_records import check_records_fast
from gateway.verify import decoder as product
from mesh.batch.codec import decompress
from mesh.batch.header import HEADER_BYTES, BatchHeader, epoch_before, split
from mesh.batch.limits import Limits
from mesh.batch.old import split_any
from mesh.batch.records import check_records, iter_records
from mesh.batch.stamp import Producer, restamp
from mesh.batch.validate import RecordChecker, validate
from mesh.errors import MeshError
from mesh.lanes.export import cut
from mesh.log import Fetched, LogRange
from tests.fuzz.findings import ACCEPTED, Finding, said
from tests.verifier import batches as judge

Read: TypeAlias = list[tuple[int, int, bytes | None, bytes | None, list[tuple[bytes, bytes | None]]]]

LIMITS = Limits(max_batch_bytes=1 << 20, max_uncompressed_bytes=8 << 20)
"""Small ones, so that what passes them is quickly met."""
PRODUCER = Producer(4711, 3)
_SEQUENCE = (1 << 31) - 2
_I64 = 1 << 63


def check_batch(data: bytes) -> str:
    """A batch as a peer may send it."""
    strict, fast = _verdict(data, check_records), _verdict(data, check_records_fast)
    if repr(strict) != repr(fast):
        raise Finding(f"the strict check says {strict!r}, the fast one {fast!r}")
    if isinstance(strict, MeshError):
        return said(strict)
    check_readers(data)
    return ACCEPTED


def _verdict(data: bytes, checker: RecordChecker) -> BatchHeader | MeshError:
    try:
        return validate(memoryview(data), LIMITS, checker)
    except MeshError as error:
        return error


def check_readers(data: bytes) -> None:
    """Every reader sees in the stamped batch what we saw in the one that came."""
    ours = read_ours(data)
    stamp = restamp(data, PRODUCER, _SEQUENCE)
    stamped = bytes(stamp.header) + bytes(stamp.payload)
    if len(ours) != stamp.count:
        raise Finding(f"{len(ours)} records where the stamp says {stamp.count}")
    for name, read in (("the verifier", _judge), ("mesh verify", _product), ("aiokafka", _aiokafka)):
        try:
            theirs = read(stamped)
        except Exception as error:
            raise Finding(f"{name} cannot read what was accepted: {error!r}") from error
        if theirs != ours:
            raise Finding(f"{name} reads {theirs!r:.500} where we read {ours!r:.500}")


def read_ours(data: bytes) -> Read:
    """The records of a batch that was accepted; offsets count from its first."""
    header = BatchHeader._make(judge.HEADER.unpack_from(data))
    plain = decompress(header.codec, memoryview(data)[HEADER_BYTES:], LIMITS)
    return [
        (r.offset_delta, r.timestamp_ms, r.key, r.value, [(name.encode(), value) for name, value in r.headers])
        for r in iter_records(header, plain, dense=True)
    ]


def _judge(stamped: bytes) -> Read:
    return [(r.offset, r.timestamp_ms, r.key, r.value, r.headers) for r in judge.decode(stamped).records]


def _product(stamped: bytes) -> Read:
    (batch,) = product.read_batches(memoryview(stamped))
    return [(o, t, key, value, list(headers)) for o, t, key, value, headers in product.read_records(batch)]


def _aiokafka(stamped: bytes) -> Read:
    """Its timestamps are not compared where it has none for -1, nor past 64 bits of what it adds up."""
    batch = DefaultRecordBatch(bytearray(stamped))
    if not batch.validate_crc():
        raise Finding("aiokafka says that the CRC is wrong")
    found = [(r.offset, r.timestamp, r.key, r.value, [(k.encode(), v) for k, v in r.headers]) for r in batch]
    return [(o, -1 if t is None else t, key, value, headers) for o, t, key, value, headers in found]


def check_log(data: bytes) -> str:
    """A fetch answer of our own log: what leaves is what a partner's gateway accepts, or it is refused as damage."""
    view = memoryview(data)
    for walk in (split, split_any):
        try:
            for _ in walk(view):
                pass
        except MeshError as error:
            said(error)
    epoch_before(view, _I64 - 1)
    offset = int.from_bytes(data[:8], "big", signed=True) if len(data) >= 8 else 0
    position = max(0, offset)
    fetched = Fetched(view, (), LogRange(0, 1 << 62, 1 << 62))
    try:
        segment = cut(fetched, position, 0, 1 << 20, LIMITS)
    except MeshError as error:
        return said(error)
    if segment is None:
        return "nothing"
    for batch in segment.batches:
        if not isinstance(batch, bytes):
            continue  # a view of the log: it leaves unread, and the partner judges it
        try:
            validate(memoryview(batch), LIMITS)
        except MeshError as error:
            raise Finding(f"what leaves our log would be refused by a partner: {error}") from error
        check_readers(bytes(batch))
    return ACCEPTED
