from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from certs import store
from certs.bundle import bundle_of
from certs.errors import DirectoryInUse, StoreFailed
from certs.organization import create_organization, load_authority
from gateway.rpc.errors import IdentityUnusable
from gateway.rpc.identity import load_identity
from mesh.ids import OrgId
from mesh.shares import PeerState
from mesh.trust.leaf import PeerTrust, verify_leaf
from tests.support.trust import GATEWAY, NOW

ACME = OrgId("acme.example")


@pytest.fixture(params=["absent", "empty", "below absent ones"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "empty":
        (tmp_path / "acme").mkdir()
    return tmp_path / ("a/b/acme" if request.param == "below absent ones" else "acme")


def test_a_new_organization_can_be_verified_by_its_peers(directory: Path) -> None:
    files = create_organization(directory, ACME, GATEWAY, NOW)
    identity = load_identity(files.gateway_certificate, files.gateway_key)
    bundle = bundle_of(ACME, store.read_certificates(files.ca_certificate), NOW)
    assert verify_leaf(identity.chain_pem, {ACME: PeerTrust(PeerState.ACTIVE, bundle)}, NOW) == identity.id
    again = load_authority(directory, ACME).issue(GATEWAY, NOW)
    assert again.certificate.issuer == identity.leaf.issuer


def test_it_leaves_four_files_and_nothing_else(directory: Path) -> None:
    files = create_organization(directory, ACME, GATEWAY, NOW)
    assert os.listdir(directory) == ["keys"]
    assert sorted(os.listdir(files.keys)) == ["ca.key", "ca.pem", "gateway.key", "gateway.pem"]
    assert os.listdir(directory.parent) == [directory.name]
    assert stat.S_IMODE(files.keys.stat().st_mode) == 0o700
    assert stat.S_IMODE(files.ca_key.stat().st_mode) == stat.S_IMODE(files.gateway_key.stat().st_mode) == 0o600


def test_existing_content_is_never_touched(tmp_path: Path) -> None:
    files = create_organization(tmp_path / "acme", ACME, GATEWAY, NOW)
    key = files.ca_key.read_bytes()
    with pytest.raises(DirectoryInUse, match="it holds 'keys'"):
        create_organization(tmp_path / "acme", ACME, GATEWAY, NOW)
    assert files.ca_key.read_bytes() == key
    (tmp_path / "file").write_text("x")
    with pytest.raises(DirectoryInUse):
        create_organization(tmp_path / "file", ACME, GATEWAY, NOW)
    assert sorted(os.listdir(tmp_path)) == ["acme", "file"]


@pytest.mark.parametrize("existing", [True, False])
def test_a_failure_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool) -> None:
    directory = tmp_path / "acme"
    if existing:
        directory.mkdir()
    calls = 0
    real = os.fsync

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreFailed, match="No space left"):
        create_organization(directory, ACME, GATEWAY, NOW)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == (["acme"] if existing else [])


def test_a_key_that_does_not_fit_the_certificate_is_no_identity(tmp_path: Path) -> None:
    files = create_organization(tmp_path / "acme", ACME, GATEWAY, NOW)
    store.write_key(tmp_path / "other.key", ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(IdentityUnusable, match="another key"):
        load_identity(files.gateway_certificate, tmp_path / "other.key")
    with pytest.raises(IdentityUnusable, match="is not legal"):
        load_identity(files.ca_certificate, files.ca_key)
