"""Knocking at every broker: what a bootstrap address and each advertised address answer to our credentials."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from typing import Any

from kio.schema.api_versions.v3 import ApiVersionsRequest, ApiVersionsResponse
from kio.schema.metadata.v12 import MetadataRequest, MetadataResponse

from gateway.address import Address
from gateway.doctor.facts import Door
from gateway.kafka.config import KafkaConfig
from gateway.kafka.connection import Connection
from gateway.kafka.dial import dial, tls_context
from gateway.kafka.messages import call
from mesh.errors import MeshError

METADATA_VERSION = "metadata.version"


async def knock(config: KafkaConfig) -> list[Door]:
    """The bootstrap addresses, then the addresses that the brokers advertise. Raises ClusterUntrusted."""
    context = tls_context(config)
    bootstrap = await asyncio.gather(*[_door(config, context, address, None) for address in config.addresses])
    advertised: dict[int, Address] = {}
    for _, answer in bootstrap:
        for broker in answer.brokers if answer else ():
            advertised[int(broker.node_id)] = Address(broker.host, int(broker.port))
    doors = await asyncio.gather(*[_door(config, context, each, node) for node, each in sorted(advertised.items())])
    return [door for door, _ in (*bootstrap, *doors)]


async def _door(
    config: KafkaConfig, context: ssl.SSLContext | None, address: Address, node: int | None
) -> tuple[Door, MetadataResponse | None]:
    try:
        connection = await dial(config, address, context)
    except MeshError as error:
        return Door(str(address), node, str(error), error.remedy), None
    try:
        ask = ApiVersionsRequest(client_software_name="stream-mesh", client_software_version="1")
        spoken = await call(connection, ask, ApiVersionsResponse, config.connect_timeout_s)
        request = MetadataRequest(topics=(), allow_auto_topic_creation=False, include_topic_authorized_operations=False)
        metadata = await call(connection, request, MetadataResponse, config.connect_timeout_s)
    except MeshError as error:
        return Door(str(address), node, str(error), error.remedy), None
    finally:
        connection.abort("the doctor has seen it")
    return _opened(address, node, connection, spoken), metadata


def _opened(address: Address, node: int | None, connection: Connection, spoken: ApiVersionsResponse) -> Door:
    certificate = connection.peer_certificate
    end = certificate.get("notAfter")
    return Door(
        str(address),
        node,
        versions={int(each.api_key): (int(each.min_version), int(each.max_version)) for each in spoken.api_keys},
        metadata_version=_level(spoken),
        certificate_end_ms=int(ssl.cert_time_to_seconds(end)) * 1000 if end else None,
        certificate_names=tuple(_names(certificate)),
    )


def _level(spoken: ApiVersionsResponse) -> int | None:
    levels = [int(each.max_version_level) for each in spoken.finalized_features if each.name == METADATA_VERSION]
    return levels[0] if levels else None


def _names(certificate: Mapping[str, Any]) -> Iterable[str]:
    for kind, name in certificate.get("subjectAltName", ()):
        yield f"{kind}:{name}"
