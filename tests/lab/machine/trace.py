"""What a program did to its files, step by step, and what a disk may hold of it after the power failed.

A write that was not synced may be on the disk, or not, or some of its sectors of 512 bytes; independently of every
other. A removal and a change of a file's length are seen by what comes after them; what was synced is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

SECTOR = 512


@dataclass(frozen=True, slots=True)
class Step:
    """`what`: write, sync, cut (to `offset` bytes), remove, or note (no file: `data` was promised to somebody)."""

    what: str
    file: str = ""
    offset: int = 0
    data: bytes = b""


@dataclass(slots=True)
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Step] = field(default_factory=list)


class Disk:
    """Steps are applied one after the other; `files` is what is left if the power fails now."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self.notes: list[bytes] = []

    def apply(self, step: Step) -> None:
        if step.what == "note":
            self.notes.append(step.data)
        elif step.what == "remove":
            self._files.pop(step.file, None)
        elif step.what == "sync":
            self._sync(self._file(step.file))
        else:
            self._file(step.file).pending.append(step)

    @property
    def unsynced(self) -> int:
        return sum(len(file.pending) for file in self._files.values())

    def whole(self) -> dict[str, bytes]:
        """As after the death of the process alone: every step has come to pass."""
        return {name: bytes(_played(file, file.pending)) for name, file in self._files.items()}

    def synced(self) -> dict[str, bytes]:
        """Nothing but what was synced; a file that never was is absent."""
        return {name: bytes(file.durable) for name, file in self._files.items() if file.durable}

    def torn(self, chance: Random) -> dict[str, bytes]:
        """Some of what was not synced, by chance."""
        found = {name: _played(file, _some(file.pending, chance)) for name, file in self._files.items()}
        return {name: bytes(data) for name, data in found.items() if data}

    def _file(self, name: str) -> _File:
        return self._files.setdefault(name, _File())

    def _sync(self, file: _File) -> None:
        file.durable = _played(file, file.pending)
        file.pending.clear()


def write_files(files: dict[str, bytes], directory: Path) -> None:
    directory.mkdir(parents=True)
    for name, data in files.items():
        (directory / name).write_bytes(data)


def _played(file: _File, steps: Sequence[Step]) -> bytearray:
    data = bytearray(file.durable)
    for step in steps:
        if step.what == "cut":
            del data[step.offset :]
            continue
        data.extend(bytes(max(0, step.offset - len(data))))
        data[step.offset : step.offset + len(step.data)] = step.data
    return data


def _some(steps: Sequence[Step], chance: Random) -> list[Step]:
    kept: list[Step] = []
    for step in steps:
        fate = chance.randrange(3)
        if fate == 0 or (step.what == "cut" and fate == 1):
            kept.append(step)
        elif fate == 1:
            kept += _sectors(step, chance)
    return kept


def _sectors(step: Step, chance: Random) -> list[Step]:
    """Those of a write that reached the disk. Sectors are those of the file, wherever the write begins."""
    kept, at, end = [], step.offset, step.offset + len(step.data)
    while at < end:
        following = min(end, (at // SECTOR + 1) * SECTOR)
        if chance.random() < 0.5:
            kept.append(Step("write", step.file, at, step.data[at - step.offset : following - step.offset]))
        at = following
    return kept
