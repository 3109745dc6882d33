"""CPU time and memory of other processes, from /proc: user and system of all threads, ended ones included."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used; good to a tick, which is 10 ms. Raises OSError where it has ended."""
    return _cpu_s(Path(f"/proc/{pid}/stat"))


def cpu_of(processes: Mapping[str, int]) -> dict[str, float]:
    """The same by name."""
    return {name: cpu_s(pid) for name, pid in processes.items()}


def peak_rss_bytes(pid: int) -> int:
    """The most memory that was resident."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"process {pid} has no memory any more")


def cpu_by_thread(pid: int) -> dict[str, float]:
    """Seconds of CPU of the threads that live, added up by name."""
    found: dict[str, float] = defaultdict(float)
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # it ended meanwhile
            found[(task / "comm").read_text().strip()] += _cpu_s(task / "stat")
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _cpu_s(stat: Path) -> float:
    # the name, in brackets, may hold anything; user and system time are the 12th and 13th fields after it
    after_name = stat.read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / TICKS_PER_S
