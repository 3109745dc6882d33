from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from certs import store
from certs.errors import (
    CertificateFileUnreadable,
    FileExistsAlready,
    KeyFileExposed,
    KeyFileUnreadable,
    StoreFailed,
)
from tests.support.trust import organization

ISSUED = organization("acme.example").leaf()
KEY = ISSUED.key
DIGITS = f"{KEY.private_numbers().private_value:x}"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    store.write_key(tmp_path / "gateway.key", KEY)
    return tmp_path / "gateway.key"


def test_what_is_written_is_read(tmp_path: Path, written: Path) -> None:
    store.write_certificates(tmp_path / "gateway.pem", [ISSUED.certificate])
    assert store.read_key(written).private_numbers() == KEY.private_numbers()
    assert store.read_certificates(tmp_path / "gateway.pem") == [ISSUED.certificate]
    assert sorted(os.listdir(tmp_path)) == ["gateway.key", "gateway.pem"]


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_a_key_is_its_owners_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        store.write_key(tmp_path / "a.key", KEY)
        store.write_certificates(tmp_path / "a.pem", [ISSUED.certificate])
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "a.pem").stat().st_mode) == 0o644


def test_nothing_is_overwritten(written: Path) -> None:
    before = written.read_bytes()
    with pytest.raises(FileExistsAlready):
        store.write_key(written, organization("globex.example").leaf().key)
    assert written.read_bytes() == before
    assert os.listdir(written.parent) == ["gateway.key"]


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "a.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsAlready):
        store.write_key(tmp_path / "a.key", KEY)
    assert not (tmp_path / "elsewhere").exists()


def test_a_directory_that_is_absent_is_an_error_for_the_operator(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match="No such file"):
        store.write_key(tmp_path / "absent" / "a.key", KEY)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o610])
def test_a_key_that_others_may_touch_is_not_used(written: Path, mode: int) -> None:
    written.chmod(mode)
    with pytest.raises(KeyFileExposed, match=f"its mode {mode:04o} lets others at it"):
        store.read_key(written)
    written.chmod(0o400)
    assert store.read_key(written)


def test_a_link_to_a_key_is_not_used(tmp_path: Path, written: Path) -> None:
    (tmp_path / "link.key").symlink_to(written)
    with pytest.raises(KeyFileExposed, match="symbolic link"):
        store.read_key(tmp_path / "link.key")


def test_a_key_of_another_user_is_not_used(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = written.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(KeyFileExposed, match=f"it belongs to user {owner}, not to {owner + 1}"):
        store.read_key(written)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "directory").mkdir(0o700)
    for name in ("fifo", "directory"):
        with pytest.raises(KeyFileUnreadable, match=r"not a regular file"):
            store.read_key(tmp_path / name)
    with pytest.raises(KeyFileUnreadable, match="No such file"):
        store.read_key(tmp_path / "absent")


def test_bad_content_is_refused_and_never_quoted(written: Path) -> None:
    pem = written.read_bytes()
    locked = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
    other = ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content in (b"", b"hello", pem[:-60], locked, other):
        written.write_bytes(content)
        with pytest.raises(KeyFileUnreadable) as caught:
            store.read_key(written)
        assert caught.value.__cause__ is None
        assert not any(line in str(caught.value) for line in pem.decode().splitlines() if "-" not in line)
        assert DIGITS not in str(caught.value)


def test_certificates_out_of_form_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pem"
    for content in (b"", b"garbage", b"\xff", store.key_pem(KEY)):
        path.write_bytes(content)
        with pytest.raises(CertificateFileUnreadable):
            store.read_certificates(path)
    with pytest.raises(CertificateFileUnreadable, match="No such file"):
        store.read_certificates(tmp_path / "absent")
