"""Lanes that are behind hold no more than the bound, in the order in which they came."""

from __future__ import annotations

import asyncio

import pytest

from gateway import turns as module
from gateway.turns import AT_FIRST, Turn, Turns

MOST = 8_000


async def started(turn: Turn) -> asyncio.Task[None]:
    """The task of a `begin`, after it has gone as far as it comes by itself."""
    task = asyncio.ensure_future(turn.begin())
    await asyncio.sleep(0)
    return task


async def test_as_many_read_at_once_as_the_bound_takes_and_the_next_goes_when_one_ends() -> None:
    turns = Turns(MOST)
    first = [Turn(turns) for _ in range(AT_FIRST)]
    for turn in first:
        await turn.begin()
    waiting = [await started(Turn(turns)) for _ in range(2)]
    assert repr(turns) == "<Turns 8000 of 8000 bytes, 2 wait>"
    first[3].end()
    await waiting[0]
    assert not waiting[1].done()
    waiting[1].cancel()


async def test_many_lanes_with_little_read_together() -> None:
    turns = Turns(MOST)
    for _ in range(50):
        with Turn(turns) as turn:
            await turn.begin()
            turn.took(10)
    many = [Turn(turns) for _ in range(100)]
    for turn in many:
        await turn.begin()
    assert turns.held_bytes <= MOST


async def test_one_that_reads_more_than_the_bound_goes_alone() -> None:
    turns = Turns(MOST)
    with Turn(turns) as large:
        await large.begin()
        large.took(10 * MOST)
        other = await started(Turn(turns))
        assert not other.done()
    await other
    other.result()


async def test_a_turn_goes_back_when_its_lane_ends_while_it_waits() -> None:
    turns = Turns(MOST)
    with Turn(turns) as large:
        await large.begin()
        large.took(MOST)
        gone = await started(Turn(turns))
        gone.cancel()
        next_one = await started(Turn(turns))
    await next_one
    assert gone.cancelled()
    assert not turns._waiting


async def test_a_turn_that_was_given_and_cancelled_at_once_is_nobodys() -> None:
    turns = Turns(MOST)
    with Turn(turns) as large:
        await large.begin()
        large.took(MOST)
        gone = await started(Turn(turns))
    gone.cancel()  # its turn has come, and it has not heard of it
    await asyncio.wait([gone])
    assert turns.held_bytes == 0


async def test_whoever_waits_long_for_its_cluster_gives_its_turn_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.001)
    turns = Turns(MOST)
    with Turn(turns) as slow:
        await slow.begin()
        slow.took(MOST)
        await slow.begin()
        waiting = [Turn(turns) for _ in range(2 * AT_FIRST)]
        async with asyncio.timeout(5):
            for turn in waiting:
                await turn.begin()
        slow.took(5)
        assert turns.held_bytes >= 5
