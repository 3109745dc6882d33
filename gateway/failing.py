"""How a group of tasks ends: one error says why, and a cancellation is never lost among errors.

A `TaskGroup` of Python 3.11 and 3.12 forgets a cancellation from outside where one of its tasks fails at the same
moment. Whoever then catches the error and goes on would never be stopped, so it is asked for here.

The group must be waiting in its body when a task fails. One that already waits at its end for its tasks cancels its own
task then and, in these versions, never takes that back: every failure would look like a cancellation from outside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from mesh.errors import MeshError, NetworkError


def ended_by(errors: BaseExceptionGroup[BaseException]) -> MeshError:
    """The error that says most: what somebody did wrong before a lost connection, which often follows from it.

    Raises CancelledError where the current task was cancelled meanwhile, and `errors` itself if it holds any other
    exception: that is a mistake of ours, and its traceback is wanted. The group's body must not have ended by itself.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
    found = list(_leaves(errors))
    known = [error for error in found if isinstance(error, MeshError)]
    if len(known) < len(found):
        raise errors
    return min(known, key=lambda error: isinstance(error, NetworkError))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error
