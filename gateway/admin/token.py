"""The admin token: random, made at first start, in a file that only its owner can read.

The file may hold two tokens, one a line: both are valid, the first is the one that the CLI sends, so that rotation
needs no restart. It is read again for each request that arrives after it changed.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from certs.files import create_whole
from mesh.errors import OperatorError

TOKEN_NAME = "admin.token"
"""In the state directory."""
MAX_TOKENS = 2


@dataclass(eq=False)
class TokenFileUnsafe(OperatorError):
    path: str
    why: str

    code: ClassVar[str] = "token-file-unsafe"
    sentence: ClassVar[str] = "the token file {path} is not used: {why}"
    hint: ClassVar[str] = "make it a regular file of this user with mode 0600, or remove it: a new one is made"


class TokenFile:
    """The valid tokens of the file at `path`, created with one random token if absent. Call it for the tokens."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int] | None = None
        self._tokens: tuple[str, ...] = ()
        create(self.path)
        self()

    def __repr__(self) -> str:
        return f"<TokenFile {self.path}>"

    def __call__(self) -> tuple[str, ...]:
        """Raises TokenFileUnsafe."""
        status = check(self.path)
        version = (status.st_mtime_ns, status.st_ino)
        if version != self._seen:
            self._tokens = tuple(self.path.read_text().split()[:MAX_TOKENS])
            self._seen = version
        return self._tokens


def create(path: Path) -> None:
    """Write a fresh token unless the file is there: the creation is exclusive, so two starts agree on one.

    It is whole or absent: an empty file, left by a start that was killed, would lock everybody out for good.
    """
    with suppress(FileExistsError):
        create_whole(path, f"{secrets.token_urlsafe(32)}\n".encode(), 0o600)


def check(path: Path) -> os.stat_result:
    try:
        status = path.lstat()
    except OSError as error:
        raise TokenFileUnsafe(str(path), "it cannot be read") from error
    if not stat.S_ISREG(status.st_mode):
        raise TokenFileUnsafe(str(path), "it is not a regular file")
    if status.st_uid != os.geteuid():
        raise TokenFileUnsafe(str(path), "it belongs to another user")
    if status.st_mode & 0o077:
        raise TokenFileUnsafe(str(path), f"others may read it, its mode is {stat.S_IMODE(status.st_mode):04o}")
    return status
