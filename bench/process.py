"""A child process whose output goes to a file; it ends with us, whatever happens."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.java import start_process

LEASH = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


class Child:
    """`command` runs from now on; leaving the context ends it."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name, self.log = name, log
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            self._process = start_process(command, descriptor)
        finally:
            os.close(descriptor)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def check(self) -> None:
        """Raises RuntimeError with the end of its output where it has ended by itself."""
        if self._process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with code {self._process.returncode}:\n{self.output[-4000:]}")

    def wait_for(self, ready: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: no {what} within {timeout_s} s:\n{self.output[-4000:]}")
            time.sleep(0.02)

    def stop(self, patience_s: float = 30) -> None:
        """SIGTERM, and SIGKILL for what does not heed it; harmless when it has ended."""
        for step in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is not None:
                return
            os.killpg(self.pid, step)
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue

    def kill(self) -> None:
        """SIGKILL, at this very moment."""
        os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
