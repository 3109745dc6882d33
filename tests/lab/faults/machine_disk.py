"""A disk without room under the copy's embedded log, and room again: lanes wait with a name, and go on by themselves.

Twice: by a limit on what one file of the process may hold (EFBIG), which every machine can do, and by a small file
system (ENOSPC), which needs the right to mount. Nobody restarts anything; what was acknowledged is judged by the
verifier.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.admin import NoAnswer, status
from tests.lab.stage import Site, Stage
from tests.support.organization import wait_for

CODE = "disk-full"
LEFT_BYTES = 300_000
ROOM_BYTES = 4 << 20
ROW = "disk full"


def cannot_mount() -> str:
    """Why a file system cannot be mounted here; empty: it can."""
    return "" if os.geteuid() == 0 and shutil.which("mount") else "it needs the right to mount"


def _full(site: Site) -> bool:
    try:
        return CODE in {lane["code"] for lane in status(site.organization)["lanes"]}
    except NoAnswer:
        return False


def _meet(stage: Stage, aim: str) -> None:
    wait_for("a lane to say that the disk is full", lambda: _full(stage.copy), 60)
    # what it says it says while its process lives, and it ends by itself only
    assert stage.copy.organization.process is not None
    assert stage.copy.organization.process.poll() is None, "the gateway died of a full disk"
    stage.counters.sometimes(aim)


def _resumed(stage: Stage, aim: str) -> None:
    stage.wait_progress()
    wait_for("no lane to speak of the disk", lambda: not _full(stage.copy), 60)
    stage.counters.sometimes(aim)


@dataclass
class FileLimit:
    """No file of the copy's gateway may grow further (RLIMIT_FSIZE)."""

    row: str = ROW
    aims: tuple[str, ...] = ("a lane waited for room (EFBIG)", "a lane went on by itself when there was room (EFBIG)")

    def strike(self, stage: Stage) -> None:
        stage.wait_progress()
        # The write-ahead log starts over after a checkpoint: the limit must be below where it would end then, too.
        sizes = [path.stat().st_size for path in stage.copy.data.iterdir() if path.name == "log.sqlite"]
        stage.copy.organization.limit_files(max(sizes) + LEFT_BYTES)
        _meet(stage, self.aims[0])

    def heal(self, stage: Stage) -> None:
        stage.copy.organization.limit_files(-1)
        _resumed(stage, self.aims[1])


@dataclass
class SmallDisk:
    """The copy's log moves to a file system that soon has no room; then that grows. Moved back at the end."""

    row: str = ROW
    aims: tuple[str, ...] = (
        "a lane waited for room (ENOSPC)",
        "a lane went on by itself when there was room (ENOSPC)",
    )
    _kept: Path | None = field(default=None, init=False)

    def strike(self, stage: Stage) -> None:
        site = stage.copy
        assert site.organization.stop() == 0
        kept = stage.scratch / "data.kept"
        site.data.rename(kept)
        self._kept = kept
        site.data.mkdir(mode=0o700)
        used = sum(path.stat().st_size for path in kept.iterdir())
        _mount("-t", "tmpfs", "-o", f"size={used + ROOM_BYTES},mode=700", "tmpfs", str(site.data))
        _copy(kept, site.data)
        site.organization.start()
        _meet(stage, self.aims[0])

    def heal(self, stage: Stage) -> None:
        site = stage.copy
        if self._kept is None:
            return
        try:
            _mount("-o", "remount,size=1g", str(site.data))
            _resumed(stage, self.aims[1])
            assert site.organization.stop() == 0
            shutil.rmtree(self._kept)
            self._kept.mkdir(mode=0o700)
            _copy(site.data, self._kept)
        finally:  # lazily, for where it failed somebody still has it open: no mount is left behind
            subprocess.run(["umount", "--lazy", str(site.data)], check=True, timeout=30)
        site.data.rmdir()
        self._kept.rename(site.data)
        site.organization.start()


def _copy(source: Path, target: Path) -> None:
    for path in source.iterdir():
        shutil.copy(path, target)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, timeout=30)
