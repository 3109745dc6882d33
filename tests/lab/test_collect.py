"""What the collector writes down is what the verifier reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.lab.collect import RunDirectory, Where, table_lines
from tests.lab.test_raw_fetch import END, START, Log, serving
from tests.lab.writing import Headers, Sent, WriteJournal
from tests.verifier.findings import Verdict
from tests.verifier.judging import judge
from tests.verifier.reading import read_run
from tests.verifier.tests.encoding import Encoded, encode

SOURCE, COPY = Where("acme", "flights", 0), Where("globex", "acme.flights", 0)
TIMESTAMP_MS = 1_700_000_000_000


@dataclass(frozen=True)
class Message:
    """As a stock client gives it."""

    at: int
    sent: Sent

    def offset(self) -> int:
        return self.at

    def key(self) -> bytes | None:
        return self.sent.key

    def value(self) -> bytes | None:
        return self.sent.value

    def headers(self) -> Headers:
        return self.sent.headers

    def timestamp(self) -> tuple[int, int]:
        return 1, self.sent.timestamp_ms


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1.0
        return self.now_s


def ask(path: str) -> dict[str, Any]:
    """A gateway that has copied source offsets 0 to 3 and 5 to 6; 4 is a marker, destination offset 4 foreign."""
    if path == "/v1/status":
        lane = {"subscription": "s", "topic": "flights", "partition": 0, "source_position": 7}
        return {"lanes": [lane, lane | {"topic": "other"}]}
    query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
    first, count = int(query["offset"]), int(query["count"])
    places = {0: 0, 1: 1, 2: 2, 3: 3, 5: 5, 6: 6}
    if query.get("reverse"):
        sources = {place: source for source, place in places.items()}
        return {"answers": [_back(at, sources.get(at)) for at in range(first, min(first + count, 7))]}
    return {"answers": [_forward(at, places.get(at)) for at in range(first, min(first + count, 7))]}


def _forward(offset: int, place: int | None) -> dict[str, object]:
    if place is None:
        return {"answer": "gap", "reason": "marker", "source_offset": offset, "destination_offset": 5}
    return {"answer": "exact", "source_offset": offset, "destination_offset": place}


def _back(place: int, source: int | None) -> dict[str, object]:
    if source is None:
        return {"answer": "foreign", "destination_offset": place, "source_offset": 5}
    return {"answer": "exact", "destination_offset": place, "source_offset": source}


def test_a_translation_is_asked_offset_by_offset() -> None:
    lines = table_lines(ask, "s", "flights", 0, range(9), range(9))
    assert lines == [["run", 0, 0, 4], ["gap", 4, 5, "marker"], ["run", 5, 5, 2], ["foreign", 4, 5]]


def test_where_lanes_stand_is_noted_with_what_they_acknowledged(tmp_path: Path) -> None:
    RunDirectory(tmp_path, Clock()).note_ends(ask, {("s", "flights", 0): "flights-0"}, lambda lane: (9, 8))
    (ack,) = (tmp_path / "acks.jsonl").read_text().splitlines()
    (end,) = (tmp_path / "ends.jsonl").read_text().splitlines()
    assert json.loads(ack) == {"lane": "flights-0", "position": 7, "at_s": 2.0}
    assert json.loads(end) == {
        "lane": "flights-0", "asked_s": 1.0, "at_s": 3.0, "source_end": 9, "position": 7, "destination_end": 8,
    }  # fmt: skip


def test_a_partition_is_read_raw_into_the_directory(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path, Clock())
    with serving(Log()) as connection:
        address = connection.address
        directory.read_raw(Where("acme", "flights", 3), address, topic_id="one")
    (line,) = (tmp_path / "logs.jsonl").read_text().splitlines()
    told = json.loads(line)
    assert (told["start"], told["end"], told["topic_id"], told["kind"]) == (START, END, "one", "raw")
    assert (tmp_path / told["file"]).stat().st_size > 0


def test_writes_without_an_answer_are_unknown(tmp_path: Path) -> None:
    journal = WriteJournal(tmp_path, "w", "acme", Random(1))
    first, second = (journal.sent("flights", 0, b"k", None, [], TIMESTAMP_MS) for _ in range(2))
    journal.answered(first, "ok", 7)
    journal.answered(first, "fail")
    journal.close()
    lines = [json.loads(line) for line in (tmp_path / "writes" / "w.jsonl").read_text().splitlines()]
    assert [(each["n"], each["outcome"], each["offset"]) for each in lines] == [(0, "ok", 7), (1, "info", None)]
    assert first.id != second.id
    assert lines[0]["value"] is None


@pytest.fixture
def sent(tmp_path: Path) -> list[Sent]:
    journal = WriteJournal(tmp_path, "w", "acme", Random(2))
    values = [b"one", b"", None]
    found = [journal.sent("flights", 0, b"k", value, [("a", None), ("a", b"")], TIMESTAMP_MS) for value in values]
    for offset, each in enumerate(found):
        journal.answered(each, "ok", offset)
    journal.close()
    return found


def collected(path: Path, sent: list[Sent]) -> None:
    clock = Clock()
    directory = RunDirectory(path, clock)
    lane: dict[str, object] = {"lane": "flights-0", "source": SOURCE.told(), "destination": COPY.told(), "grant": "g"}
    directory.describe(7, [lane], granted_topics=[["acme", "flights"]])
    directory.note_trust("opened", grant="g")
    directory.note_trust("admitted", claimed="globex.example", issuer="globex.example")
    directory.note_producer("flights-0", 41, 0, "gateway-1")
    directory.note_event("fault")
    directory.note_event("heal")
    records: list[Encoded] = [
        (at, each.timestamp_ms, each.key, each.value, [(name.encode(), field) for name, field in each.headers])
        for at, each in enumerate(sent)
    ]
    table = [["run", 0, 0, 3]]
    directory.note_durable("flights-0", encode(0, 2, records, producer=(41, 0, 0)), table, 0, 3, 3)
    for where, producer in ((SOURCE, (-1, -1, -1)), (COPY, (41, 0, 0))):
        name = f"logs/{where.file}"
        (path / name).write_bytes(encode(0, 2, records, producer=producer))
        told = where.told() | {"kind": "raw", "reader": "raw", "start": 0, "end": 3, "file": name}
        with (path / "logs.jsonl").open("a") as file:
            file.write(json.dumps(told) + "\n")
        directory.note_seen(where, "stock", 0, 3, [Message(at, each) for at, each in enumerate(sent)])
    directory.note_table("flights-0", table, 0, 3, 3)
    status = {"lanes": [{"subscription": "s", "topic": "flights", "partition": 0, "source_position": 3}]}
    for _ in range(3):
        directory.note_ends(lambda path: status, {("s", "flights", 0): "flights-0"}, lambda lane: (3, 3))
    directory.note_move("g", "flights-0", 1, 1)
    directory.note_text("globex", "gateway.log", "all is well\n")


def test_what_was_collected_is_judged_by_every_check(tmp_path: Path, sent: list[Sent]) -> None:
    collected(tmp_path, sent)
    judgements = judge(read_run(tmp_path))
    assert {each.check: each.verdict for each in judgements} == {each.check: Verdict.OK for each in judgements}, (
        judgements
    )
