"""A command that lives with a gateway: real processes and signals, without a gateway."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from gateway.ports_file import Ports, write_ports
from gateway.sidecar import asking
from gateway.sidecar.place import Place

PROGRAM = """
import sys
from gateway.sidecar import running
from gateway.sidecar.errors import CommandNotStarted
how, *command = sys.argv[1:]
try:
    with running.Signals() as signals:
        if how == "wait":
            why = running.wait_until(lambda: print("waiting", flush=True) or "not yet", 60)
        elif how == "become":
            running.become(command, signals)
        else:
            sys.exit(running.run(command, signals))
except running.Interrupted as interrupted:
    sys.exit(interrupted.exit_code)
except CommandNotStarted as error:
    print(error, flush=True)
    sys.exit(error.exit_code)
"""
TRAP = 'trap "echo told; exit 7" TERM; echo up; while :; do read -t 0.05 <> <(:) || :; done'


def start(how: str, *command: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", PROGRAM, how, *command]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> tuple[str, int]:
    out, _ = process.communicate(timeout=20)
    return out, process.returncode


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 42", 42), ("kill -9 $$", 137), ("trap '' PIPE; kill -PIPE $$", 0)]
)
def test_the_exit_code_is_that_of_the_command(script: str, code: int) -> None:
    assert end(start("run", "sh", "-c", script)) == ("", code)


@pytest.mark.parametrize("how", ["run", "become"])
def test_a_signal_is_passed_on_and_the_command_decides(how: str) -> None:
    process = start(how, "bash", "-c", TRAP)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"

    process.send_signal(signal.SIGTERM)

    assert end(process) == ("told\n", 7)


@pytest.mark.parametrize(
    ("command", "said", "code"),
    [("/nowhere/at/all", "no such file or directory", 127), ("/etc", "permission denied", 126)],
)
def test_a_command_that_cannot_be_started_is_told_as_shells_do(command: str, said: str, code: int) -> None:
    for how in ("run", "become"):
        assert end(start(how, command)) == (f"cannot start {command}: {said}\n", code)


def test_waiting_ends_with_a_signal_and_starts_nothing() -> None:
    process = start("wait")
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"

    process.send_signal(signal.SIGTERM)

    assert end(process)[1] == 128 + signal.SIGTERM


class Gateway(BaseHTTPRequestHandler):
    is_ready: ClassVar[bool] = False
    asked: ClassVar[list[dict[str, str]]] = []

    def do_GET(self) -> None:
        self.answer(*((200, b"ready\n") if self.is_ready else (503, b"[+] a\n[-] cluster: no broker\nnot ready\n")))

    def do_POST(self) -> None:
        # whoever closes over a body that he has not read takes his answer back, on a Unix socket
        self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append({key.lower(): value for key, value in self.headers.items()})
        if self.headers["mesh-api-token"] == "right":
            self.answer(202, b"{}")
        else:
            self.answer(401, b'{"title": "no", "detail": "the token is not valid"}')

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "test"

    def log_message(self, *_: object) -> None:
        pass


class UnixServer(HTTPServer):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "localhost", 0


@pytest.fixture(params=["port", "unix"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of somebody who answers as a gateway would."""
    Gateway.is_ready, Gateway.asked = False, []
    path = str(tmp_path / "s")
    server = HTTPServer(("127.0.0.1", 0), Gateway) if request.param == "port" else UnixServer(path, Gateway)  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}" if request.param == "port" else f"unix:{path}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_readiness_is_asked_and_the_reason_is_told(address: str) -> None:
    assert asking.why_not_ready(address) == "cluster: no broker"
    Gateway.is_ready = True
    assert asking.why_not_ready(address) == ""


def test_a_gateway_that_does_not_answer_is_not_ready(tmp_path: Path) -> None:
    assert "refused" in asking.why_not_ready("127.0.0.1:1")
    assert "no such file" in asking.why_not_ready(f"unix:{tmp_path / 'absent'}")
    assert asking.why_not_ready("not an address")


def test_a_gateway_is_asked_to_stop_with_its_token(address: str) -> None:
    assert asking.stop(address, {"mesh-api-token": "right"}) == ""
    assert asking.stop(address, {"mesh-api-token": "old"}) == "the token is not valid"
    assert asking.stop(address, {}) == "no token for it is known"
    assert Gateway.asked[0]["content-type"] == "application/json"


def test_only_a_gateway_of_this_machine_is_asked_to_stop_and_one_that_is_gone_has_stopped() -> None:
    assert asking.stop("192.0.2.1:7460", {"mesh-api-token": "right"}) == "only a gateway on this machine is stopped"
    assert asking.stop("127.0.0.1:1", {"mesh-api-token": "right"}) == ""


def test_the_place_is_looked_up_anew_each_time(tmp_path: Path) -> None:
    config = tmp_path / "mesh.toml"
    config.write_text('organization = "acme.example"\n')
    (tmp_path / "state").mkdir()
    place = Place.of("", config, {})
    assert (place.now(), place.tokens()) == ("", {})

    write_ports(tmp_path / "state", Ports("127.0.0.1:2", local_http="unix:/run/mesh", pid=os.getpid()))
    (tmp_path / "state" / "local.token").write_text("new old\n")

    assert (place.now(), place.tokens()) == ("unix:/run/mesh", {"mesh-api-token": "new"})
    assert Place.of("127.0.0.1:9", config, {}).now() == "127.0.0.1:9"


def test_the_environment_says_where_it_is_for_an_application_without_a_configuration(tmp_path: Path) -> None:
    nowhere = tmp_path / "mesh.toml"
    assert Place.of("", nowhere, {}).now() == "127.0.0.1:7460"
    assert Place.of("", nowhere, {"MESH_ADMIN": "127.0.0.1:5"}).now() == "127.0.0.1:5"
    write_ports(tmp_path, Ports("127.0.0.1:2"))
    (tmp_path / "given").write_text("word\n")
    environ = {"MESH_API_STATE": str(tmp_path), "MESH_API_TOKEN_FILE": str(tmp_path / "given")}
    assert Place.of("", nowhere, environ).now() == "127.0.0.1:2"
    assert Place.of("", nowhere, environ).tokens() == {"mesh-api-token": "word"}
