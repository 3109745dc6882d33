"""What the configuration file may say: pydantic models whose defaults, bounds and descriptions are the one source
for validation, for the file that `mesh init` writes and for docs/reference/configuration.md.

A key is written with dots (`limits.frame_bytes`) in messages and `--set`, as a table in TOML, and with `MESH_` and
double underscores in the environment. A secret may be given as a file: its key with `_file`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, NamedTuple, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic.fields import FieldInfo

from gateway.address import Address
from gateway.local_address import local_address
from mesh.errors import MeshError
from mesh.ids import GatewayName, OrgId

ENV_PREFIX = "MESH_"


def _checked(parse: Any) -> AfterValidator:
    """Validation by one of our own parsers, whose sentence becomes pydantic's."""

    def check(value: str) -> str:
        try:
            parse(value)
        except MeshError as error:
            raise ValueError(str(error)) from error
        return value

    return AfterValidator(check)


def _loopback(text: str) -> None:
    if not Address.parse(text).is_loopback:
        raise ValueError("it must be a loopback address: a token is the admin API's only protection")


def _address_or_none(text: str) -> None:
    if text:
        Address.parse(text)


def _local_or_none(text: str) -> None:
    if text:
        local_address(text)


AddressText = Annotated[str, _checked(Address.parse)]
Bytes = Annotated[int, Field(ge=1024, le=1 << 40)]
Seconds = Annotated[float, Field(gt=0, le=86_400 * 7, allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Directories(_Table):
    keys: str = Field(default="keys", description="CA and gateway keys; readable by the gateway's user only")
    state: str = Field(default="state", description="admin token, ports in use, lock")
    data: str = Field(default="data", description="the embedded log")


class Listen(_Table):
    peers: Annotated[str, _checked(_address_or_none)] = Field(
        default="127.0.0.1:7463",
        description="host:port for other organizations (mutual TLS); empty: none, this side dials",
    )
    enrolment: Annotated[str, _checked(_address_or_none)] = Field(
        default="127.0.0.1:7464",
        description="host:port where invited partners redeem; open only while an invite is; empty: none",
    )
    admin: Annotated[str, _checked(_loopback)] = Field(
        default="127.0.0.1:7462", description="host:port of the admin API; loopback only"
    )
    health: Annotated[str, _checked(_address_or_none)] = Field(
        default="",
        description="host:port of /livez, /readyz and /metrics alone, without a token, for probes and Prometheus on "
        "other machines; empty: none",
    )
    local_http: Annotated[str, _checked(_local_or_none)] = Field(
        default="",
        description="where applications of this machine use HTTP: host:port on loopback, or unix:/path; empty: nowhere",
    )
    local_grpc: Annotated[str, _checked(_local_or_none)] = Field(
        default="",
        description="where applications of this machine use gRPC, as mesh.sdk does: as local_http",
    )
    advertised: tuple[AddressText, ...] = Field(
        default=(), description="host:port list by which partners reach us; default: the peers listener"
    )


class Kafka(_Table):
    bootstrap: tuple[AddressText, ...] = Field(default=(), description="host:port list of brokers to ask first")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="how to speak to the brokers"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        default="SCRAM-SHA-512", description="with a SASL protocol"
    )
    sasl_username: str = Field(default="", description="with a SASL protocol, except OAUTHBEARER")
    sasl_password: SecretStr = Field(
        default=SecretStr(""), description="or the token of OAUTHBEARER; better given as a file"
    )
    tls_ca_file: str = Field(default="", description="CA certificates of the brokers; empty: the system's")
    tls_certificate_file: str = Field(default="", description="client certificate chain")
    tls_key_file: str = Field(default="", description="client key")

    @model_validator(mode="after")
    def _rules(self) -> Kafka:
        named = self.sasl_username or self.sasl_mechanism == "OAUTHBEARER"
        if self.security_protocol.startswith("SASL") and not (named and self.sasl_password.get_secret_value()):
            raise ValueError(f"security_protocol {self.security_protocol} needs sasl_username and sasl_password")
        if bool(self.tls_certificate_file) != bool(self.tls_key_file):
            raise ValueError("tls_certificate_file and tls_key_file go together")
        return self


class Trust(_Table):
    private_addresses: Literal["refuse", "allow"] = Field(
        default="refuse", description="where a partner's invite, or a name in its peer file, leads to private networks"
    )


class ClusterTable(_Table):
    kind: Literal["embedded", "kafka"] = Field(default="embedded", description="the organization's own log")
    kafka: Kafka = Field(default=Kafka(), description="used when cluster.kind is kafka")

    @model_validator(mode="after")
    def _rules(self) -> ClusterTable:
        if self.kind == "kafka" and not self.kafka.bootstrap:
            raise ValueError("cluster.kind kafka needs cluster.kafka.bootstrap")
        return self


class Limits(_Table):
    """Sizes in bytes. Every queue between two clusters has one of these as its bound."""

    max_batch_bytes: Bytes = Field(default=16 << 20, description="largest record batch taken from a peer, compressed")
    max_uncompressed_bytes: Bytes = Field(
        default=40 << 20, description="largest record batch taken from a peer, unpacked"
    )
    max_ratio: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=1_024, description="largest unpacked to compressed ratio of a batch taken from a peer"
    )
    max_records: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        default=1_000_000, description="most records in a batch taken from a peer"
    )
    frame_bytes: Bytes = Field(default=1 << 20, description="size at which a data frame is sent under load")
    lane_credit_bytes: Bytes = Field(
        default=16 << 20,
        description="largest window of one lane, bytes sent but not yet appended: as much as a long way takes",
    )
    windows_bytes: Annotated[int, Field(ge=0, le=1 << 40)] = Field(
        default=32 << 20,
        description="what the windows of all lanes together have beyond what each begins with, at most 1 MiB",
    )
    shared_fetch_bytes: Annotated[int, Field(ge=0, le=1 << 40)] = Field(
        default=32 << 20, description="kept for a second of what was fetched for one of several readers of a partition"
    )
    link_buffer_bytes: Bytes = Field(default=4 << 20, description="bytes waiting to be sent on one link")

    @model_validator(mode="after")
    def _rules(self) -> Limits:
        if self.frame_bytes > self.link_buffer_bytes:
            raise ValueError("limits.frame_bytes must not exceed limits.link_buffer_bytes")
        return self


class Link(_Table):
    compression: Literal["off", "auto"] = Field(
        default="off",
        description="auto: compress what is exported for the way (zstd), where the peer knows of it and it pays; "
        "it costs some CPU seconds per GB",
    )


class Timing(_Table):
    """Durations in seconds, and the one size that works like one."""

    heartbeat_s: Seconds = Field(default=10, description="between heartbeats on an idle link")
    drain_timeout_s: Seconds = Field(default=15, description="for flush and checkpoint at shutdown")
    drain_pre_s: Annotated[float, Field(ge=0, le=30, allow_inf_nan=False)] = Field(
        default=0, description="how long the local API takes records after the gateway was told to stop"
    )
    reconnect_initial_s: Seconds = Field(default=0.2, description="first pause before a link is dialled again")
    reconnect_max_s: Seconds = Field(default=10, description="longest such pause")
    cluster_wait_s: Annotated[float, Field(ge=0, le=86_400 * 7, allow_inf_nan=False)] = Field(
        default=300, description="at the start, for a cluster that cannot be reached; 0: not at all"
    )
    append_timeout_s: Seconds = Field(default=30, description="until the outcome of an append counts as unknown")
    request_timeout_s: Seconds = Field(default=10, description="for one question to a peer or to the cluster")
    checkpoint_s: Seconds = Field(default=5, description="longest time between checkpoints of a lane")
    checkpoint_bytes: Bytes = Field(default=64 << 20, description="most bytes between checkpoints of a lane")
    certificates_s: Seconds = Field(default=5, description="between looks at the files of certificates and keys")
    groups_s: Seconds = Field(default=5, description="between turns in which positions of consumer groups are copied")
    maintenance_s: Seconds = Field(default=60, description="between retention runs of the embedded log")

    @model_validator(mode="after")
    def _rules(self) -> Timing:
        if self.reconnect_initial_s > self.reconnect_max_s:
            raise ValueError("timing.reconnect_initial_s must not exceed timing.reconnect_max_s")
        return self


class Local(_Table):
    """What applications may take of the gateway beside them."""

    max_request_bytes: Bytes = Field(default=8 << 20, description="largest request of an application")
    max_streams: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=64, description="most readers and publishing streams at once, and most other calls under way"
    )
    waiting_bytes: Bytes = Field(default=64 << 20, description="records taken from applications and not durable yet")
    reader_bytes: Bytes = Field(default=4 << 20, description="records fetched for one reader who has not taken them")
    stalled_reader_s: Seconds = Field(default=60, description="until a reader who takes nothing is ended")
    idempotency_s: Annotated[float, Field(ge=60, le=86_400 * 7, allow_inf_nan=False)] = Field(
        default=3600, description="how long a repeated idempotency key is known, at least"
    )


class Log(_Table):
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least level that is written"
    )
    format: Literal["json", "console"] = Field(default="json", description="one JSON object a line, or for people")


class FileConfig(_Table):
    organization: Annotated[str, _checked(OrgId)] = Field(description="trust domain of this organization")
    gateway: Annotated[str, _checked(GatewayName)] = Field(default="gw-1", description="name of this gateway in it")
    directories: Directories = Field(default=Directories(), description="paths, relative to this file")
    listen: Listen = Field(default=Listen(), description="port 0 is allowed: the system chooses")
    trust: Trust = Field(default=Trust(), description="what partners may make this gateway do")
    cluster: ClusterTable = Field(default=ClusterTable(), description="the organization's own cluster")
    limits: Limits = Field(default=Limits(), description="sizes in bytes")
    link: Link = Field(default=Link(), description="the way between gateways")
    timing: Timing = Field(default=Timing(), description="durations in seconds")
    local: Local = Field(default=Local(), description="bounds on what applications of this machine use")
    log: Log = Field(default=Log(), description="the gateway's own log, on standard error")


class Key(NamedTuple):
    """One configuration key: its dotted name and what the model says of it."""

    name: str
    field: FieldInfo

    @property
    def is_secret(self) -> bool:
        return self.field.annotation is SecretStr

    @property
    def is_list(self) -> bool:
        return get_origin(self.field.annotation) is tuple

    @property
    def env(self) -> str:
        return ENV_PREFIX + self.name.replace(".", "__").upper()


def tables(model: type[BaseModel] = FileConfig, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """The tables in the file's order: dotted name and field."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield prefix + name, field
            yield from tables(kind, f"{prefix}{name}.")


def keys(model: type[BaseModel] = FileConfig, prefix: str = "") -> Iterator[Key]:
    """Every key in the file's order, tables opened."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from keys(kind, f"{prefix}{name}.")
        else:
            yield Key(prefix + name, field)


def nearest(name: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """The known name most like `name`, empty where none is."""
    return next(iter(difflib.get_close_matches(name, sorted(known), 1, cutoff)), "")
