"""The measures of the drill on streams that break what is promised: each must say so."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.drills import measures
from tests.drills.attack import Measure
from tests.drills.stream import Stream


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "BOUND_S", 0.1)
    monkeypatch.setattr(measures, "WATCH_S", 0.2)


class Scripted:
    """Copies what is written at once, unless it is cut off; `after_s` is how long a cut takes to count."""

    def __init__(self, after_s: float) -> None:
        self.stream = Stream()
        self._after_s = after_s
        self._cut_s: float | None = None
        self.stopped = threading.Event()

    def cut(self) -> None:
        self._cut_s = time.monotonic()

    def restore(self) -> None:
        self._cut_s = None

    def run(self) -> None:
        stream = self.stream
        while not self.stopped.wait(0.005):
            stream.written_s.append(time.monotonic())
            if self._cut_s is None or time.monotonic() < self._cut_s + self._after_s:
                stream.arrived.append((len(stream.written_s) - 1, time.monotonic()))


@contextmanager
def scripted(after_s: float) -> Iterator[Scripted]:
    script = Scripted(after_s)
    thread = threading.Thread(target=script.run)
    thread.start()
    try:
        yield script
    finally:
        script.stopped.set()
        thread.join()


@pytest.mark.parametrize(("after_s", "kept"), [(0.0, True), (0.15, False), (60.0, False)])
def test_a_cut_that_takes_too_long_misses_its_bound(after_s: float, kept: bool) -> None:
    with scripted(after_s) as script:
        (measure,) = measures._cuts("cut", script.stream, 2, script.cut, script.restore)
    assert measure.kept is kept, measure


def test_silence_of_a_source_that_stopped_shows_nothing() -> None:
    with scripted(0.0) as script, pytest.raises(RuntimeError, match="the source did not go on"):
        measures._cuts("cut", script.stream, 1, script.stopped.set, script.restore)


@pytest.mark.parametrize(("times", "kept"), [([0.01, 0.09], True), ([0.01, 0.11], False), ([], False)])
def test_one_late_record_or_none_at_all_misses_the_bound(times: list[float], kept: bool) -> None:
    assert measures._judged("late", times).kept is kept


async def test_what_breaks_is_a_measure_that_missed() -> None:
    def broken(*_: Any) -> list[Measure]:
        raise TimeoutError("nothing arrived")

    (measure,) = await measures.carried_out(broken)
    assert measure == ("broken", "not measured: TimeoutError('nothing arrived')", "", False)
