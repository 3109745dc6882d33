"""Compressing for the way: on where it pays, off where it does not, tried again now and then."""

from __future__ import annotations

from mesh.link.packing import FIRST_PAUSE_BYTES, LONGEST_PAUSE_BYTES, SMALL_BYTES, Packing

MIB = 1 << 20


def tries(packing: Packing, mib: int, *, shrinks: bool) -> int:
    """How many of so many segments of a MiB are tried."""
    count = 0
    for _ in range(mib):
        if packing.wants(MIB):
            count += 1
            assert packing.tried(MIB, MIB // 2 if shrinks else MIB - 100) is shrinks
    return count


def test_what_becomes_smaller_goes_on_to_be_packed() -> None:
    packing = Packing()
    assert tries(packing, 100, shrinks=True) == 100
    assert repr(packing) == "<Packing on>"


def test_what_does_not_is_tried_ever_more_rarely() -> None:
    packing = Packing()
    assert tries(packing, 1 + FIRST_PAUSE_BYTES // MIB, shrinks=False) == 1
    assert tries(packing, 1 + 2 * FIRST_PAUSE_BYTES // MIB, shrinks=False) == 1
    assert tries(packing, 8192, shrinks=False) < 15
    packing._left = 0
    assert packing.wants(MIB)
    assert not packing.tried(MIB, MIB)
    assert repr(packing) == f"<Packing pauses for {LONGEST_PAUSE_BYTES}>"


def test_a_lane_whose_records_change_is_noticed_and_forgiven() -> None:
    packing = Packing()
    tries(packing, 1000, shrinks=False)
    while not packing.wants(MIB):
        pass
    assert packing.tried(MIB, 1000)
    assert tries(packing, 50, shrinks=True) == 50
    assert tries(packing, 1 + FIRST_PAUSE_BYTES // MIB, shrinks=False) == 1


def test_little_is_left_alone() -> None:
    assert not Packing().wants(SMALL_BYTES - 1)
