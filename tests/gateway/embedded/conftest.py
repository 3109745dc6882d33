from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.embedded.cluster import EmbeddedCluster, open_embedded
from mesh.ids import Partition


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedCluster]:
    cluster = await open_embedded(tmp_path / "log", now_ms=0)
    yield cluster
    await cluster.close()


@pytest.fixture
async def partition(log: EmbeddedCluster) -> Partition:
    await log.topics.create("orders", 1, {})
    return Partition("orders", 0)
