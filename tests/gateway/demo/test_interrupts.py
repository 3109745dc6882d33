"""An interrupt never falls between the start of a process and its owner's knowing it."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gateway.demo.interrupts import Interrupts
from gateway.demo.shell import Shell


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    made = Interrupts()
    made.listen()
    yield made
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_raised_at_once_where_nobody_holds_it(interrupts: Interrupts, number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_an_interrupt_waits_for_the_last_holder(interrupts: Interrupts) -> None:
    passed = []

    def start_two() -> None:
        with interrupts.held():
            with interrupts.held():
                signal.raise_signal(signal.SIGINT)
                passed.append("inner")
            passed.append("outer")

    with pytest.raises(KeyboardInterrupt):
        start_two()
    assert passed == ["inner", "outer"]


def test_a_process_whose_start_is_interrupted_is_ended(
    interrupts: Interrupts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[Any]] = []

    class Interrupted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            started.append(self)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    shell = Shell(tmp_path, Console(file=io.StringIO()), interrupts)
    with pytest.raises(KeyboardInterrupt):
        shell.mesh("topic", "list")
    shell.close()
    (process,) = started
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
