"""What was, for the plots: samples of each subscription and of each share that a peer reads, in rings. No IO.

Strategy: a sample is six numbers in an array, every two seconds for half an hour and every minute for a day. A ring is
112,320 bytes when it is full, and there are MAX_SERIES of them: whatever a gateway mirrors, its past takes 7 MB.
Throughput is not kept: whoever asks takes the difference of two samples.

A. Where there are more series than MAX_SERIES, those that come later have no past.
B. A series whose subject is gone goes with it.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from gateway.services import Services
from mesh.lanes.status import LaneStatus

FINE_MS: Final = 2_000
FINE: Final = 900
COARSE_MS: Final = 60_000
COARSE: Final = 1_440
MAX_SERIES: Final = 64
RATE_MS: Final = 10_000
"""A rate is over this time, or what there is of it."""


class Sample(NamedTuple):
    """Numbers that are not known are NaN. `records` and `size_bytes` only rise while the process lives."""

    time_ms: float
    records: float
    size_bytes: float
    lag_records: float
    lag_s: float
    gaps: float


WIDTH: Final = len(Sample._fields)


class Ring:
    """The newest `size` samples, at least `every_ms` apart."""

    def __init__(self, size: int, every_ms: int) -> None:
        self._size, self._every_ms = size, every_ms
        self._held = array("d")
        self._next = 0
        self._last_ms = -math.inf

    def __repr__(self) -> str:
        return f"<Ring {len(self)} of {self._size}>"

    def __len__(self) -> int:
        return len(self._held) // WIDTH

    def add(self, sample: Sample) -> None:
        if sample.time_ms < self._last_ms + self._every_ms * 0.9:
            return  # a timer that comes early is still on time
        self._last_ms = sample.time_ms
        if len(self) < self._size:
            self._held.extend(sample)
            return
        at = self._next * WIDTH
        self._held[at : at + WIDTH] = array("d", sample)
        self._next = (self._next + 1) % self._size

    def __iter__(self) -> Iterator[Sample]:
        """The oldest first."""
        for number in range(len(self)):
            at = (self._next + number) % len(self) * WIDTH
            yield Sample(*self._held[at : at + WIDTH])

    def newest(self, back: int = 0) -> Sample | None:
        """The last one, or the one `back` before it."""
        if back >= len(self):
            return None
        at = (self._next - 1 - back) % len(self) * WIDTH
        return Sample(*self._held[at : at + WIDTH])


class Rates(NamedTuple):
    records_per_s: float
    bytes_per_s: float


class History:
    def __init__(self) -> None:
        self._series: dict[str, tuple[Ring, Ring]] = {}

    def __repr__(self) -> str:
        return f"<History of {len(self._series)}>"

    def add(self, samples: Mapping[str, Sample]) -> None:
        """One sample of each series; series that are not there end (B)."""
        for gone in self._series.keys() - samples.keys():
            del self._series[gone]
        for name, sample in samples.items():
            if name not in self._series and len(self._series) < MAX_SERIES:
                self._series[name] = (Ring(FINE, FINE_MS), Ring(COARSE, COARSE_MS))
            for ring in self._series.get(name, ()):
                ring.add(sample)

    def samples(self, name: str, since_ms: float) -> list[Sample]:
        """The finest that reach back to `since_ms`, the oldest first; else the coarse ones."""
        if name not in self._series:
            return []
        fine, coarse = self._series[name]
        begin = next(iter(fine), None)
        reaches = begin is not None and (begin.time_ms <= since_ms or len(fine) < FINE)
        return [each for each in (fine if reaches else coarse) if each.time_ms >= since_ms]

    def rates(self, name: str) -> Rates | None:
        """Of the last RATE_MS; None where there are no two samples, or counting began anew between them."""
        if name not in self._series:
            return None
        fine = self._series[name][0]
        back = min(RATE_MS // FINE_MS, len(fine) - 1)
        last, before = fine.newest(), fine.newest(max(back, 0))
        if last is None or before is None or last.time_ms <= before.time_ms:
            return None
        seconds = (last.time_ms - before.time_ms) / 1000
        found = Rates((last.records - before.records) / seconds, (last.size_bytes - before.size_bytes) / seconds)
        return None if math.isnan(found.records_per_s) or min(found) < 0 else found


def subscription_series(name: str) -> str:
    return f"subscription:{name}"


def export_series(peer: str, share: str) -> str:
    return f"export:{share}:{peer}"


def sampled(services: Services) -> dict[str, Sample]:
    """A sample of everything, as of now."""
    now_ms = float(services.now_ms())
    none: dict[str, list[LaneStatus]] = {str(name): [] for name in services.registry.subscriptions}
    lanes = none | by_subscription(services.lanes.statuses())
    found = {subscription_series(name): _of_lanes(now_ms, held) for name, held in sorted(lanes.items())}
    for (peer, share), exported in sorted(exports_by_share(services.links.exports()).items()):
        found[export_series(peer, share)] = _of_exports(now_ms, exported)
    return found


def by_subscription(statuses: Iterable[LaneStatus]) -> dict[str, list[LaneStatus]]:
    """In the order in which they are given."""
    found: dict[str, list[LaneStatus]] = {}
    for status in statuses:
        found.setdefault(status.lane.subscription, []).append(status)
    return found


def exports_by_share(exports: Iterable[Mapping[str, object]]) -> dict[tuple[str, str], list[Mapping[str, object]]]:
    """What peers read from us, by peer and share."""
    found: dict[tuple[str, str], list[Mapping[str, object]]] = {}
    for lane in exports:
        found.setdefault((str(lane["peer"]), str(lane["share"])), []).append(lane)
    return found


def _of_lanes(now_ms: float, lanes: Iterable[LaneStatus]) -> Sample:
    held = list(lanes)
    return Sample(
        now_ms,
        sum(lane.records for lane in held),
        sum(lane.size_bytes for lane in held),
        _sum([lane.lag_records for lane in held]),
        max((lane.lag_s for lane in held if lane.lag_s is not None), default=math.nan),
        sum(lane.gaps for lane in held),
    )


def _of_exports(now_ms: float, lanes: Iterable[Mapping[str, object]]) -> Sample:
    """What the peer has acknowledged stands for records, what lies behind it for the lag."""
    held = [(_whole(lane["acknowledged"]), _whole(lane["log_end"])) for lane in lanes]
    known = [(acknowledged, end) for acknowledged, end in held if acknowledged >= 0 and end >= 0]
    if not known:
        return Sample(now_ms, math.nan, math.nan, math.nan, math.nan, 0)
    behind = sum(max(0, end - acknowledged) for acknowledged, end in known)
    return Sample(now_ms, sum(acknowledged for acknowledged, _ in known), 0, behind, math.nan, 0)


def _whole(value: object) -> int:
    return value if isinstance(value, int) else -1


def _sum(numbers: Iterable[int | None]) -> float:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else math.nan
