"""The tables of the link, and the page that shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.link.machine import KIND
from mesh.link.table import BESIDE, EXPORTING, IMPORTING, LATE, LINK, LaneState, diagram

PAGE = Path(__file__).parents[3] / "docs" / "design" / "link.md"


@pytest.mark.parametrize("table", [LINK, IMPORTING, EXPORTING], ids=["link", "importer", "exporter"])
def test_the_page_shows_the_tables_as_they_are(table: dict[object, object]) -> None:
    shown = f"```mermaid\n{diagram(table)}\n```"  # type: ignore[arg-type]
    assert shown in PAGE.read_text(encoding="utf-8"), "print them anew: python -m mesh.link.table"


def test_the_tables_speak_of_frames_that_exist() -> None:
    kinds = set(KIND.values())
    moves = {move for table in (LINK, IMPORTING, EXPORTING) for _, move in table}
    assert {move[2:] for move in moves} <= kinds
    assert LATE | {kind for each in BESIDE.values() for kind in each} <= kinds


def test_what_one_end_of_a_lane_sends_the_other_may_receive() -> None:
    for (state, move), after in IMPORTING.items():
        mirrored = ("<" if move[0] == ">" else ">") + move[1:]
        assert EXPORTING[state, mirrored] is after


def test_nothing_happens_on_a_lane_that_has_ended() -> None:
    assert not any(state is LaneState.ENDED for table in (IMPORTING, EXPORTING) for state, _ in table)
