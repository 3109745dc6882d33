"""Opening and closing a Kafka cluster: a configuration becomes a `Cluster` for the length of an `async with`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.kafka.audit import open_audit
from gateway.kafka.client import Client, Purpose
from gateway.kafka.config import KafkaConfig
from gateway.kafka.control_state import open_control
from gateway.kafka.destination import KafkaDestination
from gateway.kafka.groups import KafkaGroups
from gateway.kafka.lane_state import KafkaLanes, open_lanes
from gateway.kafka.membership import join_group
from gateway.kafka.opening import open_client
from gateway.kafka.ownership import KafkaOwnership
from gateway.kafka.source import KafkaSource
from gateway.kafka.topics import KafkaTopics
from gateway.sole_owner import SoleOwner
from mesh.ports import Cluster


@asynccontextmanager
async def open_kafka(config: KafkaConfig, gateway: str = "", member_file: Path | None = None) -> AsyncIterator[Cluster]:
    """The cluster behind `config.bootstrap`, its state topics created where absent and read.

    `gateway` becomes one of those that share the lanes out among them; without a name all of them are taken. Raises
    ClusterUnreachable, ClusterUntrusted, AuthenticationFailed, ClusterTooOld, PermissionMissing, GatewayNameTaken. At
    the end, or at `Cluster.close`, the connections are closed; whoever still waits gets a NetworkError. An error of the
    body comes out as it is, not in a group.
    """
    async with open_client(config) as client:
        yield await _open(client, gateway, member_file)


async def _open(client: Client, gateway: str, member_file: Path | None) -> Cluster:
    source = KafkaSource(client)
    control = await open_control(client, source)
    lanes = await open_lanes(client, gateway=gateway)
    ownership = await _ownership(client, lanes, gateway, member_file)

    async def close() -> None:
        client.close()

    return Cluster(
        cluster_id=client.cluster_id,
        kind="kafka",
        topics=KafkaTopics(client),
        source=source,
        destination=KafkaDestination(client, lanes, ownership.may_write),
        control=control,
        lanes=lanes,
        ownership=ownership,
        groups=KafkaGroups(client),
        audit=await open_audit(client),
        close=close,
        applications=KafkaDestination(client, purpose=Purpose.PUBLISH),
    )


async def _ownership(
    client: Client, lanes: KafkaLanes, gateway: str, member_file: Path | None
) -> KafkaOwnership | SoleOwner:
    if not gateway:
        await lanes.claim(range(lanes.partitions))
        return SoleOwner()
    return await join_group(client, lanes, gateway, member_file)
