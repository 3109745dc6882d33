"""The layers of a configuration: file, environment and flags, each as dotted keys with value and origin.

A. A key that the models do not know is refused here, wherever it was written, with the nearest one that they know.
B. A variable that an orchestrator sets for its own reasons (`MESH_GATEWAY_PORT`) is not taken for ours.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from gateway.config_file import ENV_PREFIX, Key, keys, nearest
from mesh.errors import OperatorError

RESERVED_ENV = frozenset(
    {"MESH_CONFIG", "MESH_ADMIN", "MESH_ADMIN_TOKEN", "MESH_ADMIN_TOKEN_FILE"}
    | {"MESH_API", "MESH_API_TOKEN", "MESH_API_TOKEN_FILE", "MESH_API_STATE"}
)
"""Read by the command line itself and by the SDK of an application, not part of the configuration."""
_ORCHESTRATOR_ENV = re.compile(r"MESH_(.*_)?(SERVICE|PORT)(_.*)?")
"""Kubernetes sets variables of this form for every service whose name begins with `mesh`: not meant for us."""


@dataclass(eq=False)
class ConfigUnreadable(OperatorError):
    path: str
    why: str

    code: ClassVar[str] = "config-unreadable"
    sentence: ClassVar[str] = "cannot read {path}: {why}"
    hint: ClassVar[str] = "check the path and the file; a new one is made by: mesh init"


@dataclass(eq=False)
class ConfigUnknownKey(OperatorError):
    key: str
    origin: str
    nearest: str

    code: ClassVar[str] = "config-unknown-key"
    sentence: ClassVar[str] = "unknown key {key!r} in {origin}"

    @property
    def remedy(self) -> str:
        known = "all keys are listed by: mesh config explain"
        return f"did you mean {self.nearest!r}? {known}" if self.nearest else known


@dataclass(eq=False)
class ConfigInvalid(OperatorError):
    key: str
    origin: str
    why: str

    code: ClassVar[str] = "config-invalid"
    sentence: ClassVar[str] = "{key} from {origin} is not valid: {why}"
    hint: ClassVar[str] = "correct the value, then run: mesh config check"


class Setting(NamedTuple):
    value: object
    origin: str


Layer = Mapping[str, Setting]
"""Dotted key to its setting."""


def file_layer(document: Mapping[str, Any], origin: str) -> Layer:
    """The layer of a parsed TOML file. Raises ConfigUnknownKey, ConfigInvalid."""
    return {name: Setting(value, origin) for name, value in _flat(document, "", origin)}


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """The layer of the `MESH_…` variables. Raises ConfigUnknownKey for one that looks meant for us."""
    names = {key.env: key for key in keys()} | {f"{key.env}_FILE": key for key in keys() if key.is_secret}
    layer: dict[str, Setting] = {}
    for variable, text in environ.items():
        if not variable.startswith(ENV_PREFIX) or variable in RESERVED_ENV:
            continue
        key = names.get(variable)
        if key is not None:
            name = key.name if variable == key.env else f"{key.name}_file"
            layer[name] = Setting(_from_text(key, name, text), f"environment {variable}")
        elif "__" in variable or (nearest(variable, names, 0.8) and not _ORCHESTRATOR_ENV.fullmatch(variable)):
            raise ConfigUnknownKey(variable, "environment", nearest(variable, names))
    return layer


def text_layer(pairs: Iterable[tuple[str, str]], origin: str) -> Layer:
    """The layer of `(dotted key, text)` pairs. Raises ConfigUnknownKey."""
    known = _known()
    layer = {}
    for name, text in pairs:
        if name not in known:
            raise ConfigUnknownKey(name, origin, nearest(name, known))
        layer[name] = Setting(_from_text(known[name], name, text), origin)
    return layer


def _known() -> dict[str, Key]:
    """Every name that may be set: the keys, and the `_file` form of secrets."""
    names = {key.name: key for key in keys()}
    return names | {f"{key.name}_file": key for key in keys() if key.is_secret}


def _from_text(key: Key, name: str, text: str) -> object:
    """A list is written with commas; everything else pydantic reads from text itself."""
    if key.is_list and name == key.name:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text


def _flat(document: Mapping[str, Any], prefix: str, origin: str) -> Iterator[tuple[str, object]]:
    known = _known()
    tables = {name.rpartition(".")[0] for name in known} | {"cluster"}
    for part, value in document.items():
        name = prefix + part
        if name in tables:
            if not isinstance(value, Mapping):
                raise ConfigInvalid(name, origin, "it is a table, not a value")
            yield from _flat(value, f"{name}.", origin)
        elif name in known:
            yield name, value
        else:
            siblings = {other for other in known | dict.fromkeys(tables) if other}
            raise ConfigUnknownKey(name, origin, nearest(name, siblings))


def with_secrets_read(layer: Layer, base: Path) -> dict[str, Setting]:
    """The layer with each `…_file` replaced by what the file holds, under the key itself."""
    settings = dict(layer)
    for key in keys():
        given = settings.pop(f"{key.name}_file", None) if key.is_secret else None
        if given is None:
            continue
        if key.name in settings:
            raise ConfigInvalid(key.name, given.origin, "it is given twice, as a value and as a file")
        path = base / str(given.value)
        try:
            text = path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:  # no text, or no path that there could be
            raise ConfigUnreadable(str(path), _why(error)) from error
        settings[key.name] = Setting(text, f"{given.origin}, file {path}")
    return settings


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigUnreadable(str(path), _why(error)) from error


def _why(error: Exception) -> str:
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
