"""A module of the benchmark in a process of its own that answers a line for each line it is given."""

from __future__ import annotations

import subprocess
import sys
from types import TracebackType
from typing import Self

from bench.process import LEASH


class Asked:
    """It runs from construction on; leaving the context ends it."""

    def __init__(self, module: str, *arguments: str) -> None:
        command = [*LEASH, sys.executable, "-m", module, *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @property
    def pid(self) -> int:
        return self._process.pid

    def say(self, line: str) -> str:
        """Its answer to `line`. Raises RuntimeError where it has ended."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self.hear()

    def hear(self) -> str:
        """What it says next. Raises RuntimeError where it has ended."""
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise RuntimeError(f"{self._process.args!r} has ended")
        return line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            self._process.kill()
