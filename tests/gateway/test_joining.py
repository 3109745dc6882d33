"""Another gateway of an organization, as `mesh init --join` makes and renews it."""

from __future__ import annotations

import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certs import store
from certs.errors import AuthorityAbsent, DirectoryInUse, RotationUnderWay
from certs.own import ELSEWHERE, TrustFiles, load_own, save_own
from certs.rotation import Phase, Rotation
from gateway.config import load_config
from gateway.init import NewOrganization, create
from gateway.joining import Joining, JoinRefused, join
from gateway.rpc.identity import load_identity
from mesh.ids import GatewayName, OrgId
from mesh.shares import PeerState
from mesh.trust.leaf import PeerTrust, verified
from mesh.trust.pem import to_der
from tests.support.control_cli import run

NOW = datetime.now(UTC)
ACME = OrgId("acme.example")


@pytest.fixture
def first(tmp_path: Path) -> Path:
    home = tmp_path / "acme"
    create(home, NewOrganization(ACME, GatewayName("gw-1"), ["127.0.0.1:9092"], "127.0.0.1:7001"), NOW)
    return home


def joining(first: Path, name: str = "gw-2") -> Joining:
    return Joining(first, GatewayName(name), "127.0.0.1:7002", "127.0.0.1:7003")


def test_another_gateway_has_a_leaf_of_the_same_authority_and_no_authority(first: Path, tmp_path: Path) -> None:
    config, is_new = join(tmp_path / "second", joining(first), NOW)
    assert is_new
    assert str(config.gateway_id) == "spiffe://acme.example/gateway/gw-2"
    assert sorted(path.name for path in config.keys_dir.iterdir()) == ["gateway.key", "gateway.pem", "trust.json"]
    assert stat.S_IMODE((config.keys_dir / "gateway.key").stat().st_mode) == 0o600
    own = load_own(config.keys_dir, ACME, NOW)
    assert own.bundle == load_own(first / "keys", ACME, NOW).bundle
    files = TrustFiles(config.keys_dir)
    identity = load_identity(files.leaf, files.leaf_key)
    assert identity.id == config.gateway_id
    verified(to_der(identity.leaf), {ACME: PeerTrust(PeerState.ACTIVE, own.bundle)}, NOW)


def test_its_configuration_is_the_first_ones_but_for_what_is_its_own(first: Path, tmp_path: Path) -> None:
    path = first / "mesh.toml"
    text = (
        path.read_text().replace("[limits]", "[limits]\nmax_ratio = 99", 1).replace("# max_ratio", "# was max_ratio", 1)
    )
    text = text.replace("# sasl_password =", 'sasl_password_file = "secret"\n# sasl_password =', 1)
    path.write_text(text)
    (first / "secret").write_text("hush")
    config, _ = join(tmp_path / "second", joining(first), NOW)
    assert config.kafka is not None
    assert (config.kafka.bootstrap, config.limits.max_ratio) == (("127.0.0.1:9092",), 99)
    assert config.kafka.password.reveal() == "hush"
    assert "hush" not in (tmp_path / "second" / "mesh.toml").read_text()
    assert config.state_dir == tmp_path / "second" / "state"
    assert (str(config.peers_listen), str(config.admin_listen)) == ("127.0.0.1:7002", "127.0.0.1:7003")


def test_the_same_command_again_renews_leaf_and_bundle(first: Path, tmp_path: Path) -> None:
    config, _ = join(tmp_path / "second", joining(first), NOW)
    before = store.read_certificates(config.keys_dir / "gateway.pem")[0]
    own = load_own(first / "keys", ACME, NOW)
    save_own(first / "keys", own.publishing(own.bundle.certificates, NOW, None))
    _, is_new = join(tmp_path / "second", joining(first), NOW + timedelta(days=40))
    assert not is_new
    after = store.read_certificates(config.keys_dir / "gateway.pem")[0]
    assert after.not_valid_after_utc > before.not_valid_after_utc
    renewed = load_own(config.keys_dir, ACME, NOW)
    assert (renewed.bundle.sequence, renewed.issuing) == (2, ELSEWHERE)


def test_wrong_uses_are_refused_and_change_nothing(first: Path, tmp_path: Path) -> None:
    with pytest.raises(JoinRefused, match="its name is 'gw-1', too"):
        join(tmp_path / "second", joining(first, "gw-1"), NOW)
    create(tmp_path / "edge", NewOrganization(ACME, GatewayName("gw-1")), NOW)
    with pytest.raises(JoinRefused, match="embedded log"):
        join(tmp_path / "second", joining(tmp_path / "edge"), NOW)
    second, _ = join(tmp_path / "second", joining(first), NOW)
    with pytest.raises(AuthorityAbsent):
        join(tmp_path / "third", joining(tmp_path / "second", "gw-3"), NOW)
    with pytest.raises(DirectoryInUse):
        join(tmp_path / "second", joining(first, "gw-3"), NOW)
    create(tmp_path / "other", NewOrganization(ACME, GatewayName("gw-2"), ["127.0.0.1:9092"]), NOW)
    with pytest.raises(DirectoryInUse):
        join(tmp_path / "other", joining(first), NOW)
    assert load_config(tmp_path / "second" / "mesh.toml", {}, {}) == second
    assert not (tmp_path / "third").exists()


def test_during_a_rotation_one_joins_when_the_new_root_issues(first: Path, tmp_path: Path) -> None:
    own = load_own(first / "keys", ACME, NOW)
    rotation = Rotation(1, 2, NOW, NOW + timedelta(days=7), Phase.PUBLISHED, 2)
    save_own(first / "keys", replace(own, rotation=rotation))
    with pytest.raises(RotationUnderWay):
        join(tmp_path / "second", joining(first), NOW)
    save_own(first / "keys", replace(own, rotation=replace(rotation, phase=Phase.SWITCHED)))
    join(tmp_path / "second", joining(first), NOW)


async def test_the_command_makes_renews_and_says_so(first: Path, tmp_path: Path) -> None:
    home = tmp_path / "second"
    words = ("init", "--join", str(first), "--dir", str(home), "--gateway", "gw-2")
    made = await run(tmp_path, *words)
    assert (made.code, made.out.splitlines()[0]) == (0, f"created spiffe://acme.example/gateway/gw-2 in {home}")
    again = await run(tmp_path, *words)
    assert (again.code, again.out.startswith("renewed the certificate of")) == (0, True)
    both = await run(tmp_path, *words, "--org", "acme.example")
    neither = await run(tmp_path, "init", "--dir", str(tmp_path / "x"))
    assert (both.code, neither.code) == (2, 2)
