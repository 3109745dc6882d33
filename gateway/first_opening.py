"""The first opening of the cluster: a gateway that starts before its brokers waits for them, and says so.

Only what passes by itself is waited for: a wrong password, a CA that does not fit or a missing permission ends the
start at once. Meanwhile the admin listener answers /livez and /readyz (not ready, with the reason), and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import structlog

from gateway import health_listener
from gateway.config import GatewayConfig
from gateway.health import Health
from gateway.stop_signals import StopSignals
from mesh.errors import NetworkError
from mesh.ports import Cluster

log = structlog.get_logger()

PAUSE_S = 1.0
"""Between two tries. Each has timeouts of its own, so this only bounds how often a refusal is asked for."""


async def open_first(
    stack: AsyncExitStack, config: GatewayConfig, open_cluster: Callable[[], AbstractAsyncContextManager[Cluster]]
) -> Cluster | None:
    """The cluster, which `stack` closes; None where the gateway was told to stop meanwhile.

    Raises what `open_cluster` raises; a NetworkError only after `timing.cluster_wait_s`.
    """
    task, told = asyncio.current_task(), asyncio.Event()
    assert task is not None

    def stop() -> None:
        told.set()
        task.cancel()

    with StopSignals(stop):
        try:
            async with AsyncExitStack() as waiting:
                cluster = await _open(stack, waiting, config, open_cluster)
                await asyncio.sleep(0)  # a signal that came in the last moment is noticed here
                return cluster
        except asyncio.CancelledError:
            if not told.is_set():
                raise
            task.uncancel()
            log.info("gateway stopped before it reached its cluster")
            return None


async def _open(
    stack: AsyncExitStack,
    waiting: AsyncExitStack,
    config: GatewayConfig,
    open_cluster: Callable[[], AbstractAsyncContextManager[Cluster]],
) -> Cluster:
    loop, why, is_listening = asyncio.get_running_loop(), "", False
    health = Health()
    health.add("cluster", lambda: why)
    give_up = loop.time() + config.timing.cluster_wait_s
    while True:
        try:
            return await stack.enter_async_context(open_cluster())
        except NetworkError as error:
            left_s = give_up - loop.time()
            if left_s < PAUSE_S:
                raise
            why = str(error)
            log.warning("gateway waits for its cluster", code=error.code, reason=why, gives_up_in_s=round(left_s))
        if not is_listening:
            from gateway.admin import server as admin  # a start that need not wait does not wait for its import either

            listening = await admin.start(admin.health_app(health), *config.admin_listen)
            waiting.push_async_callback(listening.close)
            if (door := health_listener.reserve(config.health_listen)) is not None:
                waiting.push_async_callback((await health_listener.serve(door, health)).close)
            is_listening = True
        await asyncio.sleep(PAUSE_S)
