"""A new organization in one step: CA, gateway identity, configuration, admin token; all of it or nothing.

Everything is made in a directory beside its place (inside of it, where the place exists and is empty, as it may be a
mount point) and then renamed into it; the configuration file comes last, so that a directory with one is complete.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from certs.errors import DirectoryInUse
from certs.organization import create_organization
from gateway.admin import token
from gateway.config import DEFAULT_FILE_NAME, GatewayConfig, load_config, resolve
from gateway.config_docs import render_config
from gateway.config_layers import Setting
from mesh.errors import OperatorError
from mesh.ids import GatewayName, OrgId


@dataclass(eq=False)
class InitFailed(OperatorError):
    path: str
    why: str

    code: ClassVar[str] = "init-failed"
    sentence: ClassVar[str] = "{path} cannot be made: {why}"
    hint: ClassVar[str] = "check permissions and free space; nothing was left behind"


@dataclass(frozen=True, slots=True)
class NewOrganization:
    """What `mesh init` was asked for. Empty texts and lists mean the defaults."""

    organization: OrgId
    gateway_name: GatewayName
    kafka: Sequence[str] = ()
    """Brokers to ask first; without any, the embedded log."""
    listen: str = ""
    admin: str = ""
    local_http: str = ""
    """Empty: nowhere; so for `local_grpc`."""
    local_grpc: str = ""

    def values(self) -> dict[str, object]:
        """The configuration's keys that differ from the defaults."""
        given: dict[str, object] = {"organization": str(self.organization), "gateway": str(self.gateway_name)}
        if self.listen:
            given["listen.peers"] = self.listen
        if self.admin:
            given["listen.admin"] = self.admin
        if self.local_http:
            given["listen.local_http"] = self.local_http
        if self.local_grpc:
            given["listen.local_grpc"] = self.local_grpc
        if self.kafka:
            given |= {"cluster.kind": "kafka", "cluster.kafka.bootstrap": list(self.kafka)}
        return given


def create(directory: Path, wanted: NewOrganization, now: datetime) -> GatewayConfig:
    """Make `directory` the home of a new organization and its gateway; the configuration as loaded from it.

    Raises DirectoryInUse (it exists and is not empty), ConfigInvalid, StoreFailed, InitFailed; then `directory` is as
    it was before.
    """

    def keys(home: Path) -> None:
        create_organization(home, wanted.organization, wanted.gateway_name, now)

    return make_home(directory, wanted.values(), keys)


def make_home(directory: Path, values: Mapping[str, object], keys: Callable[[Path], None]) -> GatewayConfig:
    """A gateway's home: what `keys` makes in it, state, and a configuration that sets `values`. Raises as `create`."""
    exists = _is_empty_directory(directory)
    # Checked before anything is made, so that a refusal names the option and not a file that will not be there.
    resolve([{key: Setting(value, "option") for key, value in values.items()}], directory / DEFAULT_FILE_NAME)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        workshop = Path(tempfile.mkdtemp(prefix=".mesh-init-", dir=directory if exists else directory.parent))
        try:
            home = workshop / "home"
            _fill(home, values, keys)
            if exists:
                _move_content(home, directory)
            else:
                home.rename(directory)
        finally:
            shutil.rmtree(workshop, ignore_errors=True)
    except OSError as error:
        raise InitFailed(str(directory), (error.strerror or "input or output failed").lower()) from error
    return load_config(directory / DEFAULT_FILE_NAME, {}, {})


def _fill(home: Path, values: Mapping[str, object], keys: Callable[[Path], None]) -> None:
    keys(home)
    path = home / DEFAULT_FILE_NAME
    path.write_text(render_config(values), encoding="utf-8")
    config = load_config(path, {}, {})
    for made in (config.state_dir, config.data_dir):
        made.mkdir(mode=0o700)
    token.create(config.state_dir / token.TOKEN_NAME)


def _move_content(home: Path, directory: Path) -> None:
    """Into an existing directory, the configuration last; what was moved goes back if one cannot be."""
    moved: list[Path] = []
    try:
        for entry in sorted(home.iterdir(), key=lambda each: each.name == DEFAULT_FILE_NAME):
            entry.rename(directory / entry.name)
            moved.append(directory / entry.name)
    except BaseException:
        for path in moved:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise


def _is_empty_directory(directory: Path) -> bool:
    """False where there is nothing. Raises DirectoryInUse."""
    if not os.path.lexists(directory):
        return False
    found = min((entry.name for entry in directory.iterdir()), default=None) if directory.is_dir() else directory.name
    if found is not None:
        raise DirectoryInUse(str(directory), found)
    return True
