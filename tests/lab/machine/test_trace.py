"""The disk of which the power goes: what is synced is there, and of the rest any part may be."""

from __future__ import annotations

from random import Random

from tests.lab.machine.trace import SECTOR, Disk, Step


def _disk(*steps: Step) -> Disk:
    disk = Disk()
    for step in steps:
        disk.apply(step)
    return disk


def test_what_was_synced_is_always_there() -> None:
    disk = _disk(Step("write", "a", 0, b"x" * 2000), Step("sync", "a"), Step("note", data=b"promised"))
    assert disk.notes == [b"promised"]
    assert disk.unsynced == 0
    assert disk.whole() == disk.synced() == disk.torn(Random(1)) == {"a": b"x" * 2000}


def test_what_was_not_synced_may_be_torn_at_sectors() -> None:
    disk = _disk(Step("sync", "a"), Step("write", "a", 100, b"y" * 2000))
    assert disk.synced() == {}
    assert disk.whole() == {"a": bytes(100) + b"y" * 2000}
    seen = {disk.torn(Random(seed)).get("a", b"") for seed in range(200)}
    assert len(seen) > 10
    for data in seen:
        for at in range(100, len(data), SECTOR):
            sector = data[max(100, at // SECTOR * SECTOR) : (at // SECTOR + 1) * SECTOR]
            assert len(set(sector)) <= 1, "a sector is half there"


def test_a_later_write_may_be_there_without_an_earlier_one() -> None:
    disk = _disk(Step("write", "a", 0, b"1" * SECTOR), Step("write", "a", SECTOR, b"2" * SECTOR))
    assert {"a": bytes(SECTOR) + b"2" * SECTOR} in [disk.torn(Random(seed)) for seed in range(200)]


def test_files_are_cut_and_removed() -> None:
    disk = _disk(Step("write", "a", 0, b"x" * 10), Step("cut", "a", 4), Step("write", "b", 0, b"y"), Step("sync", "b"))
    assert disk.whole() == {"a": b"xxxx", "b": b"y"}
    disk.apply(Step("remove", "b"))
    assert disk.whole() == {"a": b"xxxx"}
