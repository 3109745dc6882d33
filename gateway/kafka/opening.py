"""A client of a cluster for the length of an `async with`: connections, and the tasks behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.kafka.client import Client
from gateway.kafka.config import KafkaConfig
from gateway.kafka.dial import tls_context


@asynccontextmanager
async def open_client(config: KafkaConfig) -> AsyncIterator[Client]:
    """A client that has found the cluster. Raises what `Client.start` and `tls_context` raise.

    At the end the connections are closed; whoever still waits gets a NetworkError. An error of the body comes out as
    it is, not in a group.
    """
    failure: BaseException | None = None
    context = tls_context(config)
    async with asyncio.TaskGroup() as tasks:
        client = Client(config, context, tasks)
        try:
            await client.start()
            yield client
        except BaseException as error:  # raised again below, outside of the group
            failure = error
        finally:
            client.close()
    if failure is not None:
        raise failure
