from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.embedded.errors import DirectoryInUse, LogUnusable
from gateway.embedded.lock import LOCK_FILE, DirectoryLock

NOW_MS = 1_700_000_000_000

_HOLD = """
import sys
from pathlib import Path
from gateway.embedded.lock import DirectoryLock
DirectoryLock(Path(sys.argv[1]), 0)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_holder_learns_who_the_first_is(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path, NOW_MS)
    with pytest.raises(DirectoryInUse) as refused:
        DirectoryLock(tmp_path, NOW_MS + 1)
    assert (refused.value.pid, refused.value.since) == (os.getpid(), "2023-11-14T22:13:20+00:00")
    assert f"in use by process {os.getpid()} on " in str(refused.value)
    lock.release()


def test_a_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    DirectoryLock(tmp_path, NOW_MS).release()
    DirectoryLock(tmp_path, NOW_MS).release()


@pytest.mark.parametrize("left", [b"", b"garbage", b"[1", json.dumps({"pid": 1, "host": "h", "since": "s"}).encode()])
def test_what_a_dead_holder_left_does_not_block(tmp_path: Path, left: bytes) -> None:
    (tmp_path / LOCK_FILE).write_bytes(left)
    lock = DirectoryLock(tmp_path, NOW_MS)
    assert json.loads((tmp_path / LOCK_FILE).read_bytes())["pid"] == os.getpid()
    lock.release()


@pytest.mark.parametrize("content", [b"", b"garbage", b"[]", b"7"])
def test_a_holder_that_has_not_said_who_it_is_still_holds(tmp_path: Path, content: bytes) -> None:
    lock = DirectoryLock(tmp_path, NOW_MS)
    (tmp_path / LOCK_FILE).write_bytes(content)
    with pytest.raises(DirectoryInUse, match="process 0 on unknown"):
        DirectoryLock(tmp_path, NOW_MS)
    lock.release()


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(DirectoryInUse) as refused:
            DirectoryLock(tmp_path, NOW_MS)
        assert refused.value.pid == holder.pid
        holder.kill()
    DirectoryLock(tmp_path, NOW_MS).release()


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(LogUnusable, match="absent"):
        DirectoryLock(tmp_path / "absent", NOW_MS)
