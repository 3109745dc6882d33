"""A reading as the answer to a request: newline-delimited JSON, or server-sent events where the caller accepts them.

    application/x-ndjson   a record a line; what goes wrong after the first line is the last one, {"problem": {…}}
    text/event-stream      `event: begun`, a record each (its id says where to go on), `event: end` or `event: problem`

A form makes bytes of what happens; `http_read.py` writes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Protocol

from gateway.local import http_positions as positions_json
from gateway.local.http_problems import problem
from gateway.local.http_records import Encoding, shown_record
from gateway.local.values import Begun, PartitionRecords
from mesh.errors import MeshError

LINES_TYPE, EVENTS_TYPE = "application/x-ndjson", "text/event-stream"
RETRY_MS = 2000
"""What a client waits before it comes again: by then its cursor is free."""


class Form(Protocol):
    content_type: str

    def begun(self, begun: Begun) -> bytes: ...

    def records(self, parts: Iterable[PartitionRecords]) -> bytes: ...

    def idle(self) -> bytes:
        """Nothing for a while: tells whoever is between us and the reader that the stream lives."""

    def ended(self) -> bytes: ...

    def failed(self, error: MeshError) -> bytes: ...


def form_of(accept: str, encoding: Encoding) -> Form:
    """By the Accept header of the request."""
    kinds = {each.partition(";")[0].strip().lower() for each in accept.split(",")}
    return Events(encoding) if EVENTS_TYPE in kinds else Lines(encoding)


class Lines:
    content_type = LINES_TYPE

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding

    def begun(self, begun: Begun) -> bytes:
        return b""

    def records(self, parts: Iterable[PartitionRecords]) -> bytes:
        return "".join(
            f"{shown_record(part.partition, record, next_offset, self._encoding)}\n"
            for part in parts
            for record, next_offset in zip(part.records, _next_offsets(part), strict=True)
        ).encode()

    def idle(self) -> bytes:
        return b""

    def ended(self) -> bytes:
        return b""

    def failed(self, error: MeshError) -> bytes:
        return _json({"problem": problem(error)}) + b"\n"


class Events:
    content_type = EVENTS_TYPE

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._positions: dict[int, int] = {}

    def begun(self, begun: Begun) -> bytes:
        self._positions.update(begun.positions)
        said = {"positions": positions_json.shown(begun.positions), "lease": begun.lease}
        return b"retry: %d\n" % RETRY_MS + self._event("begun", said)

    def records(self, parts: Iterable[PartitionRecords]) -> bytes:
        return "".join(each for part in parts for each in self._records(part)).encode()

    def _records(self, part: PartitionRecords) -> Iterable[str]:
        for record, next_offset in zip(part.records, _next_offsets(part), strict=True):
            self._positions[part.partition] = next_offset
            line = shown_record(part.partition, record, next_offset, self._encoding)
            yield f"id: {positions_json.as_text(self._positions)}\ndata: {line}\n\n"
        self._positions[part.partition] = part.next_offset

    def idle(self) -> bytes:
        return b":\n\n"

    def ended(self) -> bytes:
        return self._event("end", {"positions": positions_json.shown(self._positions)})

    def failed(self, error: MeshError) -> bytes:
        return self._event("problem", problem(error))

    def _event(self, name: str, said: Mapping[str, object]) -> bytes:
        """With the id of where the reader stands: it counts also where no record follows."""
        stands = f"id: {positions_json.as_text(self._positions)}\n" if self._positions else ""
        return f"event: {name}\n{stands}data: ".encode() + _json(said) + b"\n\n"


def _next_offsets(part: PartitionRecords) -> list[int]:
    """After each record; after the last one also beyond offsets without records."""
    return [*(record.offset + 1 for record in part.records[:-1]), part.next_offset][: len(part.records)]


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
