"""What a request to publish may hold, whatever the topic."""

from __future__ import annotations

from gateway.local.topics import Kind
from gateway.local.values import NewRecord, PublishRequest
from mesh.local.errors import RequestRefused

KEY_HEADER_BYTES = 80
"""Of the header that a keyed record carries, beside the key."""
MAX_HEADERS = 1_000
MAX_KEY_CHARS = 200
_MAX_TIMESTAMP_MS = 1 << 62


def check(request: PublishRequest) -> None:
    """Raises RequestRefused."""
    if not request.records:
        raise RequestRefused("records", "there are none")
    if request.partition is not None and not 0 <= request.partition < 1 << 31:
        raise RequestRefused("partition", "it is a number from 0 on")
    key = request.idempotency_key
    if key and (len(key) > MAX_KEY_CHARS or not key.isascii() or not key.isprintable() or " " in key):
        raise RequestRefused("idempotency_key", f"it has up to {MAX_KEY_CHARS} printable ASCII characters and no space")
    for index, record in enumerate(request.records):
        if record.timestamp_ms is not None and not 0 <= record.timestamp_ms <= _MAX_TIMESTAMP_MS:
            raise RequestRefused("timestamp_ms", f"that of record {index} is not in milliseconds since 1970")
        if record.headers:
            _check_headers(index, record)


def _check_headers(index: int, record: NewRecord) -> None:
    if len(record.headers) > MAX_HEADERS:
        raise RequestRefused("headers", f"record {index} has more than {MAX_HEADERS}")
    for name, _ in record.headers:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise RequestRefused("headers", f"a name in record {index} is no UTF-8") from error


def kind_of(request: PublishRequest) -> Kind:
    if not request.idempotency_key:
        return Kind.BARE
    return Kind.OWN if request.key_is_local else Kind.SHARED
