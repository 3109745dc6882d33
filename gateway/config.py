"""The gateway's configuration: from layers of text to one frozen value.

Strategy: each layer (defaults, file, environment, flags) becomes a flat mapping from dotted key to value and origin;
the later layer wins key by key; the result is validated once by the file's models and turned into `GatewayConfig`.
Files and the environment are read by `load_config` only, when it is called, never at import.

A. An unknown key anywhere refuses the start and names the nearest known one: a typo is never a silent default.
B. `origins` says for each key where its value came from; a secret's value is never shown.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import SecretStr, ValidationError

from gateway.address import Address
from gateway.config_file import Directories, FileConfig, Limits, Link, Local, Log, Timing, keys
from gateway.config_layers import (
    ConfigInvalid,
    Layer,
    Setting,
    environment_layer,
    file_layer,
    read_toml,
    text_layer,
    with_secrets_read,
)
from gateway.local_address import LocalAddress, local_address
from mesh.batch.limits import Limits as BatchLimits
from mesh.errors import MeshError
from mesh.ids import GatewayId, GatewayName, OrgId

if TYPE_CHECKING:
    from gateway.kafka.config import KafkaConfig

DEFAULT_FILE_NAME = "mesh.toml"


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """A configuration that is valid; paths are absolute. `path` is the file it came from, None without one."""

    organization: OrgId
    gateway_name: GatewayName
    keys_dir: Path
    state_dir: Path
    data_dir: Path
    peers_listen: Address | None
    """None: no listener for peers, this side dials."""
    enrolment_listen: Address | None
    """None: no invites are made here."""
    private_addresses: bool
    """Whether a partner may name private addresses."""
    admin_listen: Address
    health_listen: Address | None
    """None: the admin listener alone answers probes."""
    local_http: LocalAddress | None
    """None: no local API over HTTP."""
    local_grpc: LocalAddress | None
    """None: no local API over gRPC."""
    advertised: tuple[Address, ...]
    cluster_kind: Literal["embedded", "kafka"]
    kafka: KafkaConfig | None
    """None unless `cluster_kind` is kafka."""
    limits: Limits
    link: Link
    timing: Timing
    local: Local
    log: Log
    path: Path | None = None
    origins: Mapping[str, Setting] = field(default_factory=dict, compare=False)
    """Every key with the value in force (a secret's hidden) and where it came from."""

    @property
    def gateway_id(self) -> GatewayId:
        return GatewayId(self.organization, self.gateway_name)

    @property
    def batch_limits(self) -> BatchLimits:
        """What is accepted of a batch that somebody else made."""
        limits = self.limits
        return BatchLimits(limits.max_batch_bytes, limits.max_records, limits.max_uncompressed_bytes, limits.max_ratio)


def load_config(
    path: Path | None = None, flags: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None
) -> GatewayConfig:
    """The configuration in force: flags over environment over the file at `path` over defaults.

    `flags` are dotted keys (`listen.peers`). Raises ConfigUnreadable, ConfigUnknownKey, ConfigInvalid.
    """
    layers = [
        file_layer(read_toml(path), str(path)) if path else {},
        environment_layer(os.environ if environ is None else environ),
        text_layer((flags or {}).items(), "flag"),
    ]
    return resolve(layers, path)


def state_directory(path: Path) -> Path:
    """The state directory that the file at `path` names, also where other keys of it are wrong by now.

    A gateway that runs with what the file said before is still asked and ended by it. Raises what `load_config` raises
    where no directory can be read from it.
    """
    try:
        return load_config(path).state_dir
    except MeshError:
        with suppress(MeshError, AttributeError):
            named = read_toml(path).get("directories", {}).get("state", Directories().state)
            if isinstance(named, str):
                return path.resolve().parent / named
        raise


def resolve(layers: Sequence[Layer], path: Path | None = None) -> GatewayConfig:
    """The valid configuration that `layers` (the later wins) give. Reads the files of secrets, nothing else."""
    base = path.resolve().parent if path else Path.cwd()
    settings: dict[str, Setting] = {}
    for layer in layers:
        settings.update(with_secrets_read(layer, base))
    return _gateway_config(_validated(settings), settings, base, path)


def explained(config: GatewayConfig) -> dict[str, Any]:
    """Path and settings (key, value, origin) as JSON values; secrets are hidden."""
    settings = [
        {"key": key, "value": list(value) if isinstance(value, tuple) else value, "origin": origin}
        for key, (value, origin) in config.origins.items()
    ]
    return {"path": str(config.path) if config.path else None, "settings": settings}


def _validated(settings: Mapping[str, Setting]) -> FileConfig:
    nested: dict[str, Any] = {}
    for name, setting in settings.items():
        *parts, last = name.split(".")
        table = nested
        for part in parts:
            table = table.setdefault(part, {})
        table[last] = list(setting.value) if isinstance(setting.value, tuple) else setting.value
    try:
        return FileConfig.model_validate(nested)
    except ValidationError as error:
        # Its cause is dropped: pydantic's own sentence shows the input, and that may hold a password.
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"] if not isinstance(part, int)) or "the configuration"
        raise ConfigInvalid(name, _origin_of(name, settings), first["msg"].removeprefix("Value error, ")) from None


def _origin_of(name: str, settings: Mapping[str, Setting]) -> str:
    """Where the value of `name` came from; of a table, where its keys did."""
    within = {s.origin for key, s in settings.items() if key == name or key.startswith(f"{name}.")}
    return ", ".join(sorted(within)) or "default"


def _gateway_config(file: FileConfig, settings: Mapping[str, Setting], base: Path, path: Path | None) -> GatewayConfig:
    return GatewayConfig(
        organization=OrgId(file.organization),
        gateway_name=GatewayName(file.gateway),
        keys_dir=base / file.directories.keys,
        state_dir=base / file.directories.state,
        data_dir=base / file.directories.data,
        peers_listen=Address.parse(file.listen.peers) if file.listen.peers else None,
        enrolment_listen=Address.parse(file.listen.enrolment) if file.listen.enrolment else None,
        private_addresses=file.trust.private_addresses == "allow",
        admin_listen=Address.parse(file.listen.admin),
        health_listen=Address.parse(file.listen.health) if file.listen.health else None,
        local_http=local_address(file.listen.local_http) if file.listen.local_http else None,
        local_grpc=local_address(file.listen.local_grpc) if file.listen.local_grpc else None,
        advertised=tuple(map(Address.parse, file.listen.advertised)),
        cluster_kind=file.cluster.kind,
        kafka=_kafka_config(file, base),
        limits=file.limits,
        link=file.link,
        timing=file.timing,
        local=file.local,
        log=file.log,
        path=path.resolve() if path else None,
        origins=_origins(file, settings),
    )


def _kafka_config(file: FileConfig, base: Path) -> KafkaConfig | None:
    if file.cluster.kind != "kafka":
        return None
    # Here, because the Kafka client costs half a second that no other command should wait for.
    from gateway.kafka.config import KafkaConfig, Mechanism, Secret, SecurityProtocol

    kafka = file.cluster.kafka
    return KafkaConfig(
        bootstrap=kafka.bootstrap,
        security_protocol=SecurityProtocol(kafka.security_protocol),
        sasl_mechanism=Mechanism(kafka.sasl_mechanism),
        username=kafka.sasl_username,
        password=Secret(kafka.sasl_password.get_secret_value()),
        ca_file=_path(base, kafka.tls_ca_file),
        certificate_file=_path(base, kafka.tls_certificate_file),
        key_file=_path(base, kafka.tls_key_file),
        client_id=f"stream-mesh-{file.gateway}",
        request_timeout_s=file.timing.append_timeout_s,
    )


def _path(base: Path, text: str) -> Path | None:
    return base / text if text else None


def _origins(file: FileConfig, settings: Mapping[str, Setting]) -> dict[str, Setting]:
    origins = {}
    for key in keys():
        value: Any = file
        for part in key.name.split("."):
            value = getattr(value, part)
        shown = "(hidden)" if isinstance(value, SecretStr) and value.get_secret_value() else value
        shown = "" if isinstance(shown, SecretStr) else shown
        origins[key.name] = Setting(shown, settings[key.name].origin if key.name in settings else "default")
    return origins
