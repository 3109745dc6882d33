"""How groups of tasks end: a failure is told from a cancellation, whatever Python's own groups make of it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.failing import ended_by
from mesh.cluster_errors import ClusterUnreachable, TopicAbsent
from mesh.errors import MeshError


async def run_group(started: asyncio.Event, fails: asyncio.Event, error: Exception) -> MeshError:
    """A group as the link and the pipeline have it: a task that fails when told, or when it is cancelled."""

    async def fail() -> None:
        try:
            await fails.wait()
        finally:
            raise error

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            started.set()
            await asyncio.Event().wait()
    except BaseExceptionGroup as errors:
        return ended_by(errors)
    raise AssertionError("the group never ends by itself")


async def test_a_failure_is_told_as_itself_and_leaves_no_cancellation_behind() -> None:
    fails = asyncio.Event()
    fails.set()
    for _ in range(3):
        found = await run_group(asyncio.Event(), fails, TopicAbsent("flights"))
        assert isinstance(found, TopicAbsent)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_cancellation_is_not_lost_where_a_task_fails_because_of_it() -> None:
    started = asyncio.Event()
    running = asyncio.create_task(run_group(started, asyncio.Event(), ClusterUnreachable("acme", "gone")))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_mistake_of_ours_comes_out_with_its_traceback() -> None:
    fails = asyncio.Event()
    fails.set()
    with pytest.raises(BaseExceptionGroup):
        await run_group(asyncio.Event(), fails, ZeroDivisionError())


async def test_what_somebody_did_wrong_is_told_before_a_lost_connection() -> None:
    errors = BaseExceptionGroup("both", [ClusterUnreachable("acme", "gone"), TopicAbsent("flights")])
    assert isinstance(ended_by(errors), TopicAbsent)
