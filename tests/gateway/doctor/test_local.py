"""What is said of this machine and the embedded log."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from gateway.config import load_config
from gateway.doctor.findings import Finding, Level
from gateway.doctor.local import check_files, check_identity, check_space, check_start, examine_embedded
from gateway.embedded.cluster import LOG_FILE, open_embedded
from gateway.embedded.lock import DirectoryLock

NOW_MS = int(time.time() * 1000)


async def found(directory: Path, *, is_running: bool = False) -> dict[str, Finding]:
    return {each.check: each async for each in examine_embedded(directory, NOW_MS, is_running=is_running)}


async def test_a_sound_log_is_sound_beside_a_gateway_that_runs(tmp_path: Path) -> None:
    cluster = await open_embedded(tmp_path, now_ms=NOW_MS)
    try:
        await cluster.topics.create("flights", 2, {})
        beside = await found(tmp_path)
        assert beside["embedded log"].level is Level.OK
        assert "in use by process" in beside["lock"].found
        assert (await found(tmp_path, is_running=True))["lock"].level is Level.OK
    finally:
        await cluster.close()
    assert (await found(tmp_path))["lock"].found == "free"


async def test_a_damaged_log_fails(tmp_path: Path) -> None:
    cluster = await open_embedded(tmp_path, now_ms=NOW_MS)
    await cluster.topics.create("flights", 2, {})
    await cluster.close()
    path = tmp_path / LOG_FILE
    damaged = bytearray(path.read_bytes())
    damaged[16384 : 16384 + 2000] = b"\xff" * 2000
    path.write_bytes(damaged)
    assert (await found(tmp_path))["embedded log"].level is Level.FAIL


async def test_a_log_that_is_still_to_be_made_is_no_trouble(tmp_path: Path) -> None:
    assert (await found(tmp_path / "data"))["embedded log"].level is Level.INFO


def test_files_and_space_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "GiB free" in check_space(tmp_path / "not" / "there").found
    assert "at most" in check_files().found
    monkeypatch.setattr("resource.getrlimit", lambda _: (256, 4096))
    assert check_files().level is Level.WARN


def test_what_a_start_will_find_taken_is_told_before(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        path = tmp_path / "mesh.toml"
        path.write_text(
            f'organization = "acme.example"\n[listen]\nadmin = "127.0.0.1:{taken.getsockname()[1]}"\npeers = ""\n'
            '[cluster]\nkind = "kafka"\n[cluster.kafka]\nbootstrap = ["127.0.0.1:1"]\n'
        )
        config = load_config(path, {}, {})
        config.state_dir.mkdir()
        lock = DirectoryLock(config.state_dir, NOW_MS)
        checks = {each.check: each.level for each in check_start(config, NOW_MS)}
        lock.release()
    assert checks == {"lock": Level.INFO, f"admin port {config.admin_listen}": Level.FAIL}
    assert check_identity(config).level is Level.FAIL
