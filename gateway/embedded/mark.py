"""The mark: how many transactions this log has made durable, kept beside it, so that none can vanish unseen.

SQLite reads its write-ahead log up to the first frame that does not fit its checksum, which is right after a power
loss (what was never synced is torn) and wrong after damage: then transactions that were acknowledged would be gone
without a word. So the log counts its transactions, and the count is written here after each was synced.
A. The mark never says more than what is durable, for it is written later; it is not synced, so it may say less.
B. A log that holds fewer transactions than its mark has lost some: it is not opened.
C. A mark that is absent or cannot be read says nothing: only one that is whole is believed.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path

import crc32c

from gateway.embedded.errors import LogUnusable

MARK_FILE = "log.mark"
"""In the directory of the log."""
_MARK = struct.Struct(">4sQI")
_MAGIC = b"mark"


class Mark:
    def __init__(self, path: Path) -> None:
        """Raises LogUnusable."""
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LogUnusable(str(path.parent), str(error)) from error

    def write(self, commits: int) -> None:
        # A full disk keeps the older mark, which is true as well.
        with suppress(OSError):
            os.pwrite(self._descriptor, _packed(commits), 0)

    def close(self) -> None:
        os.close(self._descriptor)


def read_mark(path: Path) -> int:
    """The transactions that were durable; 0 where the mark says nothing. Raises LogUnusable."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise LogUnusable(str(path.parent), str(error)) from error
    if len(data) != _MARK.size:
        return 0
    commits = int(_MARK.unpack(data)[1])
    return commits if data == _packed(commits) else 0


def _packed(commits: int) -> bytes:
    count = struct.pack(">Q", commits)
    return _MARK.pack(_MAGIC, commits, crc32c.crc32c(_MAGIC + count))
