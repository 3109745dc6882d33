"""A clock of its own for one gateway process, which a test moves while it runs (libfaketime).

Only the time of day is moved: loops and gRPC keep time by the monotonic clock, which no step of the other one touches.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import libfaketime


@dataclass(frozen=True, slots=True)
class Clock:
    """`file` is read by the process at each look at the time."""

    file: Path

    def environment(self) -> dict[str, str]:
        library = Path(libfaketime.__file__).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
        self.move(0)
        return {
            "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1",
        }  # fmt: skip

    def move(self, seconds: float) -> None:
        """From now on it is this much ahead of the true time; negative: behind."""
        self._write(f"{seconds:+.0f}s")

    def freeze(self, at: str) -> None:
        """It stands at `at`, YYYY-MM-DD hh:mm:ss of the machine's time zone."""
        self._write(at)

    def _write(self, text: str) -> None:
        # Replaced whole: the process may look at any moment.
        aside = self.file.with_name(f"{self.file.name}.next")
        aside.write_text(f"{text}\n")
        os.replace(aside, self.file)
