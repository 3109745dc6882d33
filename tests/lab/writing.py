"""The journal of one writer: each write gets its number and its id, and a line when its outcome is known."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from random import Random

from tests.verifier.contents import ID_BYTES, ID_HEADER

Headers = list[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Sent:
    """A write under way; `headers` carry its id, so send these."""

    n: int
    id: bytes
    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int
    transaction: str | None
    sent_s: float


@dataclass
class WriteJournal:
    """`sent` before a producer gets a record, `answered` when it calls back. Used by its threads, closed by one.

    What was never answered is `info` when the journal is closed.
    """

    directory: Path
    writer: str
    cluster: str
    chance: Random
    _open: dict[int, Sent] = field(default_factory=dict)
    _next: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        path = self.directory / "writes" / f"{self.writer}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("x", encoding="utf-8")

    def sent(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        timestamp_ms: int,
        transaction: str | None = None,
    ) -> Sent:
        with self._lock:
            identity = self.chance.randbytes(ID_BYTES)
            marked = [(ID_HEADER.decode(), identity), *headers]
            n, self._next = self._next, self._next + 1
            now_s = time.monotonic()
            told = Sent(n, identity, topic, partition, key, value, marked, timestamp_ms, transaction, now_s)
            self._open[n] = told
        return told

    def answered(self, sent: Sent, outcome: str, offset: int | None = None) -> None:
        """`ok` with the offset, `fail` where it certainly did not happen, `info` where it may have."""
        with self._lock:
            if self._open.pop(sent.n, None) is not None:
                self._write(self._line(sent, outcome, offset))

    def ended(self, transaction: str, outcome: str) -> None:
        """`committed`, `aborted` or `info`."""
        with self._lock:
            self._write(
                {"writer": self.writer, "transaction": transaction, "outcome": outcome, "at_s": time.monotonic()}
            )

    def close(self) -> None:
        with self._lock:
            for sent in self._open.values():
                self._write(self._line(sent, "info", None))
            self._open.clear()
            self._file.close()

    def _line(self, sent: Sent, outcome: str, offset: int | None) -> dict[str, object]:
        return {
            "writer": self.writer,
            "n": sent.n,
            "id": sent.id.hex(),
            "cluster": self.cluster,
            "topic": sent.topic,
            "partition": sent.partition,
            "key": digest(sent.key),
            "value": digest(sent.value),
            "headers": told_headers(sent.headers),
            "timestamp_ms": sent.timestamp_ms,
            "outcome": outcome,
            "offset": offset,
            "transaction": sent.transaction,
            "sent_s": sent.sent_s,
            "answered_s": time.monotonic(),
        }

    def _write(self, line: dict[str, object]) -> None:
        # Line by line: a laboratory that is killed keeps what it knew.
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def digest(field: bytes | None) -> str | None:
    return None if field is None else blake2b(field, digest_size=16).hexdigest()


def told_headers(headers: Headers) -> list[list[str | None]]:
    return [[name, None if field is None else field.hex()] for name, field in headers]
