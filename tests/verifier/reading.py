"""Reads a run directory into a `Run`. What is not there stays None or empty; what is there must be readable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.verifier.describing import describe
from tests.verifier.files import Unreadable, inside, lines_of, rows
from tests.verifier.journals import read_journal
from tests.verifier.logs import read_log
from tests.verifier.model import (
    Ack,
    Described,
    Durable,
    Event,
    Given,
    Journal,
    Lane,
    Log,
    Moved,
    Place,
    Probe,
    Run,
    TrustEvent,
)
from tests.verifier.tables import read_table

_PROBE: dict[str, object] = {
    "lane": ..., "asked_s": ..., "at_s": ..., "source_end": ..., "position": ..., "destination_end": ...,
}  # fmt: skip
_MOVED: dict[str, object] = {"group": ..., "lane": ..., "before": ..., "after": ..., "reverse": False}
_TRUST: dict[str, object] = {"what": ..., "at_s": ..., "grant": "", "claimed": "", "issuer": ""}


def read_run(directory: Path) -> Run:
    """Raises Unreadable."""
    described = describe(directory)
    run = Run(described, read_journal(directory))
    _read_logs(directory, run)
    for path in sorted((directory / "tables").glob("*.jsonl")):
        table = read_table(path)
        run.tables[table.lane] = table
    _read_small(directory, run)
    run.durable = _read_durable(directory, described, run.journal)
    run.texts = _read_texts(directory / "texts")
    names = {each.name for each in described.lanes}
    for told in [*run.tables.values(), *(run.acks or ()), *(run.moves or ()), *(run.given or ()), *(run.probes or ())]:
        if told.lane not in names:
            raise Unreadable("run.json", f"does not describe the lane {told.lane}")
    return run


def _read_small(directory: Path, run: Run) -> None:
    def of(name: str, fields: dict[str, object]) -> list[list[Any]] | None:
        return rows(directory / name, fields)

    acks, moves = of("acks.jsonl", {"lane": ..., "position": ..., "at_s": ...}), of("groups.jsonl", _MOVED)
    trust, probes = of("trust.jsonl", _TRUST), of("ends.jsonl", _PROBE)
    given = of("epochs.jsonl", {"lane": ..., "producer_id": ..., "epoch": ..., "by": ""})
    events = of("events.jsonl", {"what": ..., "at_s": ..., "lanes": ()})
    run.acks = None if acks is None else [Ack(*each) for each in acks]
    run.moves = None if moves is None else [Moved(*each) for each in moves]
    run.trust = None if trust is None else [TrustEvent(*each) for each in trust]
    run.given = None if given is None else [Given(*each) for each in given]
    run.probes = None if probes is None else [Probe(*each) for each in probes]
    run.events = None if events is None else [Event(what, at_s, tuple(lanes)) for what, at_s, lanes in events]


def _read_logs(directory: Path, run: Run) -> None:
    index = directory / "logs.jsonl"
    told = list(lines_of(index)) if index.exists() else []
    # One partition's journal at a time is indexed, so a lane's two logs are read one after the other.
    for _, line in sorted(told, key=lambda each: (str(origin(run.described, _place(each))), each[1].get("at_s", 0.0))):
        log = _log(directory, line, run.described, run.journal)
        (run.logs if log.is_raw else run.seen).setdefault(log.place, []).append(log)
    if run.journal is not None:
        run.journal.forget_index()


def _place(told: tuple[int, Any]) -> Place:
    number, line = told
    try:
        return Place(line["cluster"], line["topic"], line["partition"])
    except (KeyError, TypeError) as error:
        raise Unreadable(f"logs.jsonl:{number}", f"the field {error} is missing") from None


def _log(directory: Path, line: dict[str, Any], described: Described, journal: Journal | None) -> Log:
    place = origin(described, Place(line["cluster"], line["topic"], line["partition"]))
    try:
        return read_log(directory, line, journal.index_of(place) if journal is not None else {})
    except KeyError as error:
        raise Unreadable("logs.jsonl", f"the field {error} is missing") from None


def origin(described: Described, place: Place) -> Place:
    """The partition where the records of `place` were written first, through any chain of lanes."""
    by_destination = {each.destination: each.source for each in described.lanes}
    for _ in described.lanes:
        place = by_destination.get(place, place)
    return place


def _read_durable(directory: Path, described: Described, journal: Journal | None) -> list[Durable] | None:
    path = directory / "durable.jsonl"
    if not path.exists():
        return None
    lanes: dict[str, Lane] = {each.name: each for each in described.lanes}
    found = []
    # By lanes: one partition's index of the journal is kept at a time.
    for number, line in sorted(lines_of(path), key=lambda each: str(each[1].get("lane"))):
        try:
            place = lanes[line["lane"]].destination._asdict()
            told = (
                place
                | {"kind": "raw", "reader": "copy", "start": 0, "end": line["destination_end"]}
                | {"file": line["log"]}
            )
            log = _log(directory, told, described, journal)
            found.append(Durable(line["lane"], line["at_s"], log, read_table(inside(directory, line["table"]))))
        except KeyError as error:
            raise Unreadable(f"{path.name}:{number}", f"{error} is not known") from None
    return found


def _read_texts(directory: Path) -> dict[str, dict[str, str]] | None:
    if not directory.is_dir():
        return None
    return {
        org.name: {path.name: path.read_text(errors="replace") for path in sorted(org.iterdir()) if path.is_file()}
        for org in sorted(directory.iterdir())
        if org.is_dir()
    }
