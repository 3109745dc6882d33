"""Opening a connection: TCP, TLS, the versions the broker speaks, SASL where it is configured."""

from __future__ import annotations

import asyncio
import os
import ssl

from kio.schema.api_versions.v3 import ApiVersionsRequest, ApiVersionsResponse

from gateway.address import Address
from gateway.kafka.config import KafkaConfig
from gateway.kafka.connection import Api, Connection
from gateway.kafka.errors import ClusterTooOld, ClusterUntrusted
from gateway.kafka.fetch_message import FETCH
from gateway.kafka.messages import call
from gateway.kafka.produce_message import PRODUCE, PRODUCE_BY_ID
from mesh.cluster_errors import ClusterUnreachable

NEEDED = {"Fetch": FETCH, "Produce": PRODUCE, "Metadata": Api(3, 12), "DescribeProducers": Api(61, 0)}
"""The rest came before these: a broker that speaks them speaks everything that we ask."""


def tls_context(config: KafkaConfig) -> ssl.SSLContext | None:
    """None without TLS. Reads the files that the configuration names. Raises ClusterUntrusted."""
    if not config.security_protocol.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=config.ca_file)
        if config.certificate_file is not None:
            context.load_cert_chain(config.certificate_file, config.key_file)
    except OSError as error:  # ssl.SSLError is one
        files = ", ".join(str(each) for each in (config.ca_file, config.certificate_file, config.key_file) if each)
        raise ClusterUntrusted(",".join(config.bootstrap), f"{files}: {error.strerror or error}") from error
    return context


async def dial(config: KafkaConfig, address: Address, context: ssl.SSLContext | None) -> Connection:
    """A connection ready for requests.

    Raises ClusterUnreachable, ClusterUntrusted, AuthenticationFailed, ClusterTooOld.
    """
    connection = await _connect(config, address, context)
    try:
        await _check_versions(connection, config)
        if config.security_protocol.sasl:
            from gateway.kafka.sasl import authenticate  # a start without SASL need not import aiokafka

            await authenticate(connection, config)
    except BaseException:
        connection.abort("the handshake failed")
        raise
    return connection


async def _connect(config: KafkaConfig, address: Address, context: ssl.SSLContext | None) -> Connection:
    loop = asyncio.get_running_loop()

    def protocol() -> Connection:
        return Connection(str(address), config.client_id, config.max_response_bytes)

    try:
        async with asyncio.timeout(config.connect_timeout_s):
            host = address.host if context else None
            _, made = await loop.create_connection(
                protocol, address.host, address.port, ssl=context, server_hostname=host
            )
    except TimeoutError:
        raise ClusterUnreachable(str(address), f"no connection within {config.connect_timeout_s:g} s") from None
    except ssl.SSLCertVerificationError as error:
        raise ClusterUntrusted(str(address), error.verify_message) from error
    except ssl.SSLError as error:
        raise ClusterUntrusted(str(address), error.reason or str(error)) from error
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise ClusterUnreachable(str(address), why) from error
    return made


async def _check_versions(connection: Connection, config: KafkaConfig) -> None:
    ask = ApiVersionsRequest(client_software_name="stream-mesh", client_software_version="1")
    answer = await call(connection, ask, ApiVersionsResponse, config.connect_timeout_s)
    known = {each.api_key: each for each in answer.api_keys}
    for name, api in NEEDED.items():
        range_ = known.get(api.key)  # type: ignore[call-overload]
        if range_ is None or not range_.min_version <= api.version <= range_.max_version:
            raise ClusterTooOld(connection.address, name, api.version)
    produce = known[PRODUCE.key]  # type: ignore[index]
    connection.takes_topic_ids = produce.max_version >= PRODUCE_BY_ID.version
