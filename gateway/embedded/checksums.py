"""Whether the file of the log is what was written: a checksum in every page, and no page missing.

SQLite's shim keeps the checksum in the last 8 bytes of each page. A page that does not fit its own is not read: whoever
asks gets `LogDamaged` in the place of a wrong answer. What lies behind the end of the file would be read as zeros,
which fit: so a file that is too short is not opened. The write-ahead log has checksums of SQLite's own, and ends where
one does not fit; whether anything durable was behind that end is what `gateway.embedded.mark` knows.

    file header, bytes      write-ahead log: header of 32 bytes    then for each page: 24 bytes, the page
    16  page size, u16       16  salts, 8 bytes                     0  page number, u32
    20  reserved bytes, u8                                          8  salts, 8 bytes
    28  pages, u32
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import apsw
from apsw import sqlite_extra

from gateway.embedded.errors import LogDamaged, LogUnusable

VFS = "cksmvfs"
PAGE_BYTES = 16384
RESERVED_BYTES = 8
"""At the end of a page. The shim checks the pages of files that say so in their header."""
_HEADER = struct.Struct(">16xH2xB7xI")
_FRAME = struct.Struct(">I4x8s8x")
_WAL_HEADER = struct.Struct(">16x8s8x")


def load() -> None:
    """Make the shim known to this process; nothing happens where it is."""
    if VFS not in apsw.vfs_names():
        db = apsw.Connection(":memory:")
        try:
            sqlite_extra.load(db, "cksumvfs")
        finally:
            db.close()


def reserve(db: apsw.Connection) -> None:
    """Leave the room in every page of a file that is yet to be made."""
    count = ctypes.c_int(RESERVED_BYTES)
    db.file_control("main", apsw.SQLITE_FCNTL_RESERVE_BYTES, ctypes.addressof(count))


def check_file(path: Path) -> None:
    """Of a file that is there, the header must promise checksums, and no page be missing.

    Raises LogDamaged, LogUnusable.
    """
    try:
        with path.open("rb") as file:
            header, size_bytes = file.read(_HEADER.size), os.fstat(file.fileno()).st_size
        if header:
            _check(path, header, size_bytes)
    except FileNotFoundError:
        return
    except OSError as error:
        raise LogUnusable(str(path.parent), str(error)) from error


def _check(path: Path, header: bytes, size_bytes: int) -> None:
    if len(header) < _HEADER.size:
        raise LogDamaged(str(path), "its header is cut")
    page_bytes, reserved_bytes, pages = _HEADER.unpack(header)
    if reserved_bytes != RESERVED_BYTES or page_bytes != PAGE_BYTES:
        raise LogDamaged(str(path), "its header does not say that its pages have checksums")
    whole = size_bytes // PAGE_BYTES
    if pages <= whole:
        return
    # A checkpoint that was cut short leaves such a file: then what is missing is in the write-ahead log.
    missing = pages - whole - len({page for page in _pages_ahead(path, page_bytes) if whole < page <= pages})
    if missing:
        raise LogDamaged(str(path), f"{missing} of its {pages} pages are missing")


def _pages_ahead(path: Path, page_bytes: int) -> Iterator[int]:
    """The numbers of the pages in the write-ahead log; its frames of before carry other salts."""
    with suppress(FileNotFoundError), path.with_name(f"{path.name}-wal").open("rb") as file:
        header = file.read(_WAL_HEADER.size)
        salts = _WAL_HEADER.unpack(header)[0] if len(header) == _WAL_HEADER.size else b""
        while len(frame := file.read(_FRAME.size)) == _FRAME.size:
            page, frame_salts = _FRAME.unpack(frame)
            if frame_salts == salts:
                yield page
            file.seek(page_bytes, os.SEEK_CUR)
