"""Room for what applications bring (rule H): who comes when there is none waits in line, but not for ever."""

from __future__ import annotations

import asyncio

from mesh.local.errors import PublishBusy
from mesh.local.room import Room


async def take_until(room: Room, topic: str, size_bytes: int, deadline: float) -> None:
    """Returns when there is room for so much, at most the limit. Raises PublishBusy at the deadline."""
    try:
        async with asyncio.timeout_at(deadline):
            await room.take(size_bytes)
    except TimeoutError:
        raise PublishBusy(topic, room.used_bytes, "the cluster takes less than applications publish") from None
