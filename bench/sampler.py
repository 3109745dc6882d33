"""Runs the `mesh` command and samples what its main thread spends CPU time on.

    python -m bench.sampler OUTPUT gateway run --config …

A timer of the process's CPU time interrupts; each sample is weighed with the CPU time of the main thread since the
last, so idle moments and gRPC's own threads do not count. What a C function spends is charged to the line that called
it.
"""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType

INTERVAL_S = 0.001
DEPTH = 60

Place = tuple[str, str, int]


class Sampler:
    def __init__(self) -> None:
        self.own: Counter[Place] = Counter()
        self.within: Counter[tuple[str, str]] = Counter()
        self._last_s = time.thread_time()

    def sample(self, _: int, frame: FrameType | None) -> None:
        now_s = time.thread_time()
        weight_us, self._last_s = round((now_s - self._last_s) * 1e6), now_s
        if frame is None:
            return
        code = frame.f_code
        self.own[code.co_filename, code.co_qualname, frame.f_lineno] += weight_us
        seen: set[tuple[str, str]] = set()
        while frame is not None and len(seen) < DEPTH:
            seen.add((frame.f_code.co_filename, frame.f_code.co_qualname))
            frame = frame.f_back
        for place in seen:
            self.within[place] += weight_us

    def report(self, top: int = 45) -> str:
        total_s = sum(self.own.values()) / 1e6
        lines = [f"main thread: {total_s:.2f} CPU-s", "", "by line (with the C code it calls):"]
        for (file, name, line), weight_us in self.own.most_common(top):
            lines.append(f"{weight_us / 1e6:8.3f} s  {name:45} {_short(file)}:{line}")
        lines += ["", "by function, with all it calls:"]
        for (file, name), weight_us in self.within.most_common(top):
            lines.append(f"{weight_us / 1e6:8.3f} s  {name:45} {_short(file)}")
        return "\n".join(lines) + "\n"


def _short(file: str) -> str:
    return "/".join(Path(file).parts[-3:])


def main() -> None:
    output, sys.argv[1:] = Path(sys.argv[1]), sys.argv[2:]
    sampler = Sampler()
    signal.signal(signal.SIGPROF, sampler.sample)
    signal.siginterrupt(signal.SIGPROF, False)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)
    from gateway.cli.main import main as mesh

    try:
        mesh()
    finally:
        # a signal that comes once the interpreter is gone would end the process before its output is written
        signal.setitimer(signal.ITIMER_PROF, 0)
        output.write_text(sampler.report())


if __name__ == "__main__":
    main()
