"""What the adapter needs to know of a Kafka cluster: addresses, credentials and limits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from gateway.address import Address


class Secret:
    """A password that does not show itself: printed, logged or formatted it is `***`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


NO_SECRET = Secret("")


class SecurityProtocol(StrEnum):
    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"

    @property
    def tls(self) -> bool:
        return self in {SecurityProtocol.SSL, SecurityProtocol.SASL_SSL}

    @property
    def sasl(self) -> bool:
        return self in {SecurityProtocol.SASL_PLAINTEXT, SecurityProtocol.SASL_SSL}


class Mechanism(StrEnum):
    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"
    OAUTHBEARER = "OAUTHBEARER"


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConfig:
    """`bootstrap` names at least one broker as `host:port`; `addresses` raises IllegalAddress.

    For OAUTHBEARER `password` holds the token.
    """

    bootstrap: tuple[str, ...]
    security_protocol: SecurityProtocol = SecurityProtocol.PLAINTEXT
    sasl_mechanism: Mechanism = Mechanism.SCRAM_SHA_512
    username: str = ""
    password: Secret = NO_SECRET
    ca_file: Path | None = None
    """CA certificates that verify the brokers; the system's where there is none."""
    certificate_file: Path | None = None
    key_file: Path | None = None
    client_id: str = "stream-mesh"
    connect_timeout_s: float = 10.0
    request_timeout_s: float = 30.0
    """How long an answer may take (a long poll's wait comes on top); after it the connection is given up."""
    fetch_max_bytes: int = 8 << 20
    """What one answer to a fetch of several partitions holds at most, its first batch apart."""
    max_response_bytes: int = 256 << 20
    """A larger answer is a broken broker: the connection is closed before anything is allocated for it."""

    @property
    def addresses(self) -> tuple[Address, ...]:
        return tuple(Address.parse(each) for each in self.bootstrap)
