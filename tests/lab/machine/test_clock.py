"""A gateway's clock jumps beyond the end of its peer's certificate, and back: the link is cut, and made again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.lab.machine.clock import Clock
from tests.support.organization import Organization, stop_all, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
DAY_S = 86_400.0
CUT_S = 15.0


def _arrived(globex: Organization) -> int:
    return sum(int(lane["records"]) for lane in globex.lanes())


def _append(acme: Organization, count: int) -> None:
    acme.append("departures", ({"value": "x", "partition": 0} for _ in range(count)))


def test_an_expired_certificate_is_cut_within_seconds_and_a_right_clock_heals_it(tmp_path: Path) -> None:
    acme = Organization.init(tmp_path / "acme", "acme.example")
    globex = Organization.init(tmp_path / "globex", "globex.example")
    clock = Clock(tmp_path / "clock")
    with stop_all(acme, globex):
        # 1. globex's clock is right, and records arrive
        acme.start()
        globex.start(environment=clock.environment())
        acme.mesh("topic", "create", "departures")
        acme.pair(globex)
        acme.share("flights", globex, "departures")
        globex.mesh("subscribe", "acme.example/flights", "--topic", "departures=copy")
        _append(acme, 3)
        wait_for("the first records", lambda: _arrived(globex) == 3)

        # 2. it jumps behind the end of acme's leaf
        clock.move(91 * DAY_S)
        began = time.monotonic()
        wait_for("the link to be cut", lambda: {lane["state"] for lane in globex.lanes()} == {"waiting"}, CUT_S)
        print(f"cut after {time.monotonic() - began:.2f} s: {globex.lanes()[0]['reason']}")
        _append(acme, 3)

        # 3. it is right again: nothing was lost, and nobody needs to do anything
        clock.move(0)
        began = time.monotonic()
        wait_for("the others to arrive", lambda: _arrived(globex) == 6, 60)
        print(f"went on {time.monotonic() - began:.2f} s after the clock was right")
        assert "6 records, 0 lost, 0 duplicated" in globex.mesh("verify", "flights").out.splitlines()[-1]
