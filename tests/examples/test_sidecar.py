"""`make demo-sidecar` ends as `mesh verify` does, with real gateways; the board counts each flight exactly once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from examples.sidecar.board import Board
from gateway.verify.findings import KINDS, closing_line
from mesh.sdk import Batch, Record

ROOT = Path(__file__).parents[2]
COUNT = 3000


def flight(offset: int, carrier: str, delay: int | None) -> Record:
    value = json.dumps({"carrier": carrier, "dep_delay": delay}).encode()
    return Record("ports.departures", 0, offset, 0, None, value)


def test_the_board_goes_on_exactly_where_it_stood(tmp_path: Path) -> None:
    first = Board(tmp_path / "board.sqlite")
    first.take(Batch("ports.departures", 0, [flight(0, "UA", 5), flight(1, "AA", None)], 2))
    first.close()

    second = Board(tmp_path / "board.sqlite")
    stood = second.positions
    second.take(Batch("ports.departures", 0, [flight(2, "UA", -1)], 4))

    assert stood == {0: 2}
    assert (second.positions, second.flights) == ({0: 4}, 3)
    assert second.carriers == {"UA": (2, 4), "AA": (1, 0)}
    second.close()


def test_a_batch_that_cannot_be_counted_is_not_counted_in_part(tmp_path: Path) -> None:
    board = Board(tmp_path / "board.sqlite")
    with pytest.raises(KeyError):
        board.take(Batch("ports.departures", 0, [flight(0, "UA", 5), flight(1, "AA", 1)._replace(value=b"{}")], 2))
    assert (board.positions, board.carriers) == ({}, {})
    board.close()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_demo_ends_with_the_closing_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.sidecar.demo", "--flights", str(COUNT)],
        cwd=ROOT, capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == closing_line(COUNT, dict.fromkeys(KINDS, 0))
    assert f"the board and the timetable agree on {COUNT:,} flights" in done.stdout
