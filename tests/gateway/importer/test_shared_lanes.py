"""Lanes that gateways of one organization share: who runs them, how they change hands, and when they have stopped."""

from __future__ import annotations

import asyncio

from gateway.stored_lanes import leftovers
from mesh.ids import LaneId, Partition
from mesh.lanes.checkpoint import running_key, running_lanes
from mesh.lanes.status import LaneState, LaneStatus
from mesh.testing.ownership import FakeOwnership
from tests.support.hubs import TOPIC, until
from tests.support.importing import BATCHES, NAME, Importing, importing
from tests.support.mirror import dense

LANE = LaneId(NAME, TOPIC, 0)


def ownership(run: Importing) -> FakeOwnership:
    found = run.both.globex.cluster.ports.ownership
    assert isinstance(found, FakeOwnership)
    return found


def status(run: Importing) -> LaneStatus:
    (found,) = run.imports.statuses()
    return found


async def marked(run: Importing) -> dict[LaneId, str]:
    return running_lanes(NAME, await run.both.globex.cluster.ports.lanes.load(f"lane/{NAME}/"))


async def test_a_lane_that_another_gateway_owns_does_not_run_and_shows_where_it_does() -> None:
    async with importing(20) as run:
        await until(lambda: run.end == 60)
        assert (status(run).gateway, await marked(run)) == ("gw-1", {LANE: "gw-1"})
        ownership(run).give({LANE: "gw-2"})
        await until(lambda: status(run).state is LaneState.ELSEWHERE)
        assert status(run).gateway == "gw-2"
        await until(lambda: run.imports._running[NAME].lanes == {})
        run.both.acme.cluster.put_raw(Partition(TOPIC, 0), dense(21).batches[-1].data)
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert run.end == 60


async def test_a_lost_lane_appends_nothing_from_that_moment_and_goes_on_exactly_when_it_is_back() -> None:
    async with importing() as run:
        await until(lambda: run.slow.taken - run.slow.written > 20)
        ownership(run).give({LANE: "gw-2"})
        taken = run.slow.taken
        await until(lambda: run.slow.written == taken)
        await until(lambda: run.imports._running[NAME].lanes == {})
        assert run.slow.taken == taken < BATCHES
        ownership(run).give({})
        # The log has a batch a moment before its append is answered, and counted.
        await until(lambda: run.end == BATCHES * 3 and run.slow.written >= BATCHES)
        assert run.slow.written == BATCHES, "every batch was written once"


async def test_a_lane_that_was_lost_and_regained_at_once_begins_anew() -> None:
    async with importing() as run:
        await until(lambda: run.slow.written > 5)
        runner = run.imports._running[NAME].lanes[LANE]
        ownership(run).give({LANE: "gw-2"})
        ownership(run).give({})
        await until(lambda: run.imports._running[NAME].lanes.get(LANE) not in (None, runner))
        await until(lambda: run.end == BATCHES * 3)


async def test_a_paused_subscription_has_stopped_when_no_gateway_runs_a_lane_of_it() -> None:
    async with importing(20) as run:
        globex = run.both.globex
        await until(lambda: run.end == 60)
        ownership(run).give({LANE: "gw-2"})
        await until(lambda: run.imports._running[NAME].lanes == {})
        await globex.cluster.ports.lanes.put({running_key(LANE): b"gw-2"})
        await globex.registry.pause_subscription(NAME)
        stopped = asyncio.ensure_future(run.imports.stopped(NAME))
        done, _ = await asyncio.wait([stopped], timeout=0.3)
        assert not done, "the other gateway has not said that its lane has settled"
        await globex.cluster.ports.lanes.put({running_key(LANE): None})
        await stopped


async def test_the_mark_of_a_gateway_that_died_is_taken_away_by_the_next_owner() -> None:
    async with importing(20) as run:
        globex = run.both.globex
        await until(lambda: run.end == 60)
        await globex.registry.pause_subscription(NAME)
        await run.imports.stopped(NAME)
        await globex.cluster.ports.lanes.put({running_key(LANE): b"gw-9"})
        await run.imports.stopped(NAME)


async def test_no_lane_starts_of_a_subscription_that_another_gateway_has_just_paused() -> None:
    """It stands so in the store, but we have not heard of it."""
    async with importing(20) as run:
        globex = run.both.globex
        await until(lambda: run.end == 60)
        ownership(run).give({LANE: "gw-2"})
        await until(lambda: run.imports._running[NAME].lanes == {})
        await globex.cluster.ports.control.put({f"subscription/{NAME}": None})
        ownership(run).give({})
        run.both.acme.cluster.put_raw(Partition(TOPIC, 0), dense(21).batches[-1].data)
        for _ in range(100):
            await asyncio.sleep(0.001)
        assert run.end == 60
        assert await marked(run) == {}


async def test_what_a_deleted_subscription_left_is_cleared_by_who_owns_it() -> None:
    async with importing(20) as run:
        globex = run.both.globex
        await until(lambda: run.end == 60)
        await globex.registry.pause_subscription(NAME)
        await run.imports.stopped(NAME)
        left = await globex.cluster.ports.lanes.load(f"lane/{NAME}/")
        await globex.registry.delete_subscription(NAME)
        await globex.cluster.ports.lanes.put(left)  # as if another gateway had owned it
        assert await leftovers(globex.cluster.ports.lanes, NAME) == [LANE]
        ownership(run).give({})
        for _ in range(200):
            if not await leftovers(globex.cluster.ports.lanes, NAME):
                return
            await asyncio.sleep(0.005)
        raise AssertionError("the state is still there")
