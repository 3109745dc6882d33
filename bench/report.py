"""What was measured, as numbers, as text and as JSON.

The catch-up phase goes from the first moment at which a record was seen in the copy to the first at which all were; its
rates count what was copied in between. `total` counts from the start of the process, with all that it takes to begin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.options import GB
from bench.watch import Mark, Watched


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of the copy: CPU of everything that mirrors, and of the two brokers for information."""

    records: int
    seconds: float
    mb_per_s: float
    cpu_s_per_gb: float
    cpu_s_per_million: float
    cpu_s_per_gb_by_process: dict[str, float]


@dataclass(frozen=True, slots=True)
class Result:
    """Of one mirror. Sizes in bytes, times in seconds."""

    name: str
    catch_up: Phase
    second_half: Phase
    total: Phase
    start_to_first_record_s: float
    cpu_to_first_record_s: float
    peak_rss_bytes: dict[str, int]
    configuration: dict[str, str]
    crossed_bytes: int | None = None

    @property
    def line(self) -> str:
        phase = self.catch_up
        return f"{self.name} {phase.mb_per_s:.0f} MB/s, {phase.cpu_s_per_gb:.2f} CPU-s/GB"


@dataclass(frozen=True, slots=True)
class Measured:
    """`mirrors` are the processes that count; `started` is taken before the first of them exists."""

    name: str
    mirrors: Sequence[str]
    started: Mark
    watched: Watched
    peak_rss_bytes: dict[str, int]
    configuration: dict[str, str]
    crossed_bytes: int | None = None
    """Between the two companies, TLS and all; None where it was not asked for."""


def result(measured: Measured, record_bytes: int) -> Result:
    watched, started = measured.watched, measured.started

    def phase(begin: Mark, end: Mark) -> Phase:
        return _phase(begin, end, measured.mirrors, record_bytes)

    return Result(
        name=measured.name,
        catch_up=phase(watched.first, watched.last),
        second_half=phase(watched.half, watched.last),
        total=phase(started, watched.last),
        start_to_first_record_s=round(watched.first.at_s - started.at_s, 2),
        cpu_to_first_record_s=round(sum(watched.first.cpu[name] for name in measured.mirrors), 2),
        peak_rss_bytes=measured.peak_rss_bytes,
        configuration=measured.configuration,
        crossed_bytes=measured.crossed_bytes,
    )


def _phase(begin: Mark, end: Mark, mirrors: Sequence[str], record_bytes: int) -> Phase:
    records, seconds = end.records - begin.records, max(end.at_s - begin.at_s, 1e-9)
    size_gb = max(records, 1) * record_bytes / GB
    used = {name: end.cpu[name] - begin.cpu.get(name, 0.0) for name in end.cpu}
    ours = sum(used[name] for name in mirrors)
    return Phase(
        records=records,
        seconds=round(seconds, 2),
        mb_per_s=round(size_gb * 1000 / seconds, 1),
        cpu_s_per_gb=round(ours / size_gb, 2),
        cpu_s_per_million=round(ours / max(records, 1) * 1e6, 2),
        cpu_s_per_gb_by_process={name: round(seconds / size_gb, 2) for name, seconds in used.items()},
    )


def table(results: Sequence[Result]) -> str:
    """The rows of one run, a column for each mirror."""
    width = max(len(label) for label, _ in _ROWS) + 2
    lines = ["".ljust(width) + "".join(each.name.rjust(16) for each in results)]
    for label, value in _ROWS:
        lines.append(label.ljust(width) + "".join(value(each).rjust(16) for each in results))
    lines.append("")
    for each in results:
        parts = ", ".join(f"{name} {value:.2f}" for name, value in each.catch_up.cpu_s_per_gb_by_process.items())
        memory = ", ".join(f"{name} {value / 1e6:.0f} MB" for name, value in each.peak_rss_bytes.items())
        lines += [f"{each.name}: CPU-s/GB in catch-up by process: {parts}", f"{each.name}: peak RSS: {memory}"]
    return "\n".join(lines)


_ROWS: list[tuple[str, Callable[[Result], str]]] = [
    ("catch-up, MB/s", lambda each: f"{each.catch_up.mb_per_s:.1f}"),
    ("catch-up, records/s", lambda each: f"{each.catch_up.records / each.catch_up.seconds:,.0f}"),
    ("catch-up, CPU-s per GB", lambda each: f"{each.catch_up.cpu_s_per_gb:.2f}"),
    ("catch-up, CPU-s per million records", lambda each: f"{each.catch_up.cpu_s_per_million:.2f}"),
    ("its second half, MB/s", lambda each: f"{each.second_half.mb_per_s:.1f}"),
    ("its second half, CPU-s per GB", lambda each: f"{each.second_half.cpu_s_per_gb:.2f}"),
    ("start to first record, s", lambda each: f"{each.start_to_first_record_s:.2f}"),
    ("start to first record, CPU-s", lambda each: f"{each.cpu_to_first_record_s:.2f}"),
    ("total with start, s", lambda each: f"{each.total.seconds:.2f}"),
    ("total with start, CPU-s per GB", lambda each: f"{each.total.cpu_s_per_gb:.2f}"),
]


def configurations(results: Sequence[Result]) -> str:
    lines: list[str] = []
    for each in results:
        lines += [f"{each.name}, configuration:", *(f"  {key} = {value}" for key, value in each.configuration.items())]
    return "\n".join(lines)


def closing_line(results: Mapping[str, Result]) -> str:
    said = "; ".join(each.line for each in results.values())
    mesh, peer = results.get("mesh"), results.get("mirrormaker2")
    if mesh and peer:
        said += f"; cpu ratio {mesh.catch_up.cpu_s_per_gb / peer.catch_up.cpu_s_per_gb:.2f}"
    return f"bench: {said}"
