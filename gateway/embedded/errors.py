"""What the embedded log may raise beyond the ports, and the one place where SQLite's errors become ours."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import apsw

from mesh.cluster_errors import DiskFull
from mesh.errors import CallerError, MeshError, OperatorError

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""The disk, the user's share of it, and what one file of this process may hold: all pass when somebody makes room."""


@dataclass(eq=False)
class DirectoryInUse(OperatorError):
    """Another process writes this log, or is this gateway. `since` is when it took the directory, in UTC."""

    directory: str
    pid: int
    host: str
    since: str

    code: ClassVar[str] = "directory-in-use"
    sentence: ClassVar[str] = "directory {directory} is in use by process {pid} on {host} since {since}"
    hint: ClassVar[str] = "stop that process, or give this gateway a directory of its own"


@dataclass(eq=False)
class LogDamaged(OperatorError):
    path: str
    why: str

    code: ClassVar[str] = "log-damaged"
    sentence: ClassVar[str] = "the log in {path} is damaged: {why}"
    hint: ClassVar[str] = "keep the file for examination and restore the directory from a copy"


@dataclass(eq=False)
class LogTooNew(OperatorError):
    path: str
    version: int
    known: int

    code: ClassVar[str] = "log-too-new"
    sentence: ClassVar[str] = "the log in {path} has format {version}, this gateway knows formats up to {known}"
    hint: ClassVar[str] = "run the gateway version that wrote it, or a newer one"


@dataclass(eq=False)
class LogUnusable(OperatorError):
    """The disk or the operating system refused; nothing of the refused operation was kept."""

    path: str
    why: str

    code: ClassVar[str] = "log-unusable"
    sentence: ClassVar[str] = "the log in {path} cannot be used: {why}"
    hint: ClassVar[str] = "check the disk, the mount and the permissions of the directory"


@dataclass(eq=False)
class TopicConfigRefused(CallerError):
    key: str
    why: str

    code: ClassVar[str] = "topic-config-refused"
    sentence: ClassVar[str] = "topic setting {key!r} is refused: {why}"
    hint: ClassVar[str] = "the embedded log knows the settings listed in the documentation of topics"


@contextmanager
def mapped(path: Path, db: apsw.Connection | None = None) -> Iterator[None]:
    """Everything that SQLite raises inside becomes one of our errors about `path`."""
    try:
        yield
    except apsw.Error as error:
        raise _ours(error, str(path), db) from error


def _ours(error: apsw.Error, path: str, db: apsw.Connection | None) -> MeshError:
    no_space = db is not None and isinstance(error, apsw.IOError) and db.system_errno in _NO_SPACE
    if no_space or isinstance(error, apsw.FullError):
        return DiskFull(path)
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return LogDamaged(path, str(error))
    if isinstance(error, apsw.IOError) and getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_DATA:
        return LogDamaged(path, "a page does not fit its checksum")
    return LogUnusable(path, f"{type(error).__name__}: {error}")
