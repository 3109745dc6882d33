"""Files that are whole or absent, however a write ends.

A. The content is written beside its place under a name nobody can guess, synced, given its name, the directory synced.
B. The mode is that of the file from its first byte on.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def create_whole(path: Path, data: bytes, mode: int) -> None:
    """A new file: of two writers one wins. Raises FileExistsError, OSError."""
    _place(path, data, mode, os.link)


def replace_whole(path: Path, data: bytes, mode: int) -> None:
    """A file in the place of what was there, if anything was. Raises OSError."""
    _place(path, data, mode, os.replace)


def sync_directory(path: Path) -> None:
    """What was named, renamed or removed in it is durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _place(path: Path, data: bytes, mode: int, name: Callable[[Path, Path], None]) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write_new(temporary, data, mode)
        name(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)  # what the umask took from a certificate; a key has nothing to lose to it
        file.write(data)
        file.flush()
        os.fsync(descriptor)
