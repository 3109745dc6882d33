"""The rows of the growth benchmark, what is reckoned from them, targets and tables. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from statistics import fmean, linear_regression

from bench.goal import Target, grid

EXPORTER, IMPORTER, IMPORTERS = "acme.example", "globex.example", "importers"
MOST_COST_RATIO = 1.3
MOST_IDLE_MS = 0.1
MOST_IDLE_KB = 100.0
MOST_READ_RATIO = 1.3
"""Of the bytes that are new at the source, read by all subscribers together: one fetch serves all near the tip."""
MOST_BEHIND_MB = 64.0
"""What the exporter may grow by for a subscriber that has stopped: its window, the link's buffer, and copies of it."""
MOST_SLOPE_MB = 1.0


@dataclass(frozen=True, slots=True)
class LanesRow:
    """The same bytes through so many lanes. CPU in seconds by gateway, memory in bytes."""

    lanes: int
    size_gb: float
    opening_s: float
    """From the subscription until all lanes run."""
    opening_cpu_s: Mapping[str, float]
    """From the start of both until then."""
    restart_cpu_s: Mapping[str, float]
    """From a start with nothing to copy until all lanes run."""
    idle_seconds: float
    idle_cpu_s: Mapping[str, float]
    idle_broker_cpu_s: Mapping[str, float]
    idle_rss_bytes: Mapping[str, int]
    catch_up_s: float
    """From the start to the last record, as `catch_up_cpu_s`."""
    catch_up_cpu_s: Mapping[str, float]
    catch_up_broker_cpu_s: Mapping[str, float]
    peak_rss_bytes: Mapping[str, int]

    def cost(self, gateway: str = "") -> float:
        """CPU-s per GB of a gateway or both, beyond those of a start of the same lanes that had nothing to copy."""
        chosen = [gateway] if gateway else [*self.catch_up_cpu_s]
        return sum(self.catch_up_cpu_s[each] - self.restart_cpu_s[each] for each in chosen) / self.size_gb

    def idle_ms(self, gateway: str = "") -> float:
        """CPU in ms per lane and second; nothing is taken off for what a gateway without lanes costs."""
        used = self.idle_cpu_s[gateway] if gateway else sum(self.idle_cpu_s.values())
        return 1000 * used / self.idle_seconds / self.lanes


def idle_kb(few: LanesRow, many: LanesRow, gateway: str) -> float:
    """Resident KB of each lane that `many` has more than `few`."""
    return (many.idle_rss_bytes[gateway] - few.idle_rss_bytes[gateway]) / 1000 / (many.lanes - few.lanes)


@dataclass(frozen=True, slots=True)
class PeersRow:
    """So many subscribers of one share, all at the tip. CPU in seconds, summed over the importers."""

    peers: int
    steady_seconds: float
    steady_records: int
    steady_bytes: int
    """Of values, written to the source."""
    steady_read_bytes: int
    steady_fetches: int
    steady_cpu_s: Mapping[str, float]
    burst_gb: float
    burst_s: float
    burst_read_bytes: int
    burst_fetches: int
    burst_cpu_s: Mapping[str, float]
    exporter_rss_bytes: int

    @property
    def steady_read_ratio(self) -> float:
        return self.steady_read_bytes / self.steady_bytes

    @property
    def burst_read_ratio(self) -> float:
        return self.burst_read_bytes / (self.burst_gb * 1e9)

    def burst_cost(self, side: str = "") -> float:
        """CPU-s per GB that was delivered to a subscriber."""
        used = self.burst_cpu_s[side] if side else sum(self.burst_cpu_s.values())
        return used / self.burst_gb / self.peers


@dataclass(frozen=True, slots=True)
class StoppedRow:
    """One subscriber of several was stopped while much was written."""

    peers: int
    size_gb: float
    others_s: float
    """Until all others had everything; `before_s` without a stopped one."""
    before_s: float
    exporter_growth_bytes: int
    """Of its resident memory, at its peak."""
    caught_up_s: float
    """From its waking until the stopped one had everything, too."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Of both gateways while one lane copies: records so far, resident bytes."""

    records: int
    rss_bytes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class DayRow:
    """Very many small records through one lane."""

    records: int
    record_bytes: int
    seconds: float
    cpu_s: Mapping[str, float]
    samples: Sequence[Sample] = field(default_factory=list)

    def slope_mb(self, gateway: str) -> float:
        """MB per million records over the last three quarters: by then buffers and caches have been filled."""
        late = [each for each in self.samples if each.records >= self.records / 4]
        if len({each.records for each in late}) < 2:
            return float("nan")
        return linear_regression(
            [each.records / 1e6 for each in late], [each.rss_bytes[gateway] / 1e6 for each in late]
        ).slope

    def level_mb(self, gateway: str, part: int) -> float:
        """Mean of a quarter of the records, 0 to 3."""
        bounds = self.records * part / 4, self.records * (part + 1) / 4
        found = [each.rss_bytes[gateway] / 1e6 for each in self.samples if bounds[0] <= each.records <= bounds[1]]
        return fmean(found) if found else float("nan")


@dataclass
class Growth:
    """What was measured; parts that were not asked for are empty."""

    lanes: list[LanesRow] = field(default_factory=list)
    peers: list[PeersRow] = field(default_factory=list)
    stopped: StoppedRow | None = None
    day: DayRow | None = None

    def targets(self) -> list[Target]:
        found = [*_lane_targets(self.lanes)]
        if self.peers and (most := self.peers[-1]).peers > 1:
            name = f"bytes read from the source by {most.peers} subscribers near the tip"
            found.append(Target(name, most.steady_read_ratio, MOST_READ_RATIO, "of those written"))
            fewest = self.peers[0]
            if fewest.burst_cost(EXPORTER) > 0:
                name = f"exporter's CPU per GB delivered to each of {most.peers} subscribers"
                ratio = most.burst_cost(EXPORTER) / fewest.burst_cost(EXPORTER)
                found.append(Target(name, ratio, MOST_COST_RATIO, f"of that with {fewest.peers}"))
        if self.stopped:
            grown = self.stopped.exporter_growth_bytes / 1e6
            found.append(Target("exporter's growth for a stopped subscriber", grown, MOST_BEHIND_MB, "MB"))
            name = "time of the others beside a stopped subscriber"
            ratio = self.stopped.others_s / self.stopped.before_s
            found.append(Target(name, ratio, MOST_COST_RATIO, "of that without"))
        if self.day:
            for gateway, side in ((EXPORTER, "exporter"), (IMPORTER, "importer")):
                name, slope_mb = f"memory over {self.day.records:,} records, {side}", self.day.slope_mb(gateway)
                if not isnan(slope_mb):
                    found.append(Target(name, slope_mb, MOST_SLOPE_MB, "MB per million records"))
        return found

    def tables(self) -> str:
        found = []
        if self.lanes:
            found.append("the same bytes through so many lanes\n" + _lanes_table(self.lanes))
            found.append("lanes with nothing to do\n" + _idle_table(self.lanes))
        if self.peers:
            found.append("so many subscribers of one share\n" + _peers_table(self.peers))
        if self.stopped:
            found.append(_stopped_text(self.stopped))
        if self.day:
            found.append(_day_text(self.day))
        return "\n\n".join(found)


def _lane_targets(rows: Sequence[LanesRow]) -> list[Target]:
    if len(rows) < 2:
        return []
    few, many = rows[0], rows[-1]
    unit = f"of that with {few.lanes}"
    found = []
    if min(few.cost(), many.cost()) > 0:  # so little may be copied that starts differ by more
        found.append(Target(f"CPU per GB at {many.lanes:,} lanes", many.cost() / few.cost(), MOST_COST_RATIO, unit))
    found.append(
        Target(f"CPU of an idle lane, {many.lanes:,} of them", many.idle_ms(), MOST_IDLE_MS, "ms per lane and second")
    )
    for gateway, side in ((EXPORTER, "exporter"), (IMPORTER, "importer")):
        name = f"memory of an idle lane, {many.lanes:,} of them, {side}"
        found.append(Target(name, idle_kb(few, many, gateway), MOST_IDLE_KB, "KB"))
    return found


def _lanes_table(rows: Sequence[LanesRow]) -> str:
    head = [
        "lanes",
        "GB",
        "CPU-s/GB",
        "exporter",
        "importer",
        "brokers",
        "start to end s",
        "start CPU-s",
        "peak RSS MB",
    ]
    lines = [head]
    for each in rows:
        brokers = sum(each.catch_up_broker_cpu_s.values()) / each.size_gb
        peaks = " + ".join(f"{size / 1e6:.0f}" for size in each.peak_rss_bytes.values())
        costs = [each.cost(), each.cost(EXPORTER), each.cost(IMPORTER), brokers]
        start = f"{sum(each.restart_cpu_s.values()):.1f}"
        shown = [f"{cost:.2f}" for cost in costs]
        lines.append([f"{each.lanes:,}", f"{each.size_gb:.2f}", *shown, f"{each.catch_up_s:.1f}", start, peaks])
    return grid(lines)


def _idle_table(rows: Sequence[LanesRow]) -> str:
    head = ["lanes", "opened in s", "CPU-s", "idle cores", "ms/lane/s exporter", "importer", "brokers' cores", "RSS MB"]
    lines = [head]
    for each in rows:
        cores = sum(each.idle_cpu_s.values()) / each.idle_seconds
        brokers = sum(each.idle_broker_cpu_s.values()) / each.idle_seconds
        sizes = " + ".join(f"{size / 1e6:.0f}" for size in each.idle_rss_bytes.values())
        lines.append(
            [
                f"{each.lanes:,}",
                f"{each.opening_s:.1f}",
                f"{sum(each.opening_cpu_s.values()):.1f}",
                f"{cores:.3f}",
                f"{each.idle_ms(EXPORTER):.3f}",
                f"{each.idle_ms(IMPORTER):.3f}",
                f"{brokers:.3f}",
                sizes,
            ]
        )
    return grid(lines)


def _peers_table(rows: Sequence[PeersRow]) -> str:
    head = ["peers", "steady: read/written", "fetches/s", "exporter cores", "burst: read/written", "fetches"]
    head += ["exporter CPU-s per GB delivered", "importer", "exporter RSS MB"]
    return grid([head, *map(_peers_line, rows)])


def _peers_line(row: PeersRow) -> list[str]:
    return [
        str(row.peers),
        f"{row.steady_read_ratio:.2f}",
        f"{row.steady_fetches / row.steady_seconds:.0f}",
        f"{row.steady_cpu_s[EXPORTER] / row.steady_seconds:.2f}",
        f"{row.burst_read_ratio:.2f}",
        str(row.burst_fetches),
        f"{row.burst_cost(EXPORTER):.2f}",
        f"{row.burst_cost(IMPORTERS):.2f}",
        f"{row.exporter_rss_bytes / 1e6:.0f}",
    ]


def _stopped_text(row: StoppedRow) -> str:
    return (
        f"one of {row.peers} subscribers stopped while {row.size_gb:.2f} GB were written: the others had them after "
        f"{row.others_s:.1f} s ({row.before_s:.1f} s with all awake); the exporter grew by "
        f"{row.exporter_growth_bytes / 1e6:.0f} MB; once awake it had them after {row.caught_up_s:.1f} s"
    )


def _day_text(row: DayRow) -> str:
    lines = [
        f"{row.records:,} records of {row.record_bytes} bytes through one lane in {row.seconds:.0f} s "
        f"({sum(row.cpu_s.values()) / row.records * 1e6:.2f} CPU-s per million); resident MB, mean of each quarter:"
    ]
    for gateway in row.cpu_s:
        levels = ", ".join(f"{row.level_mb(gateway, part):.1f}" for part in range(4))
        lines.append(f"  {gateway}: {levels}; slope of the last three {row.slope_mb(gateway):+.2f} MB per million")
    return "\n".join(lines)
