"""The tutorial's commands work as they stand, in their order, and print what the page says they print."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.sdk.sync import Client
from tests.support.ports import free_ports

PAGE = Path(__file__).parent.parent.parent / "docs" / "tutorial.md"
STEP_S = 60

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def steps() -> list[tuple[str, list[str]]]:
    """The page's commands, each with the lines that it prints (a part of them) according to the page.

    A program to be saved is a command of its own: `save`, its name, and its lines.
    """
    found: list[tuple[str, list[str]]] = []
    for kind, block in re.findall(r"```(console|python)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        if kind == "python":
            found.append((f"save {block.splitlines()[0].removeprefix('# ')}", block.splitlines()))
            continue
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


class Reader:
    """Somebody with terminals: types the commands, waits where a person would look before typing on."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        programs = Path(sys.executable).parent
        environ = {key: value for key, value in os.environ.items() if not key.startswith("MESH_")}
        self._env = environ | {"PATH": f"{programs}:{environ['PATH']}"}
        self._ports: dict[str, str] = {}
        self._gateways: list[subprocess.Popen[str]] = []
        self._hearing: subprocess.Popen[str] | None = None
        self._heard = 0

    def save(self, name: str, lines: list[str]) -> None:
        (self.directory / name).write_text("\n".join(lines) + "\n", encoding="utf-8")

    def hear(self, command: str, count: int) -> str:
        """What a program prints in a terminal of its own, ended by Ctrl-C when it has committed that."""
        self._hearing = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=self.directory, env=self._env, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self._hearing.stdout is not None
        out = "".join(self._hearing.stdout.readline() for _ in range(count))
        self._heard += count
        end = time.monotonic() + STEP_S
        with Client(state_dir=self.directory / "wings" / "state") as client:
            while client.cursor("screen", "ports.messages").positions != {0: self._heard}:
                assert time.monotonic() < end, client.cursor("screen", "ports.messages")
        self.hear_no_more()
        return out

    def hear_no_more(self) -> None:
        if self._hearing is not None:
            self._hearing.send_signal(signal.SIGINT)
            self._hearing.communicate(timeout=STEP_S)
            self._hearing = None

    def type(self, command: str) -> str:
        # The page's ports may be taken on this machine; free ones take their place, the same for the same.
        command = re.sub(r"127\.0\.0\.1:(\d+)", lambda match: f"127.0.0.1:{self._port(match[1])}", command)
        if command.startswith("mesh gateway run"):
            return self._run_gateway(command)
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command], cwd=self.directory, env=self._env, capture_output=True,
            text=True, timeout=STEP_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _port(self, given: str) -> str:
        if given not in self._ports:
            self._ports[given] = str(free_ports(1)[0])
        return self._ports[given]

    def _run_gateway(self, command: str) -> str:
        log = (self.directory / "gateways.log").open("a")
        with log:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], cwd=self.directory, env=self._env, stdout=subprocess.PIPE,
                stderr=log, text=True,
            )  # fmt: skip
        self._gateways.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (self.directory / "gateways.log").read_text()
        return line

    def wait_before(self, command: str) -> None:
        """What a person sees happen before typing on: the link is up, the lanes have caught up."""
        if " catalog " in command or " status" in command or " translate " in command or " verify " in command:
            mirrored = command.split()[3] != "catalog"
            self._until(lambda status: bool(status["links"]) and (not mirrored or _caught_up(status)))

    def _until(self, holds: object) -> None:
        assert callable(holds)
        end = time.monotonic() + STEP_S
        while not holds(status := json.loads(self.type("mesh --dir wings status --json"))):
            assert time.monotonic() < end, status

    def close(self) -> None:
        self.hear_no_more()
        for process in self._gateways:
            process.terminate()
        for process in self._gateways:
            process.communicate(timeout=STEP_S)


def _caught_up(status: dict[str, list[dict[str, object]]]) -> bool:
    lanes = status["lanes"]
    return len(lanes) >= 3 and all(lane["state"] == "running" and lane["lag_records"] == 0 for lane in lanes)


@pytest.fixture
def reader() -> Iterator[Reader]:
    directory = Path(tempfile.mkdtemp(prefix="mesh-tutorial-"))
    reader = Reader(directory)
    try:
        yield reader
    finally:
        reader.close()
        shutil.rmtree(directory)


def test_the_tutorial_does_what_it_says(reader: Reader) -> None:
    for command, expected in steps():
        if command.startswith("save "):
            reader.save(command.removeprefix("save "), expected)
            continue
        reader.wait_before(command)
        is_left_running = command == "python hear.py"
        out = reader.hear(command, len(expected)) if is_left_running else reader.type(command)
        for line in expected:
            assert line in out.splitlines(), f"$ {command}\n{out}"


def test_the_tutorial_ends_its_verification_with_the_closing_line() -> None:
    (printed,) = [lines for command, lines in steps() if " verify " in command]
    assert printed[-1].startswith("verified: 30000 records, 0 lost")
