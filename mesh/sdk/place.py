"""Where the gateway is and by which token it is spoken to: arguments, then the environment, then the defaults.

| argument | environment | default |
|---|---|---|
| `address` | `MESH_API` | `127.0.0.1:7461` |
| `token` | `MESH_API_TOKEN` | none |
| `token_file` | `MESH_API_TOKEN_FILE` | none |
| `state_dir` | `MESH_API_STATE` | none: a directory with the gateway's `ports.json` and `local.token` |

An address is `host:port` or `unix:/path`. A file is read again for each call, so that a token can be changed without a
restart; one that is not there yet counts as a gateway that has not started yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple, TypeAlias

from mesh.errors import CallerError
from mesh.json_text import read_json
from mesh.local.names import PORTS_NAME, TOKEN_NAME
from mesh.sdk.errors import GatewayUnreachable

DEFAULT_ADDRESS = "127.0.0.1:7461"

Token: TypeAlias = Callable[[], str]
"""The token to send now. Raises GatewayUnreachable, TokenUnreadable."""


@dataclass(eq=False)
class TokenUnreadable(CallerError):
    path: str
    why: str

    code: ClassVar[str] = "api-token-unreadable"
    sentence: ClassVar[str] = "the token file {path} cannot be read: {why}"
    hint: ClassVar[str] = "run the application as the user of the gateway, or hand the token to it in MESH_API_TOKEN"


class Place(NamedTuple):
    address: str
    token: Token


def find(
    environment: Mapping[str, str],
    address: str | None = None,
    token: str | None = None,
    token_file: str | Path | None = None,
    state_dir: str | Path | None = None,
) -> Place:
    """Raises GatewayUnreachable where only the state directory could say the address and does not."""
    given = any(value is not None for value in (address, token, token_file, state_dir))
    state = state_dir if given else environment.get("MESH_API_STATE")
    directory = Path(state) if state else None
    where = address or (directory and _address_in(directory)) or environment.get("MESH_API") or DEFAULT_ADDRESS
    if token is not None:
        return Place(where, lambda: token)
    if token_file is not None:
        return Place(where, TokenFile(Path(token_file)))
    if directory is not None:
        return Place(where, TokenFile(directory / TOKEN_NAME))
    if path := environment.get("MESH_API_TOKEN_FILE"):
        return Place(where, TokenFile(Path(path)))
    word = environment.get("MESH_API_TOKEN", "")
    return Place(where, lambda: word)


def _address_in(directory: Path) -> str:
    path = directory / PORTS_NAME
    try:
        said = read_json(path.read_text())
    except (OSError, ValueError) as error:
        raise GatewayUnreachable(str(directory), f"{path} cannot be read, so no gateway runs there") from error
    address = said.get("local_grpc") if isinstance(said, dict) else None
    if not isinstance(address, str) or not address:
        raise GatewayUnreachable(str(directory), f"{path} names no local gRPC listener")
    return address


class TokenFile:
    """The first word of a file, as it is at each call."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"<TokenFile {self.path}>"

    def __call__(self) -> str:
        try:
            words = self.path.read_text().split()
        except FileNotFoundError as error:
            raise GatewayUnreachable(str(self.path.parent), f"{self.path} is not there yet") from error
        except (OSError, ValueError) as error:
            raise TokenUnreadable(str(self.path), getattr(error, "strerror", None) or "it is not text") from error
        return words[0] if words else ""
