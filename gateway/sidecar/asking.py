"""Two questions to a gateway over HTTP, on a loopback address or a Unix socket: are you ready, and would you stop."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException

from gateway.address import Address
from mesh.errors import MeshError

TIMEOUT_S = 5.0
UNIX = "unix:"


def why_not_ready(address: str) -> str:
    """Empty where it is ready."""
    try:
        status, body = _asked("GET", address, "/readyz?verbose", {})
    except (OSError, HTTPException) as error:
        return _reason(error)
    if status == 200:
        return ""
    failed = [line.removeprefix("[-] ") for line in body.splitlines() if line.startswith("[-] ")]
    return "; ".join(failed) or f"it answered {status}"


def stop(address: str, tokens: Mapping[str, str]) -> str:
    """Ask it to stop; why it will not, empty where it does. One that has gone already has stopped."""
    if not is_local(address):
        return "only a gateway on this machine is stopped"
    if not tokens:
        return "no token for it is known"
    try:
        status, body = _asked("POST", address, "/v1/shutdown", {"Content-Type": "application/json", **tokens}, "{}")
    except ConnectionError:
        return ""
    except (OSError, HTTPException) as error:
        return _reason(error)
    return "" if status < 300 else _refusal(body) or f"it answered {status}"


def is_local(address: str) -> bool:
    try:
        return address.startswith(UNIX) or Address.parse(address).is_loopback
    except MeshError:
        return False


def _asked(
    method: str, address: str, path: str, headers: Mapping[str, str], body: str | None = None
) -> tuple[int, str]:
    connection = _connection(address)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", "replace")
    finally:
        connection.close()


def _connection(address: str) -> HTTPConnection:
    if address.startswith(UNIX):
        return _UnixConnection(address.removeprefix(UNIX))
    return HTTPConnection(address, timeout=TIMEOUT_S)


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__).lower()


def _refusal(body: str) -> str:
    """The sentence of a refusal, in the form of either API."""
    try:
        said = json.loads(body)
        error = said.get("error")
        return str(error["sentence"] if isinstance(error, dict) else said.get("detail") or said["title"])
    except (ValueError, KeyError, AttributeError):
        return ""
