"""The bound on what is handed over: nobody gets in beyond it, nobody waits for ever."""

from __future__ import annotations

import asyncio

from mesh.local.room import Room


async def waiting(room: Room, size_bytes: int) -> asyncio.Task[None]:
    task = asyncio.ensure_future(room.take(size_bytes))
    await asyncio.sleep(0)
    return task


async def test_what_does_not_fit_waits_until_there_is_room() -> None:
    room = Room(100)
    await room.take(80)
    task = await waiting(room, 30)
    assert not task.done()
    room.give(80)
    await task
    assert room.used_bytes == 30


async def test_who_came_first_is_let_in_first_however_small_those_behind_are() -> None:
    room = Room(100)
    await room.take(80)
    large, small = await waiting(room, 90), await waiting(room, 10)
    assert not room.take_nowait(5)
    room.give(80)
    await asyncio.gather(large, small)
    assert room.used_bytes == 100


async def test_what_is_larger_than_all_of_it_fits_alone() -> None:
    room = Room(100)
    assert room.take_nowait(1000)
    assert not room.take_nowait(1)


async def test_who_gives_up_does_not_stand_in_the_way() -> None:
    room = Room(100)
    await room.take(80)
    large, small = await waiting(room, 90), await waiting(room, 10)
    large.cancel()
    await asyncio.wait([large])
    await small
    assert room.used_bytes == 90


async def test_who_is_let_in_and_gives_up_at_the_same_moment_gives_it_back() -> None:
    room = Room(100)
    await room.take(80)
    task = await waiting(room, 90)
    room.give(80)
    task.cancel()
    await asyncio.wait([task])
    assert room.used_bytes == 0
