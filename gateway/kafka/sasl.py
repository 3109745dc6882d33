"""SASL on a new connection. The mechanisms are aiokafka's authenticators; the bytes go through our own connection."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import OAuthAuthenticator, SaslPlainAuthenticator, ScramAuthenticator
from kio.schema.sasl_authenticate.v2 import SaslAuthenticateRequest, SaslAuthenticateResponse
from kio.schema.sasl_handshake.v1 import SaslHandshakeRequest, SaslHandshakeResponse

from gateway.kafka.config import KafkaConfig, Mechanism
from gateway.kafka.connection import Connection
from gateway.kafka.errors import AuthenticationFailed
from gateway.kafka.messages import call

SESSION_PART = 0.8
"""How much of a session is used before its connection is replaced: requests under way need the rest."""


class Authenticator(Protocol):
    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None: ...


async def authenticate(connection: Connection, config: KafkaConfig) -> None:
    """Raises AuthenticationFailed, ClusterUnreachable."""
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
