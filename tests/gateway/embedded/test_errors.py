from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from gateway.embedded.errors import DirectoryInUse, LogDamaged, LogTooNew, LogUnusable, mapped
from mesh.cluster_errors import DiskFull
from mesh.errors import MeshError


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        (apsw.FullError("full"), DiskFull),
        (apsw.CorruptError("torn page"), LogDamaged),
        (apsw.NotADBError("text"), LogDamaged),
        (apsw.IOError("disk I/O error"), LogUnusable),
        (apsw.CantOpenError("no permission"), LogUnusable),
    ],
)
def test_what_sqlite_raises_becomes_ours(foreign: apsw.Error, ours: type[MeshError]) -> None:
    with pytest.raises(ours) as raised, mapped(Path("/data/log.sqlite")):
        raise foreign
    assert raised.value.__cause__ is foreign
    assert "/data/log.sqlite" in str(raised.value)
    assert raised.value.actor == "operator"


def test_what_is_not_of_sqlite_passes() -> None:
    with pytest.raises(ZeroDivisionError), mapped(Path("/data/log.sqlite")):
        raise ZeroDivisionError


def test_sentences() -> None:
    assert str(DirectoryInUse("/data", 7, "edge-1", "2023-11-14T22:13:20+00:00")) == (
        "directory /data is in use by process 7 on edge-1 since 2023-11-14T22:13:20+00:00"
    )
    assert str(LogDamaged("/data/log.sqlite", "torn page")) == "the log in /data/log.sqlite is damaged: torn page"
    assert str(LogTooNew("/data/log.sqlite", 3, 1)) == (
        "the log in /data/log.sqlite has format 3, this gateway knows formats up to 1"
    )
    assert str(LogUnusable("/data/log.sqlite", "no permission")) == (
        "the log in /data/log.sqlite cannot be used: no permission"
    )
