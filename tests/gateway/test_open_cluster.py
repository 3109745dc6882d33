"""One gateway is one process, on Kafka too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.app import now_ms, open_cluster
from gateway.config import load_config
from gateway.embedded.errors import DirectoryInUse
from gateway.embedded.lock import DirectoryLock


async def test_a_gateway_that_runs_already_is_noticed_before_kafka_is_asked_anything(tmp_path: Path) -> None:
    path = tmp_path / "mesh.toml"
    path.write_text(
        'organization = "acme.example"\n[cluster]\nkind = "kafka"\n[cluster.kafka]\nbootstrap = ["127.0.0.1:1"]\n'
    )
    config = load_config(path, {}, {})
    config.state_dir.mkdir()
    held = DirectoryLock(config.state_dir, now_ms())
    with pytest.raises(DirectoryInUse, match=f"in use by process {os.getpid()}"):
        async with open_cluster(config):
            pass
    held.release()
