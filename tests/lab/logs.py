"""The logs of a cluster as they lie there, read past the gateway: ends, whole partitions, and a lane's stored state.

On Kafka by raw fetches (`raw_fetch`), on the embedded log by SQL on its file. The state that is stored of a lane is
told as the verifier wants it, and parsed here by its stored form, not by the gateway's code:

    lane/<subscription>/<topic>/<partition>/checkpoint   JSON; `source_position`, `destination_offset`, `producer`
    lane/<subscription>/<topic>/<partition>/map/<index>  breaks: i64 source, i64 reason << 56 | destination
"""

from __future__ import annotations

import io
import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Protocol
from zlib import crc32

from tests.lab.collect import RunDirectory, Where
from tests.lab.raw_fetch import BrokerConnection, BrokerRefused, log_ends, read_partition
from tests.verifier.batches import Batch, read_batches

STATE_TOPIC, STATE_PARTITIONS = "_mesh.lanes", 32
STATE_KIND = "lanes"
LOG_FILE = "log.sqlite"
REASONS = {1: "marker", 2: "aborted", 3: "compacted", 4: "filtered", 5: "lost", 6: "recreated", 7: "quarantined"}
QUICK_S = 5.0
_BREAK = Struct(">qq")
_DESTINATION = (1 << 56) - 1


@dataclass(frozen=True, slots=True)
class Stored:
    """A lane's stored checkpoint and breaks."""

    start: int
    position: int
    destination_end: int
    producer: tuple[int, int]
    lines: list[object]
    """Of the table, as run-directory.md has them."""


class Logs(Protocol):
    """Everything raises OSError where the log cannot be asked."""

    def ends(self, places: Sequence[Where], *, stable: bool = False) -> list[int]: ...

    def read(self, where: Where, directory: RunDirectory, reader: str = "raw") -> None: ...

    def batches(self, where: Where) -> bytes: ...

    def state(self, subscription: str, topic: str, partition: int) -> dict[str, bytes]: ...


class KafkaLogs:
    """Of a single broker. Keeps one connection for ends."""

    def __init__(self, port: int) -> None:
        self._address = ("127.0.0.1", port)
        self._connection: BrokerConnection | None = None
        self._lock = threading.Lock()

    def ends(self, places: Sequence[Where], *, stable: bool = False) -> list[int]:
        asked = [(each.topic, each.partition) for each in places]
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = BrokerConnection(self._address, QUICK_S)
                found = log_ends(self._connection, asked, stable=stable)
            except (OSError, BrokerRefused) as error:
                self._forget()
                raise OSError(str(error)) from error
        return [found[each] for each in asked]

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def read(self, where: Where, directory: RunDirectory, reader: str = "raw") -> None:
        directory.read_raw(where, self._address, reader)

    def batches(self, where: Where) -> bytes:
        file = io.BytesIO()
        try:
            with BrokerConnection(self._address, QUICK_S) as connection:
                read_partition(connection, where.topic, where.partition, file)
        except BrokerRefused as error:
            raise OSError(str(error)) from error
        return file.getvalue()

    def state(self, subscription: str, topic: str, partition: int) -> dict[str, bytes]:
        own = f"lane/{subscription}/{topic}/{partition}"
        lies_in = crc32(own.encode()) % STATE_PARTITIONS
        found: dict[str, bytes] = {}
        for batch in read_batches(io.BytesIO(self.batches(Where("", STATE_TOPIC, lies_in)))):
            for record in batch.records if isinstance(batch, Batch) else ():
                key = (record.key or b"").decode()
                if not key.startswith(f"{own}/"):
                    continue
                if record.value is None:
                    found.pop(key, None)
                else:
                    found[key] = record.value
        return found


class EmbeddedLogs:
    """`data` is the directory of the log; its file may be written by a gateway at the same time."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._path = data / LOG_FILE

    def ends(self, places: Sequence[Where], *, stable: bool = False) -> list[int]:
        with self._open() as db:
            return [self._place(db, each)[2] for each in places]

    def read(self, where: Where, directory: RunDirectory, reader: str = "raw") -> None:
        with self._open() as db:
            db.execute("BEGIN")
            log, start, end = self._place(db, where)
            directory.note_log(where, self._bodies(db, log), start, end, reader)

    def batches(self, where: Where) -> bytes:
        with self._open() as db:
            return b"".join(self._bodies(db, self._place(db, where)[0]))

    def state(self, subscription: str, topic: str, partition: int) -> dict[str, bytes]:
        own = f"lane/{subscription}/{topic}/{partition}/"
        query = "SELECT key, value FROM state WHERE kind = ? AND key >= ? AND key < ?"
        with self._open() as db:
            return dict(db.execute(query, (STATE_KIND, own, own + "\x7f")).fetchall())

    def _bodies(self, db: sqlite3.Connection, log: int) -> Iterator[bytes]:
        for (body,) in db.execute("SELECT body FROM batches WHERE log = ? ORDER BY base_offset", (log,)):
            yield body

    def _place(self, db: sqlite3.Connection, where: Where) -> tuple[int, int, int]:
        """Number, start and end of the log."""
        query = (
            "SELECT log, log_start, log_end FROM partitions JOIN topics USING (topic_id) WHERE name = ? AND number = ?"
        )
        row = db.execute(query, (where.topic, where.partition)).fetchone()
        if row is None:
            raise OSError(f"{where.topic}[{where.partition}] is not there")
        log, start, end = row
        return log, start, end

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            # The write-ahead log is read, too, and not a byte is changed.
            with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=QUICK_S)) as db:
                yield db
        except sqlite3.Error as error:
            raise OSError(f"{self._path}: {error}") from error


def stored_of(entries: Mapping[str, bytes]) -> Stored | None:
    """None where nothing is stored of the lane."""
    checkpoint = next((value for key, value in entries.items() if key.endswith("/checkpoint")), None)
    if checkpoint is None:
        return None
    told = json.loads(checkpoint)
    pages = sorted((key, value) for key, value in entries.items() if "/map/" in key)
    breaks = list(_BREAK.iter_unpack(b"".join(value for _, value in pages)))
    position = told["source_position"]
    producer_id, epoch = told["producer"]
    lines = _lines(breaks, position)
    # A break may be stored together with the position that it begins at: it counts all the same.
    end = max([position, *(first + 1 for first, _ in breaks)])
    return Stored(told.get("map_start", 0), end, told["destination_offset"], (producer_id, epoch), lines)


def _lines(breaks: Sequence[tuple[int, int]], position: int) -> list[object]:
    lines: list[object] = []
    for at, (first, place) in enumerate(breaks):
        end = breaks[at + 1][0] if at + 1 < len(breaks) else max(position, first + 1)
        reason, destination = place >> 56, place & _DESTINATION
        lines.append(["gap", first, end, REASONS[reason]] if reason else ["run", first, destination, end - first])
    return lines
