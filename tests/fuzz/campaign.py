"""A campaign: mutants of one target by seed, each under a clock; what breaks the law is shrunk and kept.

A. Mutant i of seed s is the same in every campaign: it has a `Random` of its own.
B. A mutant may take HANG_S of CPU; past it the alarm interrupts it with its stack, and one that only waits is
   interrupted after STUCK_S. The memory of the process is bounded, too.
"""

from __future__ import annotations

import hashlib
import resource
import signal
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType

from tests.fuzz.findings import ACCEPTED, Target

HANG_S = 5.0
"""Of the process's own time, as SLOW_S, so that a busy machine is no finding."""
SLOW_S = 1.0
STUCK_S = 300.0
"""By the wall: for what waits and takes no time."""
CLOCKS = {signal.ITIMER_PROF: signal.SIGPROF, signal.ITIMER_REAL: signal.SIGALRM}
MEMORY_BYTES = 768 << 20
"""More than the base of a campaign by far less than what a bomb would take."""
_TRIES = 2000
_MANY = 0x9E3779B97F4A7C15


class Hang(BaseException):
    """Not an Exception: nothing that is tested may catch it."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A finding: the input, what went wrong, and where."""

    data: bytes
    why: str
    place: str
    """Where in the code, by which findings are told apart."""

    @property
    def name(self) -> str:
        return hashlib.sha256(self.data).hexdigest()[:12]


@dataclass
class Result:
    target: str
    mutants: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    findings: dict[str, Broken] = field(default_factory=dict)

    @property
    def accepted(self) -> int:
        return self.outcomes[ACCEPTED]

    def line(self) -> str:
        rate = self.mutants / self.seconds if self.seconds else 0.0
        return (
            f"{self.target:12} {self.mutants:9} mutants {rate:8.0f}/s  accepted {self.accepted:8}  "
            f"{len(self.outcomes):3} outcomes  slowest {1000 * self.slowest_s:6.1f} ms  {len(self.findings)} findings"
        )


def mutant(target: Target, seed: int, index: int) -> bytes:
    return target.mutant(Random((seed * _MANY + index) & ((1 << 64) - 1)))


def run(target: Target, mutants: int, seed: int, first: int = 0) -> Result:
    """So many mutants from number `first` on."""
    result = Result(target.name)
    check(target, mutant(target, seed, first))  # what is made once should not count
    began = time.perf_counter()
    with alarms():
        for index in range(first, first + mutants):
            data = mutant(target, seed, index)
            at = time.process_time()
            broken = check(target, data)
            result.slowest_s = max(result.slowest_s, took := time.process_time() - at)
            if took > SLOW_S:
                broken = Broken(data, f"it took {took:.1f} s", "slow")
            if isinstance(broken, str):
                result.outcomes[broken] += 1
            elif broken.place not in result.findings:
                result.findings[broken.place] = shrunk(target, broken)
            result.mutants += 1
    result.seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    if peak > MEMORY_BYTES:
        result.findings["memory"] = Broken(b"", f"the process has taken {peak >> 20} MiB", "memory")
    return result


def check(target: Target, data: bytes) -> str | Broken:
    """What it came to, or how the law was broken."""
    signal.setitimer(signal.ITIMER_PROF, HANG_S)
    signal.setitimer(signal.ITIMER_REAL, STUCK_S)
    try:
        return target.check(data)
    except Hang as error:
        return Broken(data, f"it hangs: {error}", f"hang {error}")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of a library's Rust is no Exception
        return Broken(data, f"{type(error).__name__}: {error}"[:2000], _place(error))
    finally:
        for timer in CLOCKS:
            signal.setitimer(timer, 0)


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} " + " < ".join(
        f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-3:])
    )


@contextmanager
def alarms() -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}" if frame else "?"
        raise Hang(where)

    before = {number: signal.signal(number, ring) for number in CLOCKS.values()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def shrunk(target: Target, broken: Broken) -> Broken:
    """The same finding with as few bytes as are found by taking pieces away."""
    if broken.place == "slow" or broken.place.startswith("hang"):
        return broken
    best, tries, size = broken, 0, max(1, len(broken.data) // 2)
    while size and tries < _TRIES:
        at = 0
        while at < len(best.data) and tries < _TRIES:
            tries += 1
            found = check(target, best.data[:at] + best.data[at + size :])
            if isinstance(found, Broken) and found.place == best.place:
                best = found
            else:
                at += size
        size //= 2
    return best
