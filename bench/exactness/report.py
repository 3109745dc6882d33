"""The table, side by side, and the JSON of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from bench.exactness.run import Found
from bench.exactness.topics import GROUPS

Row = tuple[str, Callable[[Found], str]]


def rows() -> list[Row]:
    moved: list[Row] = [
        (f"{group.topic}, lag {group.lag:,}: re-read / skipped", lambda found, group=group: str(found.moves[group]))  # type: ignore[misc]
        for group in GROUPS
    ]
    return [
        *moved,
        ("transactions, 10 % aborted: the copy", lambda found: str(found.transactions)),
        ("SIGKILL of the mirror: the copy", lambda found: str(found.kill)),
        ("retention overrun", lambda found: noticed(found.overrun)),
        ("  records missing in the copy", lambda found: f"{found.overrun_missing:,}"),
        ("topic made anew", lambda found: noticed(found.recreated)),
        ("  new records missing in the copy", lambda found: f"{found.recreated_missing:,}"),
    ]


def noticed(complaints: list[str]) -> str:
    return "noticed" if complaints else "silent"


def table(found: Mapping[str, Found]) -> str:
    lines = [["", *found]] + [[label, *(value(each) for each in found.values())] for label, value in rows()]
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    return "\n".join("  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines)


def document(found: Mapping[str, Found]) -> dict[str, Any]:
    return {name: _plain(each) for name, each in found.items()}


def _plain(found: Found) -> dict[str, Any]:
    moves = {group.name: asdict(each) for group, each in found.moves.items()}
    return {
        "moves": moves,
        "transactions": asdict(found.transactions) if found.transactions else None,
        "kill": asdict(found.kill) | {"copied_at_kill": found.copied_at_kill} if found.kill else None,
        "overrun": {"said": found.overrun[:3], "missing": found.overrun_missing},
        "recreated": {"said": found.recreated[:3], "missing": found.recreated_missing},
    }


def is_exact(found: Found) -> bool:
    """Nothing re-read, skipped, doubled or lost, and every loss noticed."""
    copies = [each for each in (found.transactions, found.kill) if each is not None]
    return (
        all(each.is_exact for each in found.moves.values())
        and all(each.is_exact for each in copies)
        and bool(found.overrun)
        and bool(found.recreated)
    )
