"""The flight examples understand what `mesh topic read` prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from gateway.demo.flights import lines
from gateway.topics.lines import format_record, parse_line

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "flights"


def printed(count: int) -> str:
    """The first flights as `mesh topic read` prints them."""
    records = [parse_line(line.encode()) for line in lines(0, count)]
    shown = [format_record(0, offset, r.timestamp_ms or 0, r.key, r.value, ()) for offset, r in enumerate(records)]
    return "".join(line.decode() + "\n" for line in shown)


def run(script: str, *arguments: str) -> list[str]:
    command = [sys.executable, str(EXAMPLES / script), *arguments]
    return subprocess.run(
        command, input=printed(200), capture_output=True, text=True, check=True, timeout=30
    ).stdout.splitlines()


def test_delays_are_averaged_by_carrier() -> None:
    flights = [json.loads(line)["value"] for line in lines(0, 200)]
    united = [f["dep_delay"] for f in flights if f["carrier"] == "UA" and f["dep_delay"] is not None]
    heading, *rows = run("delays.py")
    assert heading.split()[0] == "carrier"
    (row,) = [row.split() for row in rows if row.startswith("UA")]
    assert row == ["UA", str(len(united)), f"{sum(united) / len(united):.1f}"]


def test_late_flights_are_named() -> None:
    late = [f for f in (json.loads(line)["value"] for line in lines(0, 200)) if (f["dep_delay"] or 0) >= 60]
    found = run("late.py", "--minutes", "60")
    assert len(found) == len(late) > 0
    assert found[0].endswith(f"{late[0]['dep_delay']} minutes late")
