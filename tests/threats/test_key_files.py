"""Threats 14 and 16: a gateway does not start with a key that others could have read, and its crash gives none away."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.organization import Organization, stop_all

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def readable(path: Path) -> None:
    path.chmod(0o644)


def linked(path: Path) -> None:
    aside = path.parent.parent / "aside"
    path.rename(aside)
    path.symlink_to(aside)


def given_away(path: Path) -> None:
    """Root may: elsewhere a file of root's is as good as one of another user's."""
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        path.unlink()
        path.symlink_to("/etc/shadow")


KEY, TOKEN = ("keys/gateway.key", "key-file-exposed"), ("state/admin.token", "token-file-unsafe")


@pytest.mark.parametrize(
    ("name", "code", "spoil"),
    [(*KEY, readable), (*KEY, linked), (*KEY, given_away), (*TOKEN, readable)],
    ids=["key readable", "key linked", "key of another user", "token readable"],
)
def test_the_start_fails_and_says_which_file_and_why(
    name: str, code: str, spoil: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.organization.READY_S", 20.0)
    acme = Organization.init(tmp_path / "acme", "acme.example")
    path = acme.home / name
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text("a-token-that-somebody-else-has-written-there\n")
        path.chmod(0o600)
    spoil(path)
    try:
        refused = acme.refused()
    except subprocess.TimeoutExpired:
        raise AssertionError("the gateway runs with it") from None
    assert refused.code == code
    assert path.name in f"{refused}"


def test_a_crash_leaves_no_file_of_what_was_in_memory(tmp_path: Path) -> None:
    acme = Organization.init(tmp_path / "acme", "acme.example")
    with stop_all(acme):
        acme.start()
        assert acme.process is not None
        assert resource.prlimit(acme.process.pid, resource.RLIMIT_CORE) == (0, 0)
