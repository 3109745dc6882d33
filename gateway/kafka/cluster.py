"""Opening and closing a Kafka cluster: a configuration becomes a `Cluster` for the length of an `async with`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.kafka.audit import open_audit
from gateway.kafka.client import Client
from gateway.kafka.config import KafkaConfig
from gateway.kafka.destination import KafkaDestination
from gateway.kafka.dial import tls_context
from gateway.kafka.groups import KafkaGroups
from gateway.kafka.source import KafkaSource
from gateway.kafka.state import CONTROL_PARTITIONS, CONTROL_TOPIC, LANES_PARTITIONS, LANES_TOPIC, open_store
from gateway.kafka.topics import KafkaTopics
from gateway.sole_owner import SoleOwner
from mesh.ports import Cluster


@asynccontextmanager
async def open_kafka(config: KafkaConfig) -> AsyncIterator[Cluster]:
    """The cluster behind `config.bootstrap`, its state topics created where absent and read.

    Raises ClusterUnreachable, ClusterUntrusted, AuthenticationFailed, ClusterTooOld, PermissionMissing. At the end,
    or at `Cluster.close`, the connections are closed; whoever still waits gets a NetworkError. An error of the body
    comes out as it is, not in a group.
    """
    failure: BaseException | None = None
    context = tls_context(config)
    async with asyncio.TaskGroup() as tasks:
        client = Client(config, context, tasks)
        try:
            yield await _open(client)
        except BaseException as error:  # raised again below, outside of the group
            failure = error
        finally:
            client.close()
    if failure is not None:
        raise failure


async def _open(client: Client) -> Cluster:
    await client.start()
    control = await open_store(client, CONTROL_TOPIC, CONTROL_PARTITIONS)
    lanes = await open_store(client, LANES_TOPIC, LANES_PARTITIONS)

    async def close() -> None:
        client.close()

    return Cluster(
        cluster_id=client.cluster_id,
        kind="kafka",
        topics=KafkaTopics(client),
        source=KafkaSource(client),
        destination=KafkaDestination(client, lanes),
        control=control,
        lanes=lanes,
        ownership=SoleOwner(),
        groups=KafkaGroups(client),
        audit=await open_audit(client),
        close=close,
    )
