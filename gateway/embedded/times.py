"""From a time to an offset, within one batch."""

from __future__ import annotations

from mesh.batch.errors import LogUnreadable
from mesh.batch.header import HEADER_BYTES, parse_header
from mesh.batch.records import records_of
from mesh.errors import PeerError


def first_offset_at(batch: bytes, timestamp_ms: int) -> int | None:
    """The offset of the first record of `batch` at or after `timestamp_ms`. Raises LogUnreadable."""
    header = parse_header(batch)
    if header.is_log_append_time:
        return header.base_offset if header.max_timestamp_ms >= timestamp_ms else None
    try:
        for record in records_of(header, memoryview(batch)[HEADER_BYTES:]):
            if record.timestamp_ms >= timestamp_ms:
                return header.base_offset + record.offset_delta
    except PeerError as error:
        raise LogUnreadable(header.base_offset, str(error)) from error
    return None
