"""Trying again while leaders move: for requests that only ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from gateway.kafka.client import Client
from mesh.errors import NetworkError
from mesh.ids import Partition

Answer = TypeVar("Answer")
FIRST_PAUSE_S = 0.03
LONGEST_PAUSE_S = 1.0
"""Elections take tens of milliseconds at least; a cluster that is away is not asked more than once a second."""


def pauses() -> Iterator[float]:
    """How long to wait before each new try."""
    pause_s = FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


async def patiently(
    client: Client, partition: Partition, ask: Callable[[], Awaitable[Answer]], timeout_s: float
) -> Answer:
    """What `ask` answers; on a NetworkError with fresh metadata again, the last error after `timeout_s`."""
    give_up = asyncio.get_running_loop().time() + timeout_s
    for pause_s in pauses():
        try:
            return await ask()
        except NetworkError:
            client.forget(partition.topic)
            if client.closed or asyncio.get_running_loop().time() + pause_s > give_up:
                raise
        await asyncio.sleep(pause_s)
    raise AssertionError("pauses never end")
