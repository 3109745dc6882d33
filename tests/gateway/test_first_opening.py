"""A gateway waits for its cluster, tells so, and ends when told or when it has waited long enough."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from gateway.config import GatewayConfig, load_config
from gateway.first_opening import open_first
from gateway.kafka.errors import AuthenticationFailed
from mesh.cluster_errors import ClusterUnreachable
from mesh.errors import MeshError
from mesh.ports import Cluster
from mesh.testing.cluster import FakeCluster
from tests.support.ports import free_ports


@dataclass
class Away:
    """A cluster that cannot be opened until `is_there`."""

    why: MeshError = field(default_factory=lambda: ClusterUnreachable("kafka", "it is off"))
    is_there: bool = False
    tries: int = 0
    closed: int = 0
    tried_again: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Cluster]:
        self.tries += 1
        if self.tries > 2:
            self.tried_again.set()
        if not self.is_there:
            raise self.why
        yield FakeCluster().ports
        self.closed += 1


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.first_opening.PAUSE_S", 0.01)


def config(directory: Path, wait_s: float) -> GatewayConfig:
    path = directory / "mesh.toml"
    admin, health = free_ports(2)
    path.write_text(
        f'organization = "acme.example"\n[listen]\nadmin = "127.0.0.1:{admin}"\nhealth = "127.0.0.1:{health}"\n'
        f"[timing]\ncluster_wait_s = {wait_s}\n"
    )
    return load_config(path, {}, {})


async def test_it_tries_until_the_cluster_is_there_and_is_not_ready_meanwhile(tmp_path: Path) -> None:
    away, settings = Away(), config(tmp_path, 60)
    async with AsyncExitStack() as stack:
        opening = asyncio.create_task(open_first(stack, settings, away.open))
        await away.tried_again.wait()
        async with aiohttp.ClientSession() as session:
            where = f"http://{settings.admin_listen}"
            async with session.get(f"{where}/livez") as answer:
                assert answer.status == 200
            async with session.get(f"http://{settings.health_listen}/readyz") as answer:
                assert answer.status == 503
            async with session.get(f"{where}/readyz?verbose=1") as answer:
                assert answer.status == 503
                assert "[-] cluster: cluster kafka cannot be reached: it is off" in await answer.text()
        away.is_there = True
        assert await opening is not None
        assert away.closed == 0
    assert away.closed == 1


@pytest.mark.parametrize("wait_s", [0, 0.05])
async def test_it_gives_up_at_last(tmp_path: Path, wait_s: float) -> None:
    away = Away()
    async with AsyncExitStack() as stack:
        with pytest.raises(ClusterUnreachable):
            await open_first(stack, config(tmp_path, wait_s), away.open)
    assert (away.tries > 1) == (wait_s > 0)


async def test_what_does_not_pass_by_itself_is_not_waited_for(tmp_path: Path) -> None:
    away = Away(AuthenticationFailed("kafka:9092", "no such user"))
    async with AsyncExitStack() as stack:
        with pytest.raises(AuthenticationFailed):
            await open_first(stack, config(tmp_path, 60), away.open)
    assert away.tries == 1


async def test_a_signal_ends_the_waiting(tmp_path: Path) -> None:
    away = Away()
    async with AsyncExitStack() as stack:
        opening = asyncio.create_task(open_first(stack, config(tmp_path, 60), away.open))
        await away.tried_again.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await opening is None
