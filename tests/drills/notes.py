"""The reasons of refusals that a gateway notes in its log, in order, as a growing list."""

from __future__ import annotations

import json
from pathlib import Path

TELLING = {"call refused": ("reason",), "redemption refused": ("code", "reason"), "link ended": ("code",)}
"""By event, the field that holds the stable name; where the first is not there, the next."""


class Notes:
    def __init__(self, log: Path) -> None:
        self._log, self._read = log, 0
        self._found: list[str] = []

    def __call__(self) -> list[str]:
        with self._log.open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        self._found += [reason for line in whole.splitlines() if (reason := _reason(line))]
        return self._found


def _reason(line: bytes) -> str:
    if not line.startswith(b"{"):
        return ""
    event = json.loads(line)
    return next((str(event[name]) for name in TELLING.get(event.get("event"), ()) if name in event), "")
