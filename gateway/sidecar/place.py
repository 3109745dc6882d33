"""Where the gateway beside us is, and by which tokens it may be asked to stop.

Looked up anew at each try: a gateway writes its ports when it is ready, and makes its tokens at its first start.

| first of            | address                                   | tokens                                      |
|---------------------|-------------------------------------------|---------------------------------------------|
| `--address`         | as given                                  | environment, then the state directory       |
| `MESH_API_STATE`    | ports.json there                          | environment, then there                     |
| the configuration   | ports.json of its state directory         | environment, then its state directory       |
| `MESH_ADMIN`        | as given                                  | environment                                 |
| nothing             | 127.0.0.1:7460                            | environment                                 |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.admin.token import TOKEN_NAME as ADMIN_TOKEN
from gateway.config import state_directory
from gateway.ports_file import read_ports
from mesh.local.names import TOKEN_METADATA
from mesh.local.names import TOKEN_NAME as LOCAL_TOKEN

DEFAULT = "127.0.0.1:7460"


@dataclass(frozen=True, slots=True)
class Place:
    """How to find the gateway; `address` empty where it is to be looked up."""

    address: str
    state: Path | None
    environ: Mapping[str, str]

    @classmethod
    def of(cls, address: str, config: Path, environ: Mapping[str, str]) -> Place:
        """Raises what `state_directory` raises where there is a configuration."""
        if state := environ.get("MESH_API_STATE"):
            return cls(address, Path(state), environ)
        if config.is_file():
            return cls(address, state_directory(config), environ)
        return cls(address or environ.get("MESH_ADMIN", "") or DEFAULT, None, environ)

    def now(self) -> str:
        """Where it listens, empty as long as it has not said so: the local API if it has one, or the admin API."""
        if self.address or self.state is None:
            return self.address
        ports = read_ports(self.state)
        return "" if ports is None else ports.local_http or ports.admin

    def tokens(self) -> dict[str, str]:
        """The headers by which it may be asked to stop: each listener looks at its own."""
        found = {
            TOKEN_METADATA: self._token("MESH_API_TOKEN", LOCAL_TOKEN),
            "mesh-admin-token": self._token("MESH_ADMIN_TOKEN", ADMIN_TOKEN),
        }
        return {header: token for header, token in found.items() if token}

    def _token(self, variable: str, file: str) -> str:
        if given := self.environ.get(variable):
            return given
        named = self.environ.get(f"{variable}_FILE")
        path = Path(named) if named else self.state / file if self.state else None
        try:
            return path.read_text(encoding="utf-8").split()[0] if path else ""
        except (OSError, UnicodeDecodeError, IndexError):
            return ""

    def __str__(self) -> str:
        return self.now() or str(self.state)
