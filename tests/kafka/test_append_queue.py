"""The order of one partition's appends: never past a failure, never on a guess."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from gateway.kafka.append_queue import MAX_IN_FLIGHT, PAUSE_S, Append, AppendQueue
from gateway.kafka.errors import AppendNotSent, LeaderMoved
from mesh.batch.stamp import Producer
from mesh.cluster_errors import AppendUnknown, BatchRefused, SequenceRefused
from mesh.ids import Partition
from tests.support.batches import numbered, stamped

PLACE = Partition("t", 0)
OURS = Producer(7, 0)
SOMEBODY: Any = SimpleNamespace(wake=lambda queue: None)
"""A leader: the queue only asks whether there is one."""


def _queue() -> AppendQueue:
    return AppendQueue(PLACE, leader=SOMEBODY)


def _append(sequence: int, producer: Producer = OURS, deadline: float = 100) -> Append:
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    return Append(PLACE, stamped(producer, sequence, numbered(sequence)), None, answer, deadline)


def _added(queue: AppendQueue, *sequences: int) -> list[Append]:
    appends = [_append(sequence) for sequence in sequences]
    for append in appends:
        queue.add(append)
    return appends


def _proven(*sequences: int) -> tuple[AppendQueue, list[Append]]:
    """A queue whose producer the broker knows, and appends that wait in it."""
    queue = _queue()
    _added(queue, 2**31 - 1)
    queue.succeeded(queue.take(), 0)
    return queue, _added(queue, *sequences)


def _sent(queue: AppendQueue) -> int:
    count = 0
    while queue.may_send:
        queue.take()
        count += 1
    return count


async def test_the_first_append_of_a_producer_goes_alone() -> None:
    queue = _queue()
    _added(queue, 0, 1, 2)
    first = queue.take()
    assert not queue.may_send
    queue.succeeded(first, 0)
    assert _sent(queue) == 2


async def test_after_a_pause_the_next_append_goes_alone() -> None:
    queue, _ = _proven()
    queue.add(_append(0, deadline=100 + PAUSE_S + 1))
    queue.add(_append(1, deadline=100 + PAUSE_S + 1))
    first = queue.take()
    assert not queue.may_send
    queue.succeeded(first, 0)
    assert _sent(queue) == 1


async def test_the_first_append_to_another_leader_goes_alone() -> None:
    queue, _ = _proven(0, 1, 2)
    queue.lose_leader()
    assert not queue.may_send
    queue.leader = SOMEBODY
    assert _sent(queue) == 1


async def test_at_most_five_await_their_answer() -> None:
    queue, _ = _proven(*range(8))
    assert _sent(queue) == MAX_IN_FLIGHT
    assert repr(queue) == "AppendQueue(t[0], 3 waiting, 5 in flight)"


async def test_an_unknown_outcome_fails_what_waits_behind_and_what_comes_later() -> None:
    queue, (first, second) = _proven(0, 1)
    queue.take()
    queue.failed(first, AppendUnknown(*PLACE, "it broke"))
    (later,) = _added(queue, 2)
    assert isinstance(first.answer.exception(), AppendUnknown)
    assert isinstance(second.answer.exception(), AppendNotSent)
    assert isinstance(later.answer.exception(), AppendNotSent)
    assert not queue.may_send


async def test_after_the_log_was_asked_appends_go_on_anywhere() -> None:
    queue, (first,) = _proven(0)
    queue.take()
    queue.failed(first, AppendUnknown(*PLACE, "it broke"))
    first.answer.exception()
    queue.mended()
    _added(queue, 5)
    assert queue.may_send


async def test_a_refused_batch_may_be_replaced_but_not_skipped() -> None:
    queue, (first,) = _proven(4)
    queue.take()
    queue.failed(first, BatchRefused(*PLACE, "too large"))
    first.answer.exception()
    (skipping,) = _added(queue, 5)
    assert isinstance(skipping.answer.exception(), AppendNotSent)
    _added(queue, 4)
    queue.succeeded(queue.take(), 0)
    _added(queue, 5)
    assert queue.may_send


async def test_what_waits_behind_a_sequence_refused_is_left_to_the_broker() -> None:
    queue, (first, second) = _proven(4, 5)
    queue.take()
    queue.failed(first, SequenceRefused(*PLACE, 4))
    first.answer.exception()
    assert queue.may_send
    assert queue.take() is second


async def test_what_a_former_leader_did_not_write_is_sent_again_in_order() -> None:
    queue, appends = _proven(0, 1, 2, 3)
    for _ in range(3):
        queue.take()
    for append in appends[:3]:
        queue.give_back(append, LeaderMoved(*PLACE), now=1)
        assert not queue.may_send
    queue.restore()
    queue.leader = SOMEBODY
    assert [queue.take() for _ in range(4)] == appends


async def test_a_leader_that_stays_away_is_not_waited_for_for_ever() -> None:
    queue, (first, second) = _proven(0, 1)
    queue.take()
    queue.give_back(first, LeaderMoved(*PLACE), now=101)
    assert isinstance(first.answer.exception(), LeaderMoved)
    assert isinstance(second.answer.exception(), AppendNotSent)


def _reconnected(end: int | None, *sequences: int) -> tuple[AppendQueue, list[Append]]:
    """The log was asked and ended at 3; the connection broke, and when another is open the log ends at `end`."""
    queue = _queue()
    queue.mended(end=3)
    queue.lose_leader()
    appends = _added(queue, *sequences)
    queue.found(SOMEBODY, end)
    return queue, appends


async def test_over_a_new_connection_appends_go_on_where_nobody_has_written() -> None:
    queue, _ = _reconnected(3, 3, 4)
    assert _sent(queue) == 1


async def test_over_a_new_connection_nothing_is_sent_where_another_has_written() -> None:
    queue, appends = _reconnected(4, 3, 4)
    appends += _added(queue, 5)
    assert all(isinstance(append.answer.exception(), AppendNotSent) for append in appends)
    assert not queue.may_send
    queue.leader = SOMEBODY  # opened before the next question
    queue.mended(end=4)
    _added(queue, 4)
    assert _sent(queue) == 1


async def test_the_end_that_is_known_moves_with_the_answers() -> None:
    queue = _queue()
    queue.mended(end=3)
    _added(queue, 3, 4, 3)
    for base_offset in (3, 4, 3):  # the last one is a repeat
        append = queue.take()
        queue.succeeded(append, base_offset)
    queue.lose_leader()
    _added(queue, 5)
    queue.found(SOMEBODY, 5)
    assert _sent(queue) == 1


async def test_a_connection_found_while_the_log_was_asked_anew_changes_nothing() -> None:
    queue = _queue()
    queue.mended(end=4)
    (append,) = _added(queue, 4)
    queue.found(SimpleNamespace(wake=None), 3)  # type: ignore[arg-type]
    assert queue.leader is SOMEBODY
    assert not append.answer.done()


async def test_settled_waits_for_the_last_answer() -> None:
    queue, (_, last) = _proven(0, 1)
    async with asyncio.TaskGroup() as group:
        waiter = group.create_task(queue.settled())
        for _ in range(2):
            assert not waiter.done()
            append = queue.take()
            queue.succeeded(append, 0)
            append.answer.set_result(0)
            await asyncio.sleep(0)
    assert last.answer.done()
