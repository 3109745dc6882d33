"""What a bad wire between two gateways costs, on the embedded log, with the defaults of the configuration.

    python -m bench.wire [--mb 24] [--seed 1] [--json bench/results/wire.json]

Everything of one run goes through the same proxy, so that ratios of it mean something on a machine that is busy:
- catch-up with round trips of 0, 20, 100 and 200 ms; throughput follows the window, not the round trip
- a partition of some seconds and one that outlives the link: from its heal to the next record
- how much both gateways grew while records piled up at the source behind a partition
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.cpu import peak_rss_bytes
from bench.versions import versions
from tests.lab.admin import status
from tests.lab.wire.rig import Rig, rig
from tests.support.organization import wait_for

ROUND_TRIPS_MS = (0, 20, 100, 200)
ROUNDS = 3
RECORD_BYTES = 10_000
PIECE_RECORDS = 200
"""Of one request to the source: a larger one would cost its gateway memory of its own."""
CATCH_UP_S = 300.0
GIVEN_UP = ("timing.heartbeat_s=1",)
"""A link that is dead is given up in three seconds instead of thirty: what comes after is the same."""


@dataclass
class Figures:
    mb_per_s: dict[str, float] = field(default_factory=dict)
    """By round trip in ms: the best of some."""
    resume_s: dict[str, list[float]] = field(default_factory=dict)
    """From the heal to the next record, by kind of partition."""
    growth_mb: dict[str, float] = field(default_factory=dict)
    """Of the gateways' largest resident size, by organization, while the partition lasted."""
    piled_mb: float = 0.0
    """What was written at the source meanwhile."""

    @property
    def ratio(self) -> float:
        return self.mb_per_s["100"] / self.mb_per_s["0"]

    def lines(self) -> list[str]:
        rates = ", ".join(f"{ms} ms {rate:.1f} MB/s" for ms, rate in self.mb_per_s.items())
        grown = ", ".join(f"{name} {size:.1f} MB" for name, size in self.growth_mb.items())
        told = [f"catch-up by round trip: {rates}; 100 ms to 0: {self.ratio:.2f}"]
        for kind, times in self.resume_s.items():
            told.append(f"{kind}: heal to the next record {', '.join(f'{each:.2f}' for each in times)} s")
        return [*told, f"behind a partition {self.piled_mb:.0f} MB piled up at the source; grown: {grown}"]


def catch_up(made: Rig, mb: int) -> float:
    """MB/s of so many new megabytes, from the first quarter of their records in the copy to the last one.

    The first quarter came while windows were still to be found out, and lay in buffers that were full.
    """
    made.link.weather(is_held=True)
    before = made.stage.progress()
    records = max(PIECE_RECORDS, mb * 1_000_000 // RECORD_BYTES)
    for _ in range(records // PIECE_RECORDS):
        made.feeder.fill(PIECE_RECORDS, RECORD_BYTES)
    records = made.feeder.appended - before
    made.link.weather(is_held=False)
    first = made.stage.wait_progress(before + records // 4, CATCH_UP_S)
    began_s = time.monotonic()
    wait_for("the rest", lambda: made.stage.progress() >= before + records, CATCH_UP_S)
    return (before + records - first) * RECORD_BYTES / 1e6 / (time.monotonic() - began_s)


def round_trips(made: Rig, mb: int, figures: Figures) -> None:
    catch_up(made, max(1, mb // 4))  # what starts only once is not measured
    for ms in ROUND_TRIPS_MS * ROUNDS:  # in turn, and the best of each: what else the machine did made the others slow
        made.link.weather(latency_s=ms / 2000)
        rate = round(catch_up(made, mb), 1)
        figures.mb_per_s[str(ms)] = max(rate, figures.mb_per_s.get(str(ms), 0.0))
    made.link.calm()


def partitions(made: Rig, times: int, figures: Figures) -> None:
    figures.resume_s = {"partition": [], "partition that outlives the link": []}
    for _ in range(times):
        for kind, lasts in (("partition", False), ("partition that outlives the link", True)):
            made.link.weather(is_held=True)
            before = made.stage.progress()
            made.feeder.fill(10, 100)
            if lasts:
                wait_for("the link to be given up", lambda: _links(made) == 0, 60)
            made.link.calm()
            healed_s = time.monotonic()
            wait_for("the next record", lambda before=before: made.stage.progress() > before, CATCH_UP_S)  # type: ignore[misc]
            figures.resume_s[kind].append(round(time.monotonic() - healed_s, 2))
            wait_for("the link", lambda: _links(made) == 2, 60)


def growth(made: Rig, mb: int, figures: Figures) -> None:
    """The source is given several times what all buffers hold, while nothing leaves it."""
    catch_up(made, mb)
    before, written = _peaks(made), made.feeder.appended
    made.link.weather(is_held=True)
    for _ in range(2 * mb * 1_000_000 // RECORD_BYTES // PIECE_RECORDS):
        made.feeder.fill(PIECE_RECORDS, RECORD_BYTES)
    figures.piled_mb = (made.feeder.appended - written) * RECORD_BYTES / 1e6
    figures.growth_mb = {name: round((peak - before[name]) / 1e6, 1) for name, peak in _peaks(made).items()}
    made.link.calm()


def _peaks(made: Rig) -> dict[str, int]:
    found = {}
    for site in made.stage.sites:
        assert site.organization.process is not None
        found[site.organization.org] = peak_rss_bytes(site.organization.process.pid)
    return found


def _links(made: Rig) -> int:
    return sum(len(status(site.organization)["links"]) > 0 for site in made.stage.sites)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.wire", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mb", type=int, default=24, help="megabytes of each catch-up")
    parser.add_argument("--times", type=int, default=3, help="partitions of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="wire-") as name:
        with rig(Path(name) / "trips", options.seed, flows=False, eager=False) as made:
            round_trips(made, options.mb, figures)
            growth(made, options.mb, figures)
            made.finish()
        with rig(Path(name) / "partitions", options.seed, *GIVEN_UP, flows=False, eager=False) as made:
            made.feeder.fill(10, 100)
            partitions(made, options.times, figures)
            made.finish()
    told = {"seed": options.seed, "mb": options.mb, "record_bytes": RECORD_BYTES, "versions": versions()}
    if options.json:
        options.json.write_text(json.dumps(told | asdict(figures), indent=1) + "\n", encoding="utf-8")
    print("\n".join(figures.lines()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
