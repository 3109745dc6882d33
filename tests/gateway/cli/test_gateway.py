"""`mesh gateway run` as a process: the ready line, the clean end, refusals without tracebacks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.support.cli import mesh

pytestmark = pytest.mark.slow

NO_LOCAL_API = ("--local-http", "", "--local-grpc", "")
INIT = ("--org", "acme.example", "--admin", "127.0.0.1:0", "--listen", "127.0.0.1:0", *NO_LOCAL_API)


@asynccontextmanager
async def running(config: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """`mesh gateway run` with `config`, killed at the end if it has not ended by itself."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("MESH_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli.main", "gateway", "run", "--config", str(config),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environ,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
async def directory(tmp_path: Path) -> Path:
    made = await mesh("init", "--dir", tmp_path / "acme", *INIT)
    assert made.code == 0, made.err
    return tmp_path / "acme"


@pytest.mark.parametrize("way", ["SIGTERM", "SIGINT", "shutdown"])
async def test_it_says_when_it_is_ready_and_ends_cleanly(directory: Path, way: str) -> None:
    async with running(directory / "mesh.toml") as process:
        assert process.stdout is not None
        ready = json.loads(await process.stdout.readline())
        status = await mesh("status", "--json", directory=directory)

        if way == "shutdown":
            from gateway.cli.client import AdminClient

            client = AdminClient.of_config(directory / "mesh.toml")
            assert await asyncio.to_thread(client.post, "/v1/shutdown") == {"stopping": True}
        else:
            process.send_signal(signal.Signals[way])
        out, err = await process.communicate()

    assert (ready["ready"], ready["pid"]) == (True, process.pid)
    assert status.json["organization"] == "acme.example"
    assert (process.returncode, out) == (0, b"")
    assert all(json.loads(line)["level"] == "info" for line in err.splitlines())
    assert not (directory / "state" / "ports.json").exists()


async def test_probes_have_a_listener_of_their_own_that_answers_nothing_else(directory: Path) -> None:
    config = directory / "mesh.toml"
    config.write_text(config.read_text().replace("[listen]", '[listen]\nhealth = "0.0.0.0:0"', 1))
    async with running(config) as process, aiohttp.ClientSession() as session:
        assert process.stdout is not None
        ready = json.loads(await process.stdout.readline())
        where = "http://" + ready["health"].replace("0.0.0.0", "127.0.0.1")
        answers = {}
        for path in ("/livez", "/readyz", "/metrics", "/v1/status", "/v1/shutdown"):
            async with session.get(where + path, headers={"Host": "10.0.0.7:7465"}) as answer:
                answers[path] = answer.status
        process.terminate()
        await process.communicate()

    assert answers == {"/livez": 200, "/readyz": 200, "/metrics": 200, "/v1/status": 404, "/v1/shutdown": 404}
    assert process.returncode == 0


async def test_a_second_gateway_on_the_same_directory_is_refused_in_three_lines(directory: Path) -> None:
    async with running(directory / "mesh.toml") as first:
        assert first.stdout is not None
        await first.stdout.readline()
        async with running(directory / "mesh.toml") as second:
            out, err = await second.communicate()

    lines = err.decode().splitlines()
    assert (second.returncode, out) == (1, b"")
    assert [line.split(":")[0] for line in lines] == ["error", "remedy", "code"]
    assert f"in use by process {first.pid}" in lines[0]


async def test_a_configuration_that_is_not_there_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "mesh.toml") as process:
        _, err = await process.communicate()

    assert process.returncode == 1
    assert "code: config-unreadable" in err.decode()
    assert "Traceback" not in err.decode()
