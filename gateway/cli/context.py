"""Where the gateway is that a command speaks to: `--config FILE`, `--dir DIR`, MESH_CONFIG, or ./mesh.toml.

The root command sets the place once; every other command asks for `config_path()` or `client()`. The local
gateway's address comes from `<state>/ports.json`, its token from `<state>/admin.token`.
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from pathlib import Path

from gateway.cli.client import AdminClient

CONFIG_NAME = "mesh.toml"
_config: ContextVar[Path | None] = ContextVar("mesh_config", default=None)


def choose(config: Path | None, directory: Path | None) -> Path:
    """The configuration file that the options name; a pure choice, the file need not exist."""
    if config is not None:
        return config
    if directory is not None:
        return directory / CONFIG_NAME
    return Path(os.environ.get("MESH_CONFIG") or CONFIG_NAME)


def set_place(config: Path | None, directory: Path | None) -> None:
    _config.set(choose(config, directory))


def config_path(override: Path | None = None) -> Path:
    """The configuration file in force; `override` is a command's own `--config`."""
    return override or _config.get() or choose(None, None)


def client() -> AdminClient:
    """A client of the gateway that runs with `config_path()`. Raises AdminError where none runs."""
    return AdminClient.of_config(config_path())
