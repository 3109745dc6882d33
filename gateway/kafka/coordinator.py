"""Asking a coordinator: the broker that keeps one group, or one transactional id."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import TypeVar

from kio.schema.find_coordinator.v3 import FindCoordinatorRequest, FindCoordinatorResponse
from kio.static.primitive import i8

from gateway.kafka.client import Client
from gateway.kafka.codes import Code, request_error
from gateway.kafka.patience import pauses
from mesh.cluster_errors import ClusterUnreachable
from mesh.errors import NetworkError

GROUP_KEY, TRANSACTION_KEY = i8(0), i8(1)
NOT_NOW = frozenset(
    {
        Code.COORDINATOR_LOAD_IN_PROGRESS,
        Code.COORDINATOR_NOT_AVAILABLE,
        Code.NOT_COORDINATOR,
        Code.CONCURRENT_TRANSACTIONS,
        Code.UNSTABLE_OFFSET_COMMIT,
    }
)
"""The coordinator will do it soon, or another one will."""

Done = TypeVar("Done")


async def coordinator(client: Client, name: str, kind: i8) -> int:
    """The broker to ask about a name. Raises ClusterUnreachable while there is none, PermissionMissing."""
    request = FindCoordinatorRequest(key=name, key_type=kind)
    answer = await client.call(request, FindCoordinatorResponse)
    check(client, [int(answer.error_code)], "coordinate", name)
    return int(answer.node_id)


def check(client: Client, codes: Iterable[int], request: str, what: str) -> None:
    """Raises ClusterUnreachable where it is worth asking again, otherwise what the first error means."""
    for code in codes:
        if code in NOT_NOW:
            raise ClusterUnreachable(client.cluster_id, f"it cannot {request} {what} yet")
        # of several partitions one that was refused makes the broker refuse the others for that reason
        if code not in {Code.NONE, Code.OPERATION_NOT_ATTEMPTED}:
            raise request_error(request, what, code)


async def soon(client: Client, ask: Callable[[], Awaitable[Done]]) -> Done:
    """What `ask` answers; on a NetworkError again, for as long as a request may take."""
    give_up = asyncio.get_running_loop().time() + client.config.request_timeout_s
    for pause_s in pauses():
        with suppress(NetworkError):
            return await ask()
        if client.closed or asyncio.get_running_loop().time() > give_up:
            break
        await asyncio.sleep(pause_s)
    return await ask()
