"""From watched catch-ups to rates, costs of a round trip, targets and a table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.goal import Target, grid
from bench.watch import Mark, Watched

MESH, PEER = "mesh", "mirrormaker2 tuned"
TARGET_LANES, TARGET_MS = 4, 100
MOST_LOST_PERCENT = 20.0


@dataclass(frozen=True, slots=True)
class Trip:
    """One catch-up through the wire."""

    mirror: str
    lanes: int
    round_trip_ms: int
    turn: int
    """Trips of one mirror, number of lanes and turn were made after each other."""
    seconds: float
    mb_per_s: float
    """From the first record in the copy to the last: finding out the windows is in it."""
    second_half_mb_per_s: float
    mirror_cores: float
    wire_cores: float
    """What the proxy used: at 1 it would be what limits."""


def trip(
    mirror: str, lanes: int, round_trip_ms: int, turn: int, watched: Watched, record_bytes: int, ours: Iterable[str]
) -> Trip:
    first, half, last = watched.first, watched.half, watched.last
    seconds = max(last.at_s - first.at_s, 1e-9)
    used = {name: last.cpu[name] - first.cpu[name] for name in last.cpu}
    return Trip(
        mirror=mirror,
        lanes=lanes,
        round_trip_ms=round_trip_ms,
        turn=turn,
        seconds=round(seconds, 2),
        mb_per_s=round(_rate(first, last, record_bytes), 1),
        second_half_mb_per_s=round(_rate(half, last, record_bytes), 1),
        mirror_cores=round(sum(used[name] for name in ours) / seconds, 2),
        wire_cores=round(used["wire"] / seconds, 2),
    )


def _rate(begin: Mark, end: Mark, record_bytes: int) -> float:
    return (end.records - begin.records) * record_bytes / 1e6 / max(end.at_s - begin.at_s, 1e-9)


def lost_percent(trips: Sequence[Trip], mirror: str, lanes: int, round_trip_ms: int) -> float | None:
    """Of the throughput without an added round trip: the median over the turns; None where nothing compares."""
    chosen = {(each.turn, each.round_trip_ms): each for each in trips if (each.mirror, each.lanes) == (mirror, lanes)}
    turns = {turn for turn, _ in chosen}
    pairs = [(chosen.get((turn, 0)), chosen.get((turn, round_trip_ms))) for turn in turns]
    lost = [100 * (1 - late.mb_per_s / plain.mb_per_s) for plain, late in pairs if plain and late]
    return median(lost) if lost else None


def targets(trips: Sequence[Trip]) -> list[Target]:
    lost = lost_percent(trips, MESH, TARGET_LANES, TARGET_MS)
    if lost is None:
        return []
    name = f"throughput lost by {TARGET_MS} ms of added round trip, {TARGET_LANES} lanes"
    return [Target(name, lost, MOST_LOST_PERCENT, "%")]


def table(trips: Sequence[Trip]) -> str:
    """Medians of the turns, with the least and the most."""
    lines = [["mirror", "lanes", "round trip", "MB/s", "least to most", "second half", "lost", "cores", "wire's cores"]]
    for mirror, lanes, ms in sorted({(each.mirror, each.lanes, each.round_trip_ms) for each in trips}):
        found = [each for each in trips if (each.mirror, each.lanes, each.round_trip_ms) == (mirror, lanes, ms)]
        rates = [each.mb_per_s for each in found]
        lost = lost_percent(trips, mirror, lanes, ms)
        lines.append(
            [
                mirror,
                str(lanes),
                f"{ms} ms",
                f"{median(rates):.1f}",
                f"{min(rates):.1f} to {max(rates):.1f}",
                f"{median(each.second_half_mb_per_s for each in found):.1f}",
                "" if lost is None or not ms else f"{lost:.0f} %",
                f"{median(each.mirror_cores for each in found):.2f}",
                f"{median(each.wire_cores for each in found):.2f}",
            ]
        )
    return grid(lines)
