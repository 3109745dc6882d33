"""Where a reader stands: what a new stream goes on with, and what a commit states."""

from __future__ import annotations

from mesh.sdk.progress import Progress
from mesh.sdk.values import Batch, Record


def record(partition: int, offset: int) -> Record:
    return Record("orders", partition, offset, 0, None, b"")


def batch(partition: int, first: int, count: int, next_offset: int) -> Batch:
    return Batch("orders", partition, [record(partition, first + n) for n in range(count)], next_offset)


def test_a_new_stream_goes_on_behind_what_came_in_not_behind_what_was_handed_out() -> None:
    progress = Progress()
    progress.begun({0: 5, 1: 0})
    progress.received(batch(0, 5, 3, 8))
    progress.handed_record(record(0, 5))
    assert progress.came == {0: 8, 1: 0}
    assert progress.handed == {0: 6, 1: 0}


def test_another_stream_that_begins_changes_nothing_but_adds_partitions() -> None:
    progress = Progress()
    progress.begun({0: 5})
    progress.received(batch(0, 5, 1, 9))
    progress.begun({0: 9, 1: 2})
    assert progress.came == {0: 9, 1: 2}
    assert progress.handed == {0: 5, 1: 2}


def test_the_first_commit_states_where_every_partition_began() -> None:
    """Else a cursor that began at the end would skip what came before its first record of a partition."""
    progress = Progress()
    progress.begun({0: 5, 1: 7})
    progress.handed_record(record(0, 5))
    assert progress.uncommitted() == {0: 6, 1: 7}


def test_a_commit_states_what_moved_only() -> None:
    progress = Progress()
    progress.begun({0: 5, 1: 7})
    progress.committed(progress.uncommitted())
    assert progress.uncommitted() == {}
    progress.handed_batch(batch(1, 7, 2, 12))
    assert progress.uncommitted() == {1: 12}
