"""Which ports a gateway listens on: one JSON line and `<state>/ports.json`, so that port 0 is usable.

The file is replaced atomically and readable by its owner only; it carries no secret. A gateway removes it at a
clean end; a file left behind by a killed one names a process id that no longer answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from certs.files import replace_whole
from mesh.json_text import read_json
from mesh.local.names import PORTS_NAME


@dataclass(frozen=True, slots=True)
class Ports:
    """Addresses in use as `host:port`, empty where a listener is closed; `admin` is always there."""

    admin: str
    peers: str = ""
    enrolment: str = ""
    local_http: str = ""
    local_grpc: str = ""
    health: str = ""
    pid: int = 0

    def line(self) -> str:
        """The ready line: one JSON object."""
        return json.dumps({"ready": True, **asdict(self)})


def write_ports(state_dir: Path, ports: Ports) -> Path:
    """Replace `<state>/ports.json`. The directory exists. Raises OSError."""
    path = state_dir / PORTS_NAME
    replace_whole(path, json.dumps(asdict(ports)).encode(), 0o600)
    return path


def read_ports(state_dir: Path) -> Ports | None:
    """What a gateway wrote there, None where there is no usable file."""
    try:
        value = read_json((state_dir / PORTS_NAME).read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(value, Mapping) or not isinstance(value.get("admin"), str) or not value["admin"]:
        return None
    known = {key: value[key] for key in Ports.__dataclass_fields__ if key in value}
    return Ports(**known)


def remove_ports(state_dir: Path) -> None:
    (state_dir / PORTS_NAME).unlink(missing_ok=True)
