"""The CLI's way to the local gateway: a small synchronous HTTP client of the admin API.

One connection per call, plain `http.client`: a command is short and start-up time is what people feel. Bodies and
answers are JSON; `stream` sends and receives newline-delimited JSON. Every failure is an `AdminError`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from gateway.admin.token import TOKEN_NAME
from gateway.config import load_config, state_directory
from gateway.ports_file import read_ports

TIMEOUT_S = 60.0
# Large enough that system calls vanish beside the parsing, small enough that a refusal is noticed soon.
BLOCK_BYTES = 256 * 1024


CLIENT_ERRORS = (
    ("gateway-not-running", "no gateway answers for {config}: {why}", "start it with: mesh gateway run"),
    ("config-absent", "there is no configuration file {path}", "name it with --config FILE or --dir DIR"),
    ("unexpected-answer", "the gateway answered {status} without saying why", ""),
)
"""Code, sentence and remedy of what this side says itself, for docs/reference/errors.md."""


@dataclass(eq=False)
class AdminError(Exception):
    """A refusal of the gateway, or the lack of one: its stable code, what happened, and what to do."""

    code: str
    sentence: str
    remedy: str = ""

    def __str__(self) -> str:
        return self.sentence


def not_running(where: object, why: str) -> AdminError:
    return AdminError(
        "gateway-not-running",
        f"no gateway answers for {where}: {why}",
        f"start it with: mesh gateway run --config {where}, or name another with --config or --dir",
    )


@dataclass(frozen=True, slots=True)
class AdminClient:
    address: str
    token: str
    where: str = ""
    timeout_s: float = TIMEOUT_S

    @classmethod
    def of_config(cls, config: Path) -> AdminClient:
        """The client of the gateway that runs with `config`. Raises AdminError where its files are not there.

        MESH_ADMIN (host:port), MESH_ADMIN_TOKEN and MESH_ADMIN_TOKEN_FILE stand in for what the files say.
        """
        address = os.environ.get("MESH_ADMIN", "")
        token = os.environ.get("MESH_ADMIN_TOKEN", "")
        if address and token:
            return cls(address, token, address)
        if not config.is_file():
            raise AdminError(
                "config-absent",
                f"there is no configuration file {config}",
                "name it with --config FILE or --dir DIR, or make one with: mesh init",
            )
        state = state_directory(config)
        ports = read_ports(state)
        if ports is None:
            load_config(config)  # what is wrong with it says more than that nobody runs
            raise not_running(config, "it has not written its ports")
        token_path = Path(os.environ.get("MESH_ADMIN_TOKEN_FILE") or state / TOKEN_NAME)
        try:
            token = token or token_path.read_text().split()[0]
        except (OSError, IndexError) as error:
            raise not_running(config, f"its token file {token_path} cannot be read") from error
        return cls(address or ports.admin, token, str(config))

    def get(self, path: str, **params: object) -> Any:
        """The JSON answer. `path` begins with `/v1/`; params that are None are left out."""
        return self._call("GET", _with_query(path, params), None)

    def post(self, path: str, body: object = None) -> Any:
        return self._call("POST", path, {} if body is None else body)

    def put(self, path: str, body: object = None) -> Any:
        return self._call("PUT", path, {} if body is None else body)

    def delete(self, path: str, **params: object) -> Any:
        return self._call("DELETE", _with_query(path, params), None)

    def stream(
        self, method: str, path: str, body_lines: Iterable[object] | None = None, **params: object
    ) -> Iterator[Any]:
        """Send `body_lines` (values, or blocks of bytes that are sent as they are), yield the answer's values.

        The server answers after the body, or early with a refusal: then the rest of the body is not sent. A value
        of the form {"error": {…}} ends the stream as AdminError.
        """
        for line in self._lines(method, path, body_lines, params):
            value = json.loads(line)
            if isinstance(value, dict) and isinstance(value.get("error"), dict):
                raise _error_of(value["error"])
            yield value

    def stream_blocks(self, method: str, path: str, **params: object) -> Iterator[bytes]:
        """As `stream`, but whole lines as they are, many at once: for output that is only passed on."""
        rest = b""
        for block in self._blocks(method, path, None, params):
            whole, newline, rest = (rest + block).rpartition(b"\n")
            if not newline:
                continue
            *before, last = whole.rsplit(b"\n", 1)
            if last.startswith(b'{"error":'):
                if before:
                    yield before[0] + newline
                raise _error_of(json.loads(last)["error"])
            yield whole + newline

    def _lines(
        self, method: str, path: str, body_lines: Iterable[object] | None, params: dict[str, object]
    ) -> Iterator[bytes]:
        rest = b""
        for block in self._blocks(method, path, body_lines, params):
            *lines, rest = (rest + block).split(b"\n")
            yield from lines

    def _blocks(
        self, method: str, path: str, body_lines: Iterable[object] | None, params: dict[str, object]
    ) -> Iterator[bytes]:
        with self._connection(timeout_s=None) as connection:
            response = self._send(connection, method, _with_query(path, params), body_lines)
            if response.status >= 400:
                raise _refusal(response.status, self._read(response))
            while block := self._read1(response):
                yield block

    def _call(self, method: str, path: str, body: object) -> Any:
        with self._connection(self.timeout_s) as connection:
            encoded = None if body is None else json.dumps(body).encode()
            headers = self._headers() | ({"Content-Type": "application/json"} if encoded is not None else {})
            try:
                connection.request(method, path, encoded, headers)
                response = connection.getresponse()
            except (OSError, HTTPException) as error:
                raise self._unreachable(error) from error
            data = self._read(response)
        if response.status >= 400:
            raise _refusal(response.status, data)
        return json.loads(data) if data else None

    def _send(
        self, connection: HTTPConnection, method: str, path: str, body_lines: Iterable[object] | None
    ) -> HTTPResponse:
        try:
            connection.putrequest(method, path)
            for name, value in self._headers().items():
                connection.putheader(name, value)
            if body_lines is not None:
                connection.putheader("Content-Type", "application/x-ndjson")
                connection.putheader("Transfer-Encoding", "chunked")
            connection.endheaders()
            if body_lines is not None:
                _send_chunks(connection, body_lines)
            return connection.getresponse()
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from error

    @contextlib.contextmanager
    def _connection(self, timeout_s: float | None) -> Iterator[HTTPConnection]:
        connection = HTTPConnection(self.address, timeout=timeout_s, blocksize=BLOCK_BYTES)
        try:
            yield connection
        finally:
            connection.close()

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}

    def _read(self, response: HTTPResponse) -> bytes:
        try:
            return response.read()
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from error

    def _read1(self, response: HTTPResponse) -> bytes:
        """What has arrived, empty at the end."""
        try:
            return response.read1(BLOCK_BYTES)
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> AdminError:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return not_running(self.where or self.address, str(why).lower())


def _with_query(path: str, params: dict[str, object]) -> str:
    given = {key: _text(value) for key, value in params.items() if value is not None}
    path = quote(path, safe="/:@%~.,+")
    return f"{path}?{urlencode(given)}" if given else path


def _text(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _send_chunks(connection: HTTPConnection, body_lines: Iterable[object]) -> None:
    """Send the body in blocks, at once where an empty one comes.

    Stops where the server has answered already: it answers early only to refuse.
    """
    pending = bytearray()
    for item in body_lines:
        pending += item if isinstance(item, bytes | bytearray) else json.dumps(item).encode() + b"\n"
        # an empty block says that the input pauses
        if (len(pending) >= BLOCK_BYTES or (pending and not item)) and not _flush(connection, pending):
            return
    if pending and not _flush(connection, pending):
        return
    connection.send(b"0\r\n\r\n")


def _flush(connection: HTTPConnection, pending: bytearray) -> bool:
    if select.select([connection.sock], [], [], 0)[0]:
        return False
    connection.send(b"".join((b"%x\r\n" % len(pending), pending, b"\r\n")))
    pending.clear()
    return True


def _refusal(status: int, data: bytes) -> AdminError:
    try:
        error = json.loads(data)["error"]
    except (ValueError, KeyError, TypeError):
        return AdminError("unexpected-answer", f"the gateway answered {status} without saying why")
    return _error_of(error)


def _error_of(error: dict[str, object]) -> AdminError:
    return AdminError(
        str(error.get("code", "")), str(error.get("sentence", "")).strip(), str(error.get("remedy", "")).strip()
    )
