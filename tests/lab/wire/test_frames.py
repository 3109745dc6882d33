"""Damaged frames, a short form of `python -m tests.lab.wire.frames`."""

from __future__ import annotations

from mesh.batch.header import BatchHeader, parse_header
from mesh.batch.limits import Limits
from mesh.batch.validate import RecordChecker
from tests.lab.wire.frames import KINDS, attack


def test_damaged_frames_are_refused_or_append_what_is_right() -> None:
    outcome = attack(5_000, seed=4)
    assert outcome.bad == []
    assert set(outcome.refused) == set(KINDS)
    for kind in ("replayed", "left out", "swapped"):
        assert outcome.refused[kind] == outcome.tried[kind]


def test_the_comparison_sees_what_no_checksum_was_asked_of() -> None:
    def credulous(batch: memoryview, limits: Limits, check: RecordChecker) -> BatchHeader:
        return parse_header(batch)

    assert attack(2_000, seed=4, check=credulous).bad
