"""What an operator should hear of lanes that have not stopped: one warning for all lanes of a topic that share it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from mesh.lanes.status import LaneStatus
from mesh.lanes.watch import RETENTION_WARNING_S, STALL_WARNING_S


@dataclass(frozen=True, slots=True)
class LaneWarning:
    code: str
    lanes: tuple[str, ...]
    why: str
    remedy: str


def warnings(statuses: Iterable[LaneStatus]) -> list[LaneWarning]:
    """By subscription and topic; retention before stalls, since it loses records."""
    ordered = sorted(statuses, key=lambda status: status.lane)
    topics = [list(group) for _, group in groupby(ordered, key=lambda status: status.lane[:2])]
    return [found for kind in (_retention, _stall) for lanes in topics for found in kind(lanes)]


def _retention(lanes: list[LaneStatus]) -> Iterator[LaneWarning]:
    near = _those(lanes, lambda lane: lane.retention_s is not None and lane.retention_s < RETENTION_WARNING_S)
    if near:
        first_s = min(lane.retention_s for lane in near if lane.retention_s is not None)
        heard_s = max(lane.source_heard_s or 0.0 for lane in near)
        when = f"in about {_duration(first_s)}" if first_s else "about now"
        told = f" (last heard of {_duration(heard_s)} ago)" if heard_s >= STALL_WARNING_S else ""
        yield _warning(
            "retention-near",
            near,
            f"retention at the provider reaches the lane's position {when}{told}: records will be lost to it",
            "let the lane catch up (resume it, remove what stops it), or ask the provider for longer retention",
        )


def _stall(lanes: list[LaneStatus]) -> Iterator[LaneWarning]:
    held = _those(lanes, lambda lane: lane.stalled_s >= STALL_WARNING_S)
    if held:
        records, longest_s = sum(lane.stalled_records for lane in held), max(lane.stalled_s for lane in held)
        topic = held[0].lane.topic
        yield _warning(
            "source-stalled",
            held,
            f"an open transaction at the provider has held back {records} offsets for {_duration(longest_s)}: "
            "nobody who reads only what is committed gets past it",
            f"ask {held[0].peer} to find it with kafka-transactions.sh find-hanging, and to abort it: topic {topic}",
        )


def _those(lanes: list[LaneStatus], chosen: Callable[[LaneStatus], bool]) -> list[LaneStatus]:
    return [lane for lane in lanes if chosen(lane)]


def _warning(code: str, lanes: list[LaneStatus], why: str, remedy: str) -> LaneWarning:
    names = tuple(str(lane.lane) for lane in lanes)
    return LaneWarning(code, names, f"{names[0]}{f' and {len(names) - 1} more' * (len(names) > 1)}: {why}", remedy)


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
