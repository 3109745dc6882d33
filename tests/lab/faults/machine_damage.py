"""A disk that changed, cut or lost what the copy's gateway had written, and a gateway that must not believe it.

The gateway is killed in the middle of the run, its files are damaged, and its start must be refused with
`log-damaged`. Then the files are as they were, and it goes on. `tests.lab.machine.flips` flips every byte; here it is
a log of a run.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import apsw

from gateway.embedded import schema
from gateway.embedded.checksums import PAGE_BYTES
from gateway.embedded.cluster import LOG_FILE
from gateway.embedded.mark import MARK_FILE, read_mark
from tests.lab.faults.processes import named
from tests.lab.stage import Stage
from tests.support.organization import wait_for

Damage = Callable[[Stage, Path], bool]
"""To the files in a directory; False where it cannot be done to them."""
CODE = "log-damaged"
WAL = f"{LOG_FILE}-wal"
_FRAME_HEADER = 32 + 24


@dataclass
class DamagedLog:
    """Damage of a log that was killed, and of one that was stopped, whose pages are all in their place."""

    row: str = "bit flip or truncation of local state"

    @property
    def aims(self) -> tuple[str, ...]:
        return tuple(f"refused: {name}" for name in (*KILLED, *STOPPED))

    def strike(self, stage: Stage) -> None:
        stage.wait_progress()
        stage.kill(stage.copy)
        self._all(stage, KILLED)
        stage.recover()
        assert stage.copy.organization.stop() == 0
        self._all(stage, STOPPED)

    def _all(self, stage: Stage, damages: Mapping[str, Damage]) -> None:
        data, kept = stage.copy.data, stage.scratch / "data.whole"
        shutil.copytree(data, kept)
        try:
            for name, damage in damages.items():
                if damage(stage, data):
                    _must_refuse(stage, name)
                    _put_back(kept, data)
        finally:
            _put_back(kept, data)
            shutil.rmtree(kept)

    def heal(self, stage: Stage) -> None:
        stage.recover()


def _must_refuse(stage: Stage, name: str) -> None:
    refusal = stage.copy.organization.refused()
    assert refusal.code == CODE, (name, refusal)
    stage.counters.sometimes(f"refused: {name}")


def _flipped_page(stage: Stage, data: Path) -> bool:
    """The page of the schema, which every start reads.

    Where somebody else had the log open when the gateway stopped (the watcher), the write-ahead log stays, and may hold
    the page anew: then nobody reads the one that would be damaged.
    """
    path = data / WAL
    if path.exists() and path.stat().st_size:
        return False
    return _flip(data / LOG_FILE, stage.chance.randrange(100, PAGE_BYTES), stage.chance.randrange(8))


def _flipped_ahead(stage: Stage, data: Path) -> bool:
    """Its first page: nothing behind it is read any more. Where the log itself has it all, that would be no loss."""
    path = data / WAL
    if not path.exists() or path.stat().st_size < _FRAME_HEADER + PAGE_BYTES or not _is_behind(data):
        return False
    return _flip(data / WAL, stage.chance.randrange(_FRAME_HEADER, _FRAME_HEADER + PAGE_BYTES), 1)


def _cut_log(stage: Stage, data: Path) -> bool:
    size = (data / LOG_FILE).stat().st_size
    with (data / LOG_FILE).open("r+b") as file:
        file.truncate(stage.chance.randrange(1, size - PAGE_BYTES))
    (data / WAL).unlink(missing_ok=True)
    return True


def _lost_log(stage: Stage, data: Path) -> bool:
    (data / LOG_FILE).unlink()
    (data / WAL).unlink(missing_ok=True)
    return True


KILLED: dict[str, Damage] = {"a flipped bit of the write-ahead log": _flipped_ahead, "a log that is gone": _lost_log}
STOPPED: dict[str, Damage] = {"a flipped bit of the log": _flipped_page, "a log that was cut": _cut_log}


def _is_behind(data: Path) -> bool:
    """Whether the log without its write-ahead log lacks transactions."""
    with tempfile.TemporaryDirectory() as directory:
        alone = Path(directory) / LOG_FILE
        shutil.copy(data / LOG_FILE, alone)
        db = schema.open_reader(alone)
        try:
            return schema.commits(db) < read_mark(data / MARK_FILE)
        except apsw.Error:  # a checkpoint was under way: it is not whole alone
            return True
        finally:
            db.close()


def _flip(path: Path, at: int, bit: int) -> bool:
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))
    return True


def _put_back(kept: Path, data: Path) -> None:
    for path in data.iterdir():
        path.unlink()
    for path in kept.iterdir():
        shutil.copy2(path, data)


@dataclass
class OlderLog:
    """A log restored from an older copy under a newer mark: refused, not taken for what was acknowledged."""

    row: str = "restore of older state"
    aims: tuple[str, ...] = ("an older log was refused",)

    def strike(self, stage: Stage) -> None:
        data, older, newer = stage.copy.data, stage.scratch / "data.older", stage.scratch / "data.newer"
        stage.wait_progress()
        assert stage.copy.organization.stop() == 0
        shutil.copytree(data, older)
        stage.copy.organization.start()
        stage.wait_progress()
        stage.kill(stage.copy)
        shutil.copytree(data, newer)
        try:
            _put_back(older, data)
            shutil.copy2(newer / MARK_FILE, data)
            refusal = stage.copy.organization.refused()
            assert refusal.code == CODE, refusal
            assert "transactions" in refusal.sentence, refusal
            stage.counters.sometimes(self.aims[0])
        finally:
            _put_back(newer, data)
            shutil.rmtree(older)
            shutil.rmtree(newer)

    def heal(self, stage: Stage) -> None:
        stage.recover()


@dataclass
class OlderState:
    """The state directory of an earlier moment (revocations, audit head, member) beside a log that went on: resumes."""

    victim: str
    row: str = "restore of older state"

    @property
    def aims(self) -> tuple[str, ...]:
        return (f"went on with an older state directory ({self.victim})",)

    def strike(self, stage: Stage) -> None:
        site = named(stage, self.victim)
        older = stage.scratch / "state.older"
        stage.wait_progress()
        shutil.copytree(site.state, older)
        stage.wait_progress()
        stage.kill(site)
        shutil.rmtree(site.state)
        older.rename(site.state)

    def heal(self, stage: Stage) -> None:
        stage.recover()
        site = named(stage, self.victim)
        wait_for("the gateway to run", lambda: site.organization.process is not None)
        stage.counters.sometimes(self.aims[0])
