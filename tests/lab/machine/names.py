"""A directory of which the power goes: which files it may hold, and what may be in them.

`Recorded` takes the place of the module `os` in the code that writes whole files, passes everything on, and notes what
was synced, named and renamed. Of names that were not synced any part may be on the disk, in any mixture; of a
file's content nothing or a part until it was synced.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from random import Random
from typing import Any


@dataclass(eq=False)
class _Content:
    path: Path
    synced: bytes | None = None


@dataclass
class _Directory:
    """`pending` are names given since the last sync; None takes a name away."""

    synced: dict[str, _Content]
    pending: list[dict[str, _Content | None]] = field(default_factory=list)


class Recorded:
    """One directory, whose files of before are whole."""

    def __init__(self, directory: Path) -> None:
        self._contents = {path.name: _Content(path, path.read_bytes()) for path in directory.iterdir()}
        self._directory = _Directory(dict(self._contents))
        self._open: dict[int, Path] = {}
        self.moments: list[list[dict[str, bytes]]] = [[self._now()]]
        """After each step: every directory that a power loss could leave."""
        self.chance = Random(1)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Any, flags: int, mode: int = 0o777) -> int:
        descriptor = os.open(path, flags, mode)
        self._open[descriptor] = Path(path)
        if flags & os.O_CREAT:
            self._contents[Path(path).name] = content = _Content(Path(path))
            self._name({Path(path).name: content})
        return descriptor

    def fsync(self, descriptor: int) -> None:
        os.fsync(descriptor)
        path = self._open[descriptor]
        if path.is_dir():
            for names in self._directory.pending:
                _apply(self._directory.synced, names)
            self._directory.pending.clear()
        else:
            self._contents[path.name].synced = path.read_bytes()
        self._note()

    def replace(self, source: Any, target: Any) -> None:
        os.replace(source, target)
        content = self._contents.pop(Path(source).name)
        self._contents[Path(target).name] = content
        self._name({Path(source).name: None, Path(target).name: content})

    def link(self, source: Any, target: Any) -> None:
        os.link(source, target)
        self._contents[Path(target).name] = content = self._contents[Path(source).name]
        self._name({Path(target).name: content})

    def _name(self, names: dict[str, _Content | None]) -> None:
        self._directory.pending.append(names)
        self._note()

    def _note(self) -> None:
        self.moments.append(list(self._possible()))

    def _now(self) -> dict[str, bytes]:
        return {name: content.synced or b"" for name, content in self._contents.items()}

    def _possible(self) -> Iterator[dict[str, bytes]]:
        for kept in product([False, True], repeat=len(self._directory.pending)):
            names = dict(self._directory.synced)
            for is_kept, change in zip(kept, self._directory.pending, strict=True):
                if is_kept:
                    _apply(names, change)
            yield {name: self._left(content) for name, content in names.items()}

    def _left(self, content: _Content) -> bytes:
        if content.synced is not None:
            return content.synced
        return self.chance.choice([b"", b"\0" * 20, b"half of wha"])


def _apply(names: dict[str, _Content], change: dict[str, _Content | None]) -> None:
    for name, content in change.items():
        if content is None:
            names.pop(name, None)
        else:
            names[name] = content
