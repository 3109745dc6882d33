from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from certs.errors import DirectoryInUse
from gateway.address import Address
from gateway.admin.token import TOKEN_NAME
from gateway.config_layers import ConfigInvalid
from gateway.init import InitFailed, NewOrganization, create
from mesh.ids import GatewayName, OrgId
from tests.support.control_cli import run

NOW = datetime.now(UTC)
ACME = NewOrganization(OrgId("acme.example"), GatewayName("gw-1"))


def everything(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def test_a_home_holds_keys_configuration_state_and_token(tmp_path: Path) -> None:
    config = create(tmp_path / "homes" / "acme", ACME, NOW)
    assert str(config.gateway_id) == "spiffe://acme.example/gateway/gw-1"
    assert config.state_dir == tmp_path / "homes" / "acme" / "state"
    assert everything(config.keys_dir) == ["ca.key", "ca.pem", "gateway.key", "gateway.pem"]
    assert everything(config.state_dir) == [TOKEN_NAME]
    private = [config.keys_dir / "ca.key", config.keys_dir / "gateway.key", *config.state_dir.iterdir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert [path.name for path in (tmp_path / "homes").iterdir()] == ["acme"]


def test_an_empty_directory_becomes_the_home(tmp_path: Path) -> None:
    config = create(tmp_path, ACME, NOW)
    assert {path.name for path in tmp_path.iterdir()} == {"data", "keys", "state", "mesh.toml"}
    assert config.path == tmp_path / "mesh.toml"


def test_a_directory_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    with pytest.raises(DirectoryInUse):
        create(tmp_path, ACME, NOW)
    assert everything(tmp_path) == ["precious"]
    with pytest.raises(DirectoryInUse):
        create(tmp_path / "precious", ACME, NOW)


def test_options_become_the_configuration(tmp_path: Path) -> None:
    wanted = NewOrganization(
        OrgId("acme.example"), GatewayName("gw-2"), ["127.0.0.1:9092", "127.0.0.1:9093"], "127.0.0.1:0", "[::1]:0"
    )
    config = create(tmp_path, wanted, NOW)
    assert (config.gateway_name, config.cluster_kind) == ("gw-2", "kafka")
    assert config.kafka is not None
    assert config.kafka.bootstrap == ("127.0.0.1:9092", "127.0.0.1:9093")
    assert (config.peers_listen, config.admin_listen) == (Address("127.0.0.1", 0), Address("::1", 0))


def test_a_refused_option_leaves_nothing_behind(tmp_path: Path) -> None:
    wanted = NewOrganization(OrgId("acme.example"), GatewayName("gw-1"), admin="0.0.0.0:7462")
    with pytest.raises(ConfigInvalid, match=r"listen\.admin from option is not valid: it must be a loopback address"):
        create(tmp_path / "acme", wanted, NOW)
    assert everything(tmp_path) == []


def test_a_home_that_cannot_be_made_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InitFailed, match="exists"):
        create(tmp_path / "file" / "acme", ACME, NOW)
    assert everything(tmp_path) == ["file"]


@pytest.mark.parametrize("exists", [False, True])
def test_a_failure_half_way_leaves_the_place_as_it_was(
    tmp_path: Path, exists: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk refuses the last rename: the configuration's, or that of the whole home."""
    target = tmp_path / "acme"
    if exists:
        target.mkdir()
    rename = Path.rename

    def refusing(self: Path, to: Path) -> Path:
        if to == (target / "mesh.toml" if exists else target):
            raise OSError(28, "No space left on device")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", refusing)
    with pytest.raises(InitFailed, match="no space left on device"):
        create(target, ACME, NOW)
    assert everything(tmp_path) == (["acme"] if exists else [])


async def test_the_command_says_what_to_do_next(tmp_path: Path) -> None:
    home = tmp_path / "acme"
    said = await run(tmp_path, "init", "--org", "acme.example", "--dir", str(home))
    assert (said.code, said.out.splitlines()[-1]) == (0, f"start it with: mesh gateway run --config {home}/mesh.toml")
    again = await run(tmp_path, "init", "--org", "acme.example", "--dir", str(home))
    assert (again.code, "directory-not-empty" in again.err) == (1, True)
    as_json = await run(
        tmp_path, "init", "--org", "globex.example", "--dir", str(tmp_path / "g"), "--kafka", "127.0.0.1:9092", "--json"
    )
    assert as_json.json["gateway"] == "spiffe://globex.example/gateway/gw-1"
    bad = await run(tmp_path, "init", "--org", "Acme", "--dir", str(tmp_path / "x"))
    assert (bad.code, "illegal-name" in bad.err) == (1, True)
