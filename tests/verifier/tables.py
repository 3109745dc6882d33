"""The translation that a gateway claims, `tables/<lane>.jsonl`: a head, then runs, gaps, foreign ranges, answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.verifier.files import Unreadable, lines_of
from tests.verifier.model import NONE, Entry, Table


def read_table(path: Path) -> Table:
    """Raises Unreadable."""
    table: Table | None = None
    for number, line in lines_of(path):
        try:
            if table is None:
                table = Table(line["lane"], line["start"], line["position"], line["destination_end"], [])
            else:
                _take(table, line)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise Unreadable(f"{path.name}:{number}", f"{type(error).__name__}: {error}") from None
    if table is None:
        raise Unreadable(path.name, "is empty")
    table.entries.sort(key=lambda each: each.first)
    return table


def _take(table: Table, line: Any) -> None:
    if isinstance(line, dict):
        table.answers.append(line)
        return
    match line:
        case ["run", int(source), int(destination), int(count)] if count > 0:
            table.entries.append(Entry(source, source + count, destination))
        case ["gap", int(first), int(end), str(reason)] if end > first and reason:
            table.entries.append(Entry(first, end, NONE, reason))
        case ["foreign", int(first), int(end)] if end > first:
            table.foreign.append((first, end))
        case _:
            raise ValueError(f"neither run, gap, foreign nor answer: {line}")
