"""The unit file names what there is, gives the gateway time to end, and leaves it little."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from gateway.config_file import Timing
from tests.support.commands import unknown_of

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "examples" / "systemd" / "mesh.service"
PAGE = ROOT / "docs" / "how-to" / "run-as-a-service.md"
MARGIN_S = 5
CONFINED = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "CapabilityBoundingSet": "",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces": "yes",
    "SystemCallArchitectures": "native",
    "LimitCORE": "0",
    "UMask": "0077",
}


@cache
def unit() -> dict[str, dict[str, list[str]]]:
    """Section to key to its values, in their order."""
    found: dict[str, dict[str, list[str]]] = {}
    for number, line in enumerate(UNIT.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        if section := re.fullmatch(r"\[(\w+)\]", line):
            found[section[1]] = {}
            continue
        key, equals, value = line.partition("=")
        assert equals, f"line {number} is no setting"
        assert re.fullmatch(r"[A-Z][A-Za-z]+", key), f"line {number}"
        list(found.values())[-1].setdefault(key, []).append(value)
    return found


def service(key: str) -> str:
    (value,) = unit()["Service"][key]
    return value


def test_it_runs_a_command_that_exists_in_its_own_directory() -> None:
    program, *words = service("ExecStart").split()
    assert program == "/opt/mesh/bin/mesh"
    assert unknown_of(words) == ""
    assert words[words.index("--config") + 1].startswith(f"/var/lib/{service('StateDirectory')}/")
    assert service("User") != "root"


def test_it_is_told_once_to_end_and_has_time_for_it() -> None:
    timing = Timing()
    assert service("KillSignal") == "SIGTERM"
    assert float(service("TimeoutStopSec")) >= 30 + timing.drain_timeout_s + MARGIN_S, "drain_pre_s may be 30 s"


def test_it_may_open_as_many_files_as_the_page_on_strangers_says() -> None:
    assert f"LimitNOFILE={service('LimitNOFILE')}" in (ROOT / "docs" / "how-to" / "operate.md").read_text()


def test_it_is_confined() -> None:
    assert {key: service(key) for key in CONFINED} == CONFINED
    assert unit()["Service"]["SystemCallFilter"] == ["@system-service", "~@privileged"]


def test_every_command_of_the_page_exists() -> None:
    commands = re.findall(r"/opt/mesh/bin/mesh (.+)$", PAGE.read_text(), re.MULTILINE)
    assert len(commands) >= 3
    for command in commands:
        assert unknown_of(command) == "", command


def complaints(text: str, directory: Path) -> list[str] | None:
    """What systemd says of a unit, None where it is not installed: the tests above hold everywhere."""
    program = shutil.which("systemd-analyze")
    if program is None:
        return None
    copy = directory / UNIT.name
    copy.write_text(text.replace("/opt/mesh/bin/mesh", "/bin/true"))
    command = [program, "verify", "--man=no", "--generators=no", str(copy)]
    said = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    return [line for line in (said.stdout + said.stderr).splitlines() if copy.name in line]


def test_systemd_has_nothing_to_say(tmp_path: Path) -> None:
    assert complaints(UNIT.read_text(), tmp_path) in ([], None)


@pytest.mark.parametrize("line", ["ExecStrat=/bin/true", "ProtectSystem=strickt"])
def test_systemd_would_say_it(line: str, tmp_path: Path) -> None:
    assert complaints(UNIT.read_text().replace("[Service]", f"[Service]\n{line}"), tmp_path) != []
