from __future__ import annotations

import struct

from bench.exactness.judge import Copy, Entry, Move, compare, move
from bench.exactness.mirrormaker import checkpoint, complaints
from bench.exactness.report import table
from bench.exactness.run import Found
from bench.exactness.topics import GROUPS

SOURCE = [Entry(offset, b"%d" % offset) for offset in (0, 1, 3, 4, 7)]
COPY = [Entry(place, each.value) for place, each in enumerate(SOURCE)]


def test_a_group_that_goes_on_at_its_record_reads_nothing_twice() -> None:
    assert move(SOURCE, COPY, committed=3, position=2) == Move(2, 0, 0)
    assert move(SOURCE, COPY, committed=2, position=2).is_exact
    assert move(SOURCE, COPY, committed=8, position=5).is_exact


def test_a_position_too_early_reads_again_and_one_too_late_skips() -> None:
    assert move(SOURCE, COPY, committed=4, position=1) == Move(1, 2, 0)
    assert move(SOURCE, COPY, committed=1, position=4) == Move(4, 0, 3)


def test_a_copy_made_twice_is_read_again() -> None:
    doubled = [*COPY, Entry(5, b"1")]
    assert move(SOURCE, doubled, committed=3, position=2) == Move(2, 1, 0)


def test_a_group_without_a_position_is_not_exact() -> None:
    assert str(move(SOURCE, COPY, 3, None)) == "no position"
    assert not move(SOURCE, COPY, 3, None).is_exact


def test_what_is_lost_doubled_and_strange_in_a_copy_is_counted() -> None:
    assert compare(SOURCE, COPY).is_exact
    assert compare(SOURCE, [*COPY[1:], Entry(5, b"1"), Entry(6, b"aborted")]) == Copy(lost=1, doubled=1, strange=1)


def test_a_checkpoint_is_read() -> None:
    key = struct.pack(">h5sh7si", 5, b"group", 7, b"A.plain", 0)
    assert checkpoint(key, struct.pack(">hqqh", 0, 1000, 990, 0)) == ("group", "A.plain", 990)


def test_what_is_said_of_every_topic_is_no_complaint() -> None:
    log = "\n".join(
        [
            "[a] WARN x - could not alter topic A.sick",
            "[a] WARN x - could not alter topic A.well",
            "[b] INFO x - position of sick-0 is out of range, resetting",
        ]
    )
    assert complaints(log, "sick", "well") == []
    failed = "[c] ERROR x - fetch of sick-0 failed"
    assert complaints(f"{log}\n{failed}", "sick", "well") == [failed]


def test_the_table_has_a_column_for_each_mirror() -> None:
    found = {
        "mesh": Found(moves={group: Move(1) for group in GROUPS}),
        "MM2": Found(moves={group: Move(None) for group in GROUPS}),
    }
    found["mesh"].overrun = ["stopped"]
    lines = table(found).splitlines()
    assert lines[0].split() == ["mesh", "MM2"]
    assert lines[1].endswith("no position")
    assert any(line.startswith("retention overrun") and line.split()[-2:] == ["noticed", "silent"] for line in lines)
