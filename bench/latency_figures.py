"""From measured windows to rows, targets and a table. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.goal import Target, grid
from bench.latency_load import Window
from tests.support.figures import percentile

MESH, PEER, TUNED, DIRECT = "mesh", "mirrormaker2", "mirrormaker2 tuned", "no mirror"
TARGET_RATE = 500
MOST_OF_PEER = 0.5
KEPT_PART = 0.98
"""Of the records asked for: a producer that sends fewer has not kept the rate."""
KEPT_BEHIND_S = 0.5
"""A destination that is further behind when the last record is sent falls behind, whatever the percentiles say."""


@dataclass(frozen=True, slots=True)
class Row:
    """One mirror at one rate, times in ms; CPU in parts of a core, by process."""

    mirror: str
    records_per_s: int
    linger_ms: float
    sent_per_s: float
    sent: int
    missing: int
    twice: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    kept: bool
    why_not: str
    cores: dict[str, float]

    def mirrors_cores(self) -> float:
        """Of everything that mirrors; the brokers are not counted."""
        return sum(cores for name, cores in self.cores.items() if not name.startswith("broker"))


def row(mirror: str, window: Window) -> Row:
    latencies = window.latencies_ms or (float("inf"),)
    why = not_kept(window)
    return Row(
        mirror=mirror,
        records_per_s=window.wanted_per_s,
        linger_ms=window.linger_ms,
        sent_per_s=round(window.sent / window.seconds, 1),
        sent=window.sent,
        missing=window.sent - window.heard,
        twice=window.twice,
        p50_ms=round(percentile(latencies, 0.5), 2),
        p99_ms=round(percentile(latencies, 0.99), 2),
        p999_ms=round(percentile(latencies, 0.999), 2),
        max_ms=round(max(latencies), 2),
        kept=not why,
        why_not=why,
        cores={name: round(seconds / window.seconds, 4) for name, seconds in window.cpu_s.items()},
    )


def not_kept(window: Window) -> str:
    """Why the window does not show a steady state at its rate; empty: it does."""
    sent_per_s = window.sent / window.seconds
    if sent_per_s < KEPT_PART * window.wanted_per_s:
        return f"the producer sent {sent_per_s:,.0f} records/s"
    behind_s = (window.sent - window.heard_in_time) / sent_per_s
    if behind_s > KEPT_BEHIND_S:
        return f"the destination was {behind_s:.1f} s behind at the end"
    return ""


def targets(rows: Sequence[Row]) -> list[Target]:
    """Of the mesh against MirrorMaker as it comes; none where one of the two was not measured."""
    found = {(each.mirror, each.records_per_s): each for each in rows}
    mesh, peer = found.get((MESH, TARGET_RATE)), found.get((PEER, TARGET_RATE))
    if mesh is None or peer is None:
        return []
    unit = "of MirrorMaker 2 as it comes"
    return [
        Target(f"latency p50 at {TARGET_RATE} records/s", mesh.p50_ms / peer.p50_ms, MOST_OF_PEER, unit),
        Target(f"latency p99 at {TARGET_RATE} records/s", mesh.p99_ms / peer.p99_ms, MOST_OF_PEER, unit),
    ]


def table(rows: Sequence[Row]) -> str:
    head = ["mirror", "records/s", "linger", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "cores", "brokers", "note"]
    lines = [head]
    for each in sorted(rows, key=lambda row: row.records_per_s):
        times = [f"{value:.1f}" for value in (each.p50_ms, each.p99_ms, each.p999_ms, each.max_ms)]
        ours = each.mirrors_cores()
        brokers = sum(each.cores.values()) - ours
        rate = f"{each.records_per_s:,}"
        lines.append([each.mirror, rate, f"{each.linger_ms:g}", *times, f"{ours:.2f}", f"{brokers:.2f}", note(each)])
    return grid(lines)


def note(row: Row) -> str:
    said = [] if row.kept else [f"NOT KEPT: {row.why_not}"]
    said += [f"{row.missing} missing"] if row.missing else []
    said += [f"{row.twice} twice"] if row.twice else []
    return "; ".join(said) or "kept"


def by_process(row: Row) -> Mapping[str, str]:
    return {name: f"{cores:.2f}" for name, cores in row.cores.items()}
