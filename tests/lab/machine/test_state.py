"""What a gateway keeps beside its log, when the power fails and when bits flip."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from certs import files, store
from certs.authority import Authority, Issued
from certs.files import create_whole, replace_whole
from certs.store import finish_pair, read_certificates, read_key, replace_pair, write_certificates, write_key
from gateway.rpc.identity import load_identity
from mesh.ids import GatewayName, OrgId
from tests.lab.machine.flips import Found
from tests.lab.machine.names import Recorded
from tests.lab.machine.state_flips import Home, flip, flip_configuration
from tests.support.kills import new_seed
from tests.support.organization import Organization

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW = b"what was there before", b"what is there now"


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Recorded]:
    """Begins to record what happens to the directory."""

    def begin() -> Recorded:
        made = Recorded(tmp_path)
        monkeypatch.setattr(files, "os", made)
        monkeypatch.setattr(store, "os", made)
        return made

    return begin


def test_a_file_that_is_replaced_is_the_old_or_the_new_one(tmp_path: Path, recorded: Callable[[], Recorded]) -> None:
    (tmp_path / "f").write_bytes(OLD)
    disk = recorded()
    replace_whole(tmp_path / "f", NEW, 0o600)
    seen = {left["f"] for moment in disk.moments for left in moment}
    assert seen == {OLD, NEW}
    assert {left["f"] for left in disk.moments[-1]} == {NEW}, "it returned before it was durable"


def test_a_file_that_is_made_is_whole_or_absent(tmp_path: Path, recorded: Callable[[], Recorded]) -> None:
    disk = recorded()
    create_whole(tmp_path / "f", NEW, 0o600)
    assert {left.get("f") for moment in disk.moments for left in moment} == {None, NEW}
    assert {left.get("f") for left in disk.moments[-1]} == {NEW}


def test_a_write_without_syncs_is_caught(
    tmp_path: Path, recorded: Callable[[], Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").write_bytes(OLD)
    disk = recorded()
    monkeypatch.setattr(disk, "fsync", lambda descriptor: None)
    replace_whole(tmp_path / "f", NEW, 0o600)
    assert not {left["f"] for moment in disk.moments for left in moment} <= {OLD, NEW}
    assert {left["f"] for left in disk.moments[-1]} != {NEW}


def _issued(authority: Authority) -> Issued:
    return authority.issue(GatewayName("gw-1"), NOW)


def test_a_leaf_and_its_key_are_never_of_two_pairs(
    tmp_path: Path, recorded: Callable[[], Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.create(OrgId("acme.example"), NOW)
    old, new = _issued(authority), _issued(authority)
    home, leaf, key = tmp_path, tmp_path / "gateway.pem", tmp_path / "gateway.key"
    write_key(key, old.key)
    write_certificates(leaf, [old.certificate])
    disk = recorded()
    replace_pair(leaf, key, [new.certificate], new.key)
    monkeypatch.undo()
    met: set[int] = set()
    for number, moment in enumerate(disk.moments):
        for left in moment:
            there = home / f"left.{number}.{len(met)}"
            there.mkdir(exist_ok=True)
            for path in there.iterdir():
                path.unlink()
            for name, data in left.items():
                (there / name).write_bytes(data)
                (there / name).chmod(0o600)
            # as a start does
            finish_pair(there / leaf.name, there / key.name)
            load_identity(there / leaf.name, there / key.name)
            met.add(read_certificates(there / leaf.name)[0].serial_number)
    assert met == {old.certificate.serial_number, new.certificate.serial_number}
    assert read_key(key).private_numbers() == new.key.private_numbers()


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_every_flip_of_state_is_detected_or_harmless(tmp_path: Path) -> None:
    seed = new_seed()
    print(f"SCENARIO_SEED={seed}")
    found = Found(seed)
    flip(found, Home(tmp_path / "acme"), 12, Random(seed))
    print(found)
    assert not found.silent, found.silent[:3]
    for aim in ("audit-broken", "key-file-unreadable", "own-trust-damaged", "revocations-unusable"):
        assert found.met[f"detected ({aim})"], f"{aim} never happened"


def test_a_configuration_with_flips_is_refused_or_another_one(tmp_path: Path) -> None:
    found = Found(new_seed())
    acme = Organization.init(tmp_path / "acme", "acme.example")
    flip_configuration(found, acme.home / "mesh.toml", 40, Random(found.seed))
    assert found.met["configuration: refused"], found
