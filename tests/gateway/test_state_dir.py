"""A state directory that cannot be written to stops the start, and says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.state_dir import StateUnwritable, prepare


def test_it_is_made_and_left_empty(tmp_path: Path) -> None:
    prepare(tmp_path / "a" / "state")
    prepare(tmp_path / "a" / "state")
    assert list((tmp_path / "a" / "state").iterdir()) == []


@pytest.mark.parametrize("place", ["file", "file/state", "full"])
def test_what_cannot_be_written_to_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full").symlink_to("/proc/self/fd")  # nobody makes a file there, root neither
    with pytest.raises(StateUnwritable, match=place):
        prepare(tmp_path / place)
