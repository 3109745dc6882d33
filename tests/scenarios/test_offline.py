"""A partner is away for days: the log takes records all the time, and the copy is exact when he is back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.machine.clock import Clock
from tests.support.organization import Organization, stop_all, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

DAYS = 5
DAY_S = 86_400
A_DAY = 500
"""Records of a day."""
OFFERED = b"""
kind: share
name: flights
spec: {topics: [departures]}
---
kind: grant
name: flights@globex.example
"""
TAKEN = b"""
kind: subscription
name: flights
spec: {peer: acme.example, share: flights, topics: {departures: acme.departures}}
"""
WEEK_MS = 7 * DAY_S * 1000


def test_what_was_published_while_a_partner_was_away_for_days_is_copied_exactly(tmp_path: Path) -> None:
    acme = Organization.init(tmp_path / "acme", "acme.example")
    globex = Organization.init(tmp_path / "globex", "globex.example")
    clocks = Clock(tmp_path / "acme.clock"), Clock(tmp_path / "globex.clock")
    acme.environment, globex.environment = (clock.environment() for clock in clocks)
    acme.settings = globex.settings = ("timing.maintenance_s=0.5",)  # retention runs on each of the days
    with stop_all(acme, globex):
        # 1. acme shares a topic that keeps a week; globex has copied the first day
        acme.start()
        globex.start()
        acme.mesh("topic", "create", "departures", "--set", f"retention.ms={WEEK_MS}")
        acme.pair(globex)
        acme.mesh("apply", "-f", "-", stdin=OFFERED)
        globex.mesh("apply", "-f", "-", stdin=TAKEN)
        acme.append("departures", day(0))
        wait_for("the first day", lambda: copied(globex) == A_DAY)

        # 2. globex is away; acme goes on for days, ready all the time, and is killed on one of them
        globex.stop()
        for number in range(1, DAYS + 1):
            for clock in clocks:
                clock.move(number * DAY_S)
            if number == 3:
                acme.kill()
                acme.start()
            acme.append("departures", day(number))
        assert acme.mesh("status", "--json").json["links"] == []

        # 3. globex is back and has all of it, at the offsets that it has at acme
        globex.start()
        total = A_DAY * (DAYS + 1)
        wait_for("all days", lambda: copied(globex) == total)
        closing = globex.mesh("verify", "flights").out.splitlines()[-1]
        assert closing == (
            f"verified: {total} records, 0 lost, 0 duplicated, 0 reordered, 0 altered, 0 wrong translations"
        )
        assert globex.mesh("apply", "-f", "-", "--plan", stdin=TAKEN).out == "plan: 1 unchanged\n"
        assert globex.mesh("gaps", "flights", "--json").json["gaps"] == []
        expected = [record for number in range(DAYS + 1) for record in day(number)]
        found = globex.mesh("topic", "read", "acme.departures").lines
        assert [(each["key"], each["value"], each["offset"]) for each in found] == [
            (record["key"], record["value"], at) for at, record in enumerate(expected)
        ]
        span_ms = found[-1]["timestamp"] - found[0]["timestamp"]
        assert DAYS * DAY_S * 1000 <= span_ms < (DAYS + 1) * DAY_S * 1000  # these were days, by acme's clock


def day(number: int) -> Iterator[dict[str, Any]]:
    return ({"key": f"day-{number}", "value": f"{number}/{at}"} for at in range(A_DAY))


def copied(globex: Organization) -> int:
    return sum(lane["records"] for lane in globex.lanes())
