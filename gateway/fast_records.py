"""The record check of `mesh.batch.validate` where `mesh.batch.native` is not compiled: with aiokafka's compiled reader.

What makes it fast is `canonical_records`, imported when it is first asked: where there is a compiled part only a batch
that this does not take comes here, and a start need not pay for aiokafka.
"""

from __future__ import annotations

from mesh.batch.header import BatchHeader
from mesh.batch.records import check_records

WORTH_BYTES_PER_RECORD = 450
"""Above this the strict check is faster, because it copies nothing and computes no CRC (0.9 us whatever the size)."""
MAX_FAST_BYTES = 1 << 20
"""Above this the strict check decides: the reader makes objects, of a hostile record 32 bytes for each of its own."""


def check_records_fast(header: BatchHeader, payload: bytes) -> None:
    """Nothing, if `payload` (uncompressed) is exactly the header's records, dense; otherwise BatchPoison."""
    if not (_is_worth_it(header, payload) and _is_canonical(header, payload)):
        check_records(header, payload)


def _is_worth_it(header: BatchHeader, payload: bytes) -> bool:
    size = len(payload)
    return size <= MAX_FAST_BYTES and size < header.records_count * WORTH_BYTES_PER_RECORD


def _is_canonical(header: BatchHeader, payload: bytes) -> bool:
    from gateway.canonical_records import IS_COMPILED, is_canonical

    return IS_COMPILED and is_canonical(header, payload)
