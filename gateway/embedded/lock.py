"""The lock of a directory: one writer process, and a file that says who it is.

The kernel's lock on the file is what counts and ends with the process, however that ends; the content is for people.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from gateway.embedded.errors import DirectoryInUse, LogUnusable
from mesh.json_text import read_json

LOCK_FILE = "lock"


class DirectoryLock:
    """Held from construction to `release`. Raises DirectoryInUse, or LogUnusable where the file cannot be made."""

    def __init__(self, directory: Path, now_ms: int) -> None:
        self._descriptor = _opened(directory / LOCK_FILE)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write_holder(self._descriptor, now_ms)
        except BlockingIOError as error:
            holder = _holder(self._descriptor, directory)
            os.close(self._descriptor)
            raise holder from error
        except OSError as error:
            os.close(self._descriptor)
            raise LogUnusable(str(directory), str(error)) from error

    def release(self) -> None:
        """The file stays: removing it would let two processes lock two files of one name."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LogUnusable(str(path.parent), str(error)) from error


def _write_holder(descriptor: int, now_ms: int) -> None:
    since = datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(timespec="seconds")
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode() + b"\n", 0)


def _holder(descriptor: int, directory: Path) -> DirectoryInUse:
    # The holder may be about to write its name: then the lock still stands, only the name is missing.
    said: object = None
    with suppress(ValueError):
        said = read_json(os.pread(descriptor, 4096, 0))
    holder = said if isinstance(said, dict) else {}
    return DirectoryInUse(
        str(directory), holder.get("pid", 0), holder.get("host", "unknown"), holder.get("since", "unknown")
    )
