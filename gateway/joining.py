"""Another gateway of an organization: its own name, leaf and state, everything else as the first gateway has it.

The CA key stays where it is: the gateway that holds it renews itself and rotates the CA. What a joined gateway holds,
its leaf and the bundle that peers hold of the organization, is made anew by the same command. While it runs, it takes
both up by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from certs import store
from certs.authority import Authority
from certs.errors import AuthorityAbsent, DirectoryInUse, RotationUnderWay
from certs.own import ELSEWHERE, OwnTrust, TrustFiles, load_generation, load_own, save_own
from certs.rotation import Phase
from gateway.config import DEFAULT_FILE_NAME, GatewayConfig, load_config
from gateway.config_layers import file_layer, read_toml
from gateway.init import make_home
from mesh.errors import CallerError
from mesh.ids import GatewayName

OWN_KEYS = ("organization", "gateway", "listen.", "directories.")
"""What of the first gateway's configuration does not hold for another."""


@dataclass(eq=False)
class JoinRefused(CallerError):
    path: str
    why: str

    code: ClassVar[str] = "join-refused"
    sentence: ClassVar[str] = "no other gateway can join the one of {path}: {why}"
    hint: ClassVar[str] = "see docs/how-to/run-replicas.md"


@dataclass(frozen=True, slots=True)
class Joining:
    """What `mesh init --join` was asked for. Empty texts mean the defaults."""

    first: Path
    """The home of the gateway that holds the CA key."""
    gateway_name: GatewayName
    listen: str = ""
    admin: str = ""
    local_http: str = ""
    """Empty: nowhere; so for `local_grpc`."""
    local_grpc: str = ""

    @property
    def addresses(self) -> dict[str, object]:
        """Of its listeners, by their keys, as far as they are not the default."""
        given = {"peers": self.listen, "admin": self.admin}
        given |= {"local_http": self.local_http, "local_grpc": self.local_grpc}
        return {f"listen.{key}": text for key, text in given.items() if text}


def join(directory: Path, wanted: Joining, now: datetime) -> tuple[GatewayConfig, bool]:
    """Make `directory` the home of another gateway, or renew what it holds; its configuration and whether it is new.

    Raises JoinRefused, DirectoryInUse (it is not the home of this gateway), AuthorityAbsent, RotationUnderWay,
    ConfigUnreadable, ConfigInvalid, InitFailed, StoreFailed.
    """
    path = wanted.first / DEFAULT_FILE_NAME
    first = load_config(path, {}, {})
    _check(first, wanted)
    own = load_own(first.keys_dir, first.organization, now)
    authority = _authority(first.keys_dir, own)
    if (directory / DEFAULT_FILE_NAME).exists():
        return _renew(directory, wanted, first, own, authority, now), False
    values = _shared(path) | {"organization": str(first.organization), "gateway": str(wanted.gateway_name)}
    values |= wanted.addresses

    def keys(home: Path) -> None:
        files = TrustFiles(home / "keys")
        files.keys.mkdir(parents=True, mode=0o700)
        issued = authority.issue(wanted.gateway_name, now)
        _keep_trust(files, own)
        store.write_key(files.leaf_key, issued.key)
        store.write_certificates(files.leaf, [issued.certificate])

    return make_home(directory, values, keys), True


def _check(first: GatewayConfig, wanted: Joining) -> None:
    if first.cluster_kind != "kafka":
        raise JoinRefused(str(wanted.first), "its cluster is the embedded log, which one gateway alone can use")
    if first.gateway_name == wanted.gateway_name:
        raise JoinRefused(str(wanted.first), f"its name is '{wanted.gateway_name}', too; give another by --gateway")


def _authority(keys: Path, own: OwnTrust) -> Authority:
    key = TrustFiles(keys).ca_key(own.issuing)
    if not key.exists():
        raise AuthorityAbsent(str(key))
    rotation = own.under_way
    if rotation is not None and rotation.phase is not Phase.SWITCHED:
        raise RotationUnderWay(rotation.phase.value)
    return load_generation(keys, own.org, own.issuing)


def _shared(path: Path) -> dict[str, object]:
    """What the first gateway's file sets and holds for every gateway; paths are made absolute."""
    base = path.resolve().parent
    found: dict[str, object] = {}
    for key, setting in file_layer(read_toml(path), str(path)).items():
        if key.startswith(OWN_KEYS):
            continue
        is_path = key.endswith("_file") and bool(setting.value)
        found[key] = str(base / str(setting.value)) if is_path else setting.value
    return found


def _renew(
    directory: Path, wanted: Joining, first: GatewayConfig, own: OwnTrust, authority: Authority, now: datetime
) -> GatewayConfig:
    known = load_config(directory / DEFAULT_FILE_NAME, {}, {})
    files = TrustFiles(known.keys_dir)
    same = (known.organization, known.gateway_name) == (first.organization, wanted.gateway_name)
    if not same or load_own(known.keys_dir, own.org, now).issuing != ELSEWHERE:
        raise DirectoryInUse(str(directory), DEFAULT_FILE_NAME)
    _keep_trust(files, own)
    issued = authority.issue(wanted.gateway_name, now)
    store.replace_pair(files.leaf, files.leaf_key, [issued.certificate], issued.key)
    return known


def _keep_trust(files: TrustFiles, own: OwnTrust) -> None:
    """The bundle as peers hold it. Durable before a leaf that only it vouches for."""
    save_own(files.keys, replace(own, issuing=ELSEWHERE, rotation=None))
