"""What a running gateway takes of a changed configuration, and what it says of the rest."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from gateway.config import GatewayConfig, load_config, state_directory
from gateway.config_file import keys
from gateway.config_layers import ConfigInvalid, ConfigUnknownKey, ConfigUnreadable
from gateway.config_reload import LIVE, differing, taken
from gateway.reloading import LiveConfig, Reloaded
from tests.support.organization import wait_for

TOML = 'organization = "acme.example"\n[cluster]\nkind = "kafka"\n[cluster.kafka]\nbootstrap = ["127.0.0.1:1"]\n'
OTHER: dict[str, str] = {
    "organization": "other.example",
    "gateway": "gw-2",
    "cluster.kind": "embedded",
    "cluster.kafka.bootstrap": "127.0.0.1:2",
    "cluster.kafka.security_protocol": "SSL",
    "cluster.kafka.sasl_mechanism": "PLAIN",
    "trust.private_addresses": "allow",
    "link.compression": "auto",
    "log.level": "debug",
    "log.format": "console",
    "timing.reconnect_initial_s": "1.5",
    "limits.frame_bytes": "65536",
    "limits.link_buffer_bytes": "8388608",
}
"""Where half of the default, or another port, is no other value."""
TOGETHER = {"cluster.kafka.tls_certificate_file", "cluster.kafka.tls_key_file"}


def other(key: str, value: object) -> str:
    """Some other legal value of a key."""
    if key in OTHER:
        return OTHER[key]
    if isinstance(value, int | float):
        return str(value / 2 if isinstance(value, float) else value // 2 or 3)
    return "127.0.0.1:9" if key.startswith("listen.") else "other"


def configs(tmp_path: Path, key: str) -> tuple[GatewayConfig, GatewayConfig]:
    path = tmp_path / "mesh.toml"
    path.write_text(TOML)
    config = load_config(path, {}, {})
    return config, load_config(path, {key: other(key, config.origins[key].value)}, {})


@pytest.mark.parametrize("key", [key.name for key in keys() if key.name not in TOGETHER])
def test_a_key_is_taken_whole_or_waits_for_a_restart(tmp_path: Path, key: str) -> None:
    running, read = configs(tmp_path, key)
    assert list(differing(running, read)) == [key]

    after = taken(running, read)

    assert list(differing(running, after)) == ([key] if key in LIVE else [])
    assert list(differing(after, read)) == ([] if key in LIVE else [key])
    assert (after == running) == (key not in LIVE)  # and not only in what it says of itself


def test_the_keys_that_are_taken_are_keys() -> None:
    assert {key.name for key in keys()} >= LIVE


class File:
    """A configuration file and the gateway that runs with it; `told` is what listeners heard."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "mesh.toml"
        self.write()
        self.live = LiveConfig(load_config(self.path, {}, {}), lambda: load_config(self.path, {}, {}), self.record)
        self.told: list[GatewayConfig] = []
        self.recorded: list[dict[str, str]] = []
        self.live.on_change(self.told.append)

    def write(self, text: str = "") -> None:
        aside = self.path.with_suffix(".next")
        aside.write_text('organization = "acme.example"\n' + text)
        os.replace(aside, self.path)

    async def record(self, action: str, object_: str, **details: str) -> None:
        self.recorded.append({"action": action, "object": object_, **details})


async def test_what_can_be_taken_is_told_to_those_who_hold_it_and_recorded(tmp_path: Path) -> None:
    file = File(tmp_path)
    file.write('[log]\nlevel = "debug"\n[listen]\npeers = "127.0.0.1:9"\n')

    found = await file.live.reload()

    assert found == Reloaded(("log.level",), ("listen.peers",))
    assert [config.log.level for config in file.told] == ["debug"]
    assert file.live.in_force.origins["log.level"].value == "debug"
    assert str(file.live.in_force.peers_listen) == "127.0.0.1:7463"
    assert file.recorded == [
        {"action": "config.changed", "object": str(file.live.in_force.gateway_id), "log.level": "debug"}
    ]
    assert file.live.trouble() == "listen.peers in the file waits for a restart"
    file.write('[log]\nlevel = "debug"\n')
    assert await file.live.reload() == Reloaded((), ())
    assert (file.live.trouble(), len(file.told)) == ("", 1)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[log]\nlevel = 'loud'\n", ConfigInvalid),
        ("[log]\nlevl = 'info'\n", ConfigUnknownKey),
        ("[log\n", ConfigUnreadable),
        ("[timing]\nmaintenance_s = 5\n[limits]\nframe_bytes = 99999999\n", ConfigInvalid),
    ],
)
async def test_what_is_not_valid_changes_nothing_and_is_shown_until_it_is(
    tmp_path: Path, text: str, error: type[Exception]
) -> None:
    file = File(tmp_path)
    before = file.live.in_force
    file.write(text)

    with pytest.raises(error) as raised:
        await file.live.reload()

    assert file.live.in_force is before
    assert file.told == []
    assert str(raised.value) in file.live.trouble()
    file.write()
    await file.live.reload()
    assert file.live.trouble() == ""


async def test_the_file_is_watched_and_read_once_it_stays_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.reloading.WATCH_S", 0.005)
    file = File(tmp_path)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(file.live.run())
        file.write("[timing]\ngroups_s = 7\n")
        await until(lambda: bool(file.told))
        file.path.unlink()
        await until(lambda: "cannot read" in file.live.fault)
        file.write("[timing]\ngroups_s = 8\n")
        await until(lambda: len(file.told) == 2)
        task.cancel()

    assert [config.timing.groups_s for config in file.told] == [7, 8]


async def test_a_signal_reads_it_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.reloading.WATCH_S", 3600)
    file = File(tmp_path)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(file.live.run())
        file.write("[timing]\ngroups_s = 7\n")
        file.live.ask()
        await until(lambda: bool(file.told))
        task.cancel()


async def until(holds: Any) -> None:
    await asyncio.to_thread(wait_for, "a change", holds, 5, 0.002)


def test_a_command_finds_its_gateway_though_the_file_is_wrong_by_now(tmp_path: Path) -> None:
    path = tmp_path / "mesh.toml"
    path.write_text("[log]\nlevel = 'loud'\n[directories]\nstate = 'here'\n")
    assert state_directory(path) == tmp_path / "here"
    path.write_text("directories = 1\n")
    with pytest.raises(ConfigInvalid):
        state_directory(path)
