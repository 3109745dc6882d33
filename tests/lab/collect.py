"""Fills a run directory (docs/reference/run-directory.md) while a run goes on, and when it has ended.

`RunDirectory` only writes down what it is told, at once and line by line, so that a run that ends badly can still be
judged. Beside it: raw readings of partitions, what stock clients see, and a gateway's claimed translation, asked over
its admin API through whatever `Ask` the laboratory has.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

from tests.lab.raw_fetch import Address, BrokerConnection, read_partition
from tests.lab.writing import digest

Line = list[object]
Ask = Callable[[str], dict[str, Any]]
"""A path of the admin API to its answer; raises where that is refused."""
BULK = 10_000
"""Answers to one question: as many as the admin API gives."""


class SeenRecord(Protocol):
    """A record of a stock client: confluent_kafka's `Message` is one."""

    def offset(self) -> int | None: ...
    def key(self) -> str | bytes | None: ...
    def value(self) -> str | bytes | None: ...
    def headers(self) -> Any: ...
    def timestamp(self) -> tuple[int, int]: ...


@dataclass(frozen=True, slots=True)
class Where:
    cluster: str
    topic: str
    partition: int

    def told(self) -> dict[str, object]:
        return {"cluster": self.cluster, "topic": self.topic, "partition": self.partition}

    @property
    def file(self) -> str:
        return f"{self.cluster}.{self.topic}.{self.partition}"


class RunDirectory:
    """`clock` gives the seconds that all of the run's journals share. Several threads may tell."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = directory
        self._clock = clock
        self._number = 0
        self._lock = threading.Lock()
        for name in ("writes", "logs", "tables", "durable", "texts"):
            (directory / name).mkdir(parents=True, exist_ok=True)

    # --- told by the laboratory

    def describe(self, seed: int, lanes: Sequence[dict[str, object]], **fields: object) -> None:
        """`run.json`: the lanes and all other fields as the reference has them."""
        told = {"format": 1, "seed": seed, "lanes": list(lanes)} | fields
        (self.path / "run.json").write_text(json.dumps(told, indent=2), encoding="utf-8")

    def note_ack(self, lane: str, position: int) -> None:
        self._note("acks", lane=lane, position=position, at_s=self._clock())

    def note_event(self, what: str, lanes: Sequence[str] = ()) -> None:
        """`fault` or `heal`."""
        self._note("events", what=what, at_s=self._clock(), lanes=list(lanes))

    def note_trust(self, what: str, **fields: str) -> None:
        """When the call has returned: `opened` and `revoked` with `grant`, `admitted` and `refused` with both ids."""
        self._note("trust", what=what, at_s=self._clock(), **fields)

    def note_producer(self, lane: str, producer_id: int, epoch: int, by: str) -> None:
        self._note("epochs", lane=lane, producer_id=producer_id, epoch=epoch, by=by)

    def note_move(self, group: str, lane: str, before: int, after: int, *, reverse: bool = False) -> None:
        self._note("groups", group=group, lane=lane, before=before, after=after, reverse=reverse)

    def note_text(self, organization: str, name: str, text: str) -> None:
        """What an organization logged, measured or answered; more of the same name is added."""
        directory = self.path / "texts" / organization
        directory.mkdir(exist_ok=True)
        with (directory / name).open("a", encoding="utf-8") as file:
            file.write(text)

    def note_standing(self, lane: str, asked_s: float, source_end: int, position: int, destination_end: int) -> None:
        """Where a lane stands: asked at `asked_s`, all answers are here."""
        told = {"source_end": source_end, "position": position, "destination_end": destination_end}
        self._note("ends", lane=lane, asked_s=asked_s, at_s=self._clock(), **told)

    # --- asked

    def note_ends(
        self, ask: Ask, lanes: dict[tuple[str, str, int], str], ends: Callable[[str], tuple[int, int]]
    ) -> None:
        """Where the lanes stand: `lanes` names them by subscription, topic and partition, `ends` gives the last stable
        offset of a lane's source and the end of its destination, asked of the clusters.

        What a gateway tells as a lane's position is acknowledged: it is noted as that too, when the answer was there.
        """
        asked_s = self._clock()
        statuses = ask("/v1/status")["lanes"]
        told_s = self._clock()
        for status in statuses:
            lane = lanes.get((status["subscription"], status["topic"], status["partition"]))
            if lane is None or status["source_position"] < 0:
                continue
            source_end, destination_end = ends(lane)
            position, at_s = status["source_position"], self._clock()
            self._note("acks", lane=lane, position=position, at_s=told_s)
            self._note("ends", lane=lane, asked_s=asked_s, at_s=at_s, source_end=source_end, position=position,
                       destination_end=destination_end)  # fmt: skip

    def read_raw(self, where: Where, address: Address, reader: str = "raw", topic_id: str = "") -> None:
        """A whole partition from its leader. Raises BrokerRefused, OSError; then nothing is noted."""
        name, at_s = self._file(where, reader), self._clock()
        with BrokerConnection(address) as connection, (self.path / name).open("xb") as file:
            found = read_partition(connection, where.topic, where.partition, file)
        span = {"start": found.start, "first": found.start, "end": found.end, "last_stable": found.last_stable}
        told = {"topic_id": topic_id, "reader": reader, "kind": "raw", "at_s": at_s, "file": name}
        self._note("logs", **where.told(), **told, **span)

    def note_log(
        self, where: Where, batches: Iterable[bytes], start: int, end: int, reader: str = "raw", topic_id: str = ""
    ) -> None:
        """As `read_raw`, of a log that was read in another way; all of its records are stable."""
        name, at_s = self._file(where, reader), self._clock()
        with (self.path / name).open("xb") as file:
            file.writelines(batches)
        span = {"start": start, "first": start, "end": end, "last_stable": end}
        told = {"topic_id": topic_id, "reader": reader, "kind": "raw", "at_s": at_s, "file": name}
        self._note("logs", **where.told(), **told, **span)

    def note_seen(self, where: Where, reader: str, start: int, end: int, records: Iterable[SeenRecord]) -> None:
        """What a stock client saw of a partition, in its order."""
        name, at_s = self._file(where, reader), self._clock()
        _write_lines(self.path / name, (seen_line(each) for each in records))
        told = {"reader": reader, "kind": "seen", "at_s": at_s, "start": start, "end": end, "file": name}
        self._note("logs", **where.told(), **told)

    def note_table(self, lane: str, lines: Sequence[object], start: int, position: int, destination_end: int) -> None:
        """The translation that a gateway claims in the end; `lines` as `table_lines` gives them."""
        head = {"lane": lane, "start": start, "position": position, "destination_end": destination_end}
        _write_lines(self.path / "tables" / f"{lane}.jsonl", [head, *lines])

    def note_durable(
        self,
        lane: str,
        batches: bytes,
        lines: Sequence[object],
        start: int,
        position: int,
        destination_end: int,
        at_s: float | None = None,
    ) -> None:
        """What a copy of the files, made now or at `at_s`, holds of a lane: its destination's batches and its stored
        breaks."""
        name = f"durable/{lane}.{self._next()}"
        (self.path / f"{name}.batches").write_bytes(batches)
        head = {"lane": lane, "start": start, "position": position, "destination_end": destination_end}
        _write_lines(self.path / f"{name}.jsonl", [head, *lines])
        files = {"log": f"{name}.batches", "table": f"{name}.jsonl"}
        at_s = self._clock() if at_s is None else at_s
        self._note("durable", lane=lane, at_s=at_s, destination_end=destination_end, **files)

    def _file(self, where: Where, reader: str) -> str:
        return f"logs/{where.file}.{reader}.{self._next()}"

    def _next(self) -> int:
        with self._lock:
            self._number += 1
            return self._number

    def _note(self, journal: str, **fields: object) -> None:
        with self._lock, (self.path / f"{journal}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(fields) + "\n")


def seen_line(record: SeenRecord) -> dict[str, object]:
    headers = [[name, None if field is None else field.hex()] for name, field in record.headers() or ()]
    told: dict[str, object] = {"offset": record.offset(), "timestamp_ms": record.timestamp()[1], "headers": headers}
    return told | {"key": digest(_bytes(record.key())), "value": digest(_bytes(record.value()))}


def table_lines(
    ask: Ask, subscription: str, topic: str, partition: int, source: range, destination: range
) -> list[object]:
    """Runs, gaps and foreign ranges, from the gateway's answer to every single offset of both sides."""
    forward = answers(ask, subscription, topic, partition, source, reverse=False)
    back = answers(ask, subscription, topic, partition, destination, reverse=True)
    return [*_source_lines(forward), *_foreign_lines(back)]


def answers(
    ask: Ask, subscription: str, topic: str, partition: int, offsets: range, *, reverse: bool
) -> list[dict[str, Any]]:
    """One for each offset, fewer where the gateway has no more."""
    found: list[dict[str, Any]] = []
    while len(found) < len(offsets):
        query = {"topic": topic, "partition": partition, "offset": offsets[len(found)]}
        query |= {"count": min(BULK, len(offsets) - len(found))} | ({"reverse": "true"} if reverse else {})
        more = ask(f"/v1/subscriptions/{subscription}/offsets?{urlencode(query)}").get("answers")
        if not more:
            break
        found += more
    return found


def _source_lines(forward: Iterable[dict[str, Any]]) -> list[Line]:
    lines: list[list[Any]] = []
    for each in forward:
        offset = each["source_offset"]
        last: list[Any] = lines[-1] if lines else ["", 0, 0, 0]
        if each["answer"] == "exact":
            place = each["destination_offset"]
            if last[0] == "run" and (last[1] + last[3], last[2] + last[3]) == (offset, place):
                last[3] += 1
            else:
                lines.append(["run", offset, place, 1])
        elif last[0] == "gap" and (last[2], last[3]) == (offset, each["reason"]):
            last[2] += 1
        else:
            lines.append(["gap", offset, offset + 1, each["reason"]])
    return lines


def _foreign_lines(back: Iterable[dict[str, Any]]) -> list[Line]:
    lines: list[list[Any]] = []
    for each in back:
        if each["answer"] not in ("foreign", "lost"):
            continue
        offset = each["destination_offset"]
        if lines and lines[-1][2] == offset:
            lines[-1][2] += 1
        else:
            lines.append(["foreign", offset, offset + 1])
    return lines


def _bytes(field: str | bytes | None) -> bytes | None:
    return field.encode() if isinstance(field, str) else field


def _write_lines(path: Path, lines: Iterable[object]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(each) + "\n" for each in lines)
