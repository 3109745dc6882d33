"""A link is reset at every byte of its greeting, in both directions, and then at bytes among records.

    python -m tests.lab.wire.sweep [--step 1] [--late 500] [--seed 1]

Each connection gets the next point; after every handful one may live, and records must arrive over it. In the end both
logs are compared record by record. Prints how many resets struck, and where; exits 1 where a log differs.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.lab.faults.wire_aims import met
from tests.lab.faults.wire_ends import FARTHEST, GREETING, every_byte
from tests.lab.wire.proxy import Proxy
from tests.lab.wire.rig import Rig, rig
from tests.lab.wire.weather import LATE_BYTES, CutPoint

AT_ONCE = 64
TURN_S, MOST_TURNS = 10.0, 20
QUICK = ("timing.reconnect_initial_s=0.02", "timing.reconnect_max_s=0.05")


def points(made: Rig, step: int, late: int) -> Iterator[CutPoint]:
    yield from itertools.islice(every_byte(), 0, sum(GREETING.values()), step | 1)  # odd: of both directions in turn
    for _ in range(late):
        yield None, made.stage.chance.randrange(LATE_BYTES, FARTHEST)


def sweep(made: Rig, proxy: Proxy, all_points: Iterator[CutPoint]) -> int:
    """All of them have struck at the end; how many."""
    before = proxy.counters().cuts
    while handful := list(itertools.islice(all_points, AT_ONCE)):
        _strike(proxy, handful)
        made.stage.wait_progress(timeout_s=30)
    return proxy.counters().cuts - before


def _strike(proxy: Proxy, handful: Sequence[CutPoint]) -> None:
    due = proxy.counters().cuts + len(handful)
    proxy.cut_each(handful)
    for _ in range(MOST_TURNS):
        # A connection with little to say may not come to its byte: another one takes it over.
        proxy.reset()
        if met(f"resets at {handful[0]} to {handful[-1]}", lambda: proxy.counters().cuts >= due, TURN_S):
            return
    raise AssertionError(f"{due - proxy.counters().cuts} of {handful} did not strike")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.wire.sweep")
    parser.add_argument("--step", type=int, default=1, help="1: every byte of a greeting")
    parser.add_argument("--late", type=int, default=500, help="resets among records")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sweep-") as name, rig(Path(name), options.seed, *QUICK) as made:
        made.link.before_copy.refuse()  # one link, so that each point meets what it is meant for
        made.link.before_copy.reset()
        struck = sweep(made, made.link.before_source, points(made, options.step, options.late))
        counters, records = made.link.before_source.counters(), made.finish()
    print(f"{counters.connections} connections, {records} records, {time.monotonic() - began_s:.0f} s")
    print(
        f"sweep: {struck} resets at their bytes ({counters.cuts_late} among records), seed {options.seed}: "
        f"0 records lost, twice or out of order"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
