"""What a shell completes, and how it is told to."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import typer

from gateway.cli import completing
from gateway.cli.main import app
from tests.support.control_cli import ControlGateway, control_gateway


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[ControlGateway]:
    async with control_gateway(tmp_path) as running:
        for topic in ("departures", "delays", "arrivals"):
            await running.done("topic", "create", topic)
        await running.done("share", "create", "flights", "--topic", "departures")
        await running.add_peer("globex.example")
        yield running


def words(*line: str) -> typer.Context:
    """A command line as it is parsed while its last word is completed."""
    return typer.main.get_command(app).make_context("mesh", list(line), resilient_parsing=True)  # type: ignore[return-value]


async def test_names_are_those_that_the_gateway_knows(gateway: ControlGateway) -> None:
    line = words("--dir", str(gateway.directory), "share", "show")

    assert await asyncio.to_thread(completing.shares, line, "") == ["flights"]
    assert await asyncio.to_thread(completing.topics, line, "de") == ["delays", "departures"]
    assert await asyncio.to_thread(completing.peers, line, "glo") == ["globex.example"]
    assert await asyncio.to_thread(completing.subscriptions, line, "x") == []


def test_without_a_gateway_nothing_is_offered(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert completing.shares(words("--dir", str(tmp_path), "share", "show"), "") == []
    (tmp_path / "mesh.toml").write_text("nonsense")
    assert completing.peers(words("--config", str(tmp_path / "mesh.toml"), "peer"), "") == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_verbs_and_options_are_completed_in_a_shell(tmp_path: Path) -> None:
    assert completed(tmp_path, "mesh s") == {"share", "status", "subscribe", "subscription"}
    assert "--plan" in completed(tmp_path, "mesh apply --p")


@pytest.mark.slow
def test_the_shell_is_told_to_ask(tmp_path: Path) -> None:
    done = mesh(tmp_path, "--install-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")

    assert done.returncode == 0, done.stderr
    written = tmp_path / ".bash_completions" / "mesh.sh"
    assert "_MESH_COMPLETE=complete_bash" in written.read_text()
    assert str(written) in (tmp_path / ".bashrc").read_text()


def completed(home: Path, line: str) -> set[str]:
    asked = {"_MESH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    done = mesh(home, **asked)
    assert done.stderr == ""
    return set(done.stdout.split())


def mesh(home: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command under its own name, as a shell runs it."""
    program = "import sys; sys.argv[0] = 'mesh'; from gateway.cli.main import main; main()"
    words = [sys.executable, "-c", program, *arguments]
    given = os.environ | {"HOME": str(home)} | environ
    return subprocess.run(words, capture_output=True, text=True, env=given, timeout=30, check=False)
