"""Opening a connection: TCP, TLS, the versions the broker speaks, SASL.

The mechanisms are aiokafka's authenticators; the bytes go through our own connection.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import Any, Protocol

from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import OAuthAuthenticator, SaslPlainAuthenticator, ScramAuthenticator
from kio.schema.api_versions.v3 import ApiVersionsRequest, ApiVersionsResponse
from kio.schema.sasl_authenticate.v2 import SaslAuthenticateRequest, SaslAuthenticateResponse
from kio.schema.sasl_handshake.v1 import SaslHandshakeRequest, SaslHandshakeResponse

from gateway.address import Address
from gateway.kafka.config import KafkaConfig, Mechanism
from gateway.kafka.connection import Api, Connection
from gateway.kafka.errors import AuthenticationFailed, ClusterTooOld, ClusterUntrusted
from gateway.kafka.fetch_message import FETCH
from gateway.kafka.messages import call
from gateway.kafka.produce_message import PRODUCE, PRODUCE_BY_ID
from mesh.cluster_errors import ClusterUnreachable

NEEDED = {"Fetch": FETCH, "Produce": PRODUCE, "Metadata": Api(3, 12), "DescribeProducers": Api(61, 0)}
"""The rest came before these: a broker that speaks them speaks everything that we ask."""

SESSION_PART = 0.8
"""How much of a session is used before its connection is replaced: requests under way need the rest."""


class Authenticator(Protocol):
    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None: ...


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
            await _authenticate(connection, config)
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


async def _authenticate(connection: Connection, config: KafkaConfig) -> None:
    mechanism = config.sasl_mechanism
    hello = await call(
        connection, SaslHandshakeRequest(mechanism=mechanism), SaslHandshakeResponse, config.connect_timeout_s
    )
    if hello.error_code != 0:
        offered = ", ".join(hello.mechanisms)
        raise AuthenticationFailed(connection.address, f"it offers {offered or 'no mechanism'}, not {mechanism}")
    authenticator, token = _authenticator(config), None
    try:
        while (step := await authenticator.step(token)) is not None:
            ask = SaslAuthenticateRequest(auth_bytes=step[0])
            answer = await call(connection, ask, SaslAuthenticateResponse, config.connect_timeout_s)
            if answer.error_code != 0:
                raise AuthenticationFailed(connection.address, answer.error_message or "no reason given")
            token = answer.auth_bytes
            if lifetime_s := answer.session_lifetime.total_seconds():
                connection.expires_at = asyncio.get_running_loop().time() + lifetime_s * SESSION_PART
    except (ValueError, KeyError, AssertionError) as error:
        raise AuthenticationFailed(connection.address, f"the broker could not prove itself: {error}") from error


class _Token(AbstractTokenProvider):  # type: ignore[misc]
    def __init__(self, token: str) -> None:
        self._token = token

    async def token(self) -> str:
        return self._token


def _authenticator(config: KafkaConfig) -> Authenticator:
    user: dict[str, Any] = {
        "loop": asyncio.get_running_loop(),
        "sasl_plain_username": config.username,
        "sasl_plain_password": config.password.reveal(),
    }
    made: Authenticator
    match config.sasl_mechanism:
        case Mechanism.PLAIN:
            made = SaslPlainAuthenticator(**user)
        case Mechanism.OAUTHBEARER:
            made = OAuthAuthenticator(sasl_oauth_token_provider=_Token(config.password.reveal()))
        case scram:
            made = ScramAuthenticator(**user, sasl_mechanism=str(scram))
    return made
