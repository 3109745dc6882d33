"""The write journal, `writes/*.jsonl`: what every writer tried, and what became of it."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar

from tests.verifier.contents import ID_BYTES, content_of_parts, part
from tests.verifier.describing import place_of
from tests.verifier.files import Unreadable, lines_of
from tests.verifier.model import NONE, OUTCOMES, Journal, Place

_T = TypeVar("_T", bound=Hashable)
_NULL_PART = part(None)


def read_journal(directory: Path) -> Journal | None:
    """None where there is none. Raises Unreadable."""
    files = sorted((directory / "writes").glob("*.jsonl"))
    if not files:
        return None
    reader = _Reader()
    for path in files:
        for number, line in lines_of(path):
            try:
                reader.take(line)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise Unreadable(f"{path.name}:{number}", f"{type(error).__name__}: {error}") from None
    return reader.journal


def part_of(digest: str | None) -> bytes:
    """A key's or value's part of a record's digest, from the journal's hex."""
    return _NULL_PART if digest is None else b"\x01" + bytes.fromhex(digest)


def headers_of(raw: list[list[str | None]]) -> list[tuple[bytes, bytes | None]]:
    return [((name or "").encode(), None if field is None else bytes.fromhex(field)) for name, field in raw]


class _Reader:
    def __init__(self) -> None:
        self.journal = Journal()
        self._places: dict[Place, int] = {}
        self._writers: dict[str, int] = {}
        self._transactions: dict[tuple[str, str], int] = {}

    def take(self, line: dict[str, Any]) -> None:
        journal = self.journal
        if "n" not in line:
            journal.transaction_outcomes[line["writer"], line["transaction"]] = line["outcome"]
            return
        identity = bytes.fromhex(line["id"])
        if len(identity) != ID_BYTES:
            raise ValueError(f"an id has {ID_BYTES} bytes")
        journal.ids += identity
        headers = headers_of(line["headers"]) if line.get("headers") else []
        journal.digests += content_of_parts(part_of(line["key"]), part_of(line["value"]), headers)
        journal.timestamps.append(line["timestamp_ms"])
        offset, transaction = line.get("offset"), line.get("transaction")
        journal.offsets.append(NONE if offset is None else offset)
        journal.outcomes.append(OUTCOMES[line["outcome"]])
        journal.places.append(_number(self._places, journal.place_names, place_of(line)))
        journal.writers.append(_number(self._writers, journal.writer_names, line["writer"]))
        journal.numbers.append(line["n"])
        name = None if transaction is None else (line["writer"], transaction)
        numbered = NONE if name is None else _number(self._transactions, journal.transaction_names, name)
        journal.transactions.append(numbered)


def _number(numbers: dict[_T, int], names: list[_T], name: _T) -> int:
    if name not in numbers:
        numbers[name] = len(names)
        names.append(name)
    return numbers[name]
