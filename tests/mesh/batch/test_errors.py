from __future__ import annotations

import pickle

import pytest

from mesh.batch import errors
from mesh.errors import MeshError

SAID = [
    (errors.OldFormat(41, 1), "old-format", "operator", "of the old format 1 at offset 41"),
    (errors.LogUnreadable(7, "why"), "log-unreadable", "operator", "cannot be read at offset 7: why"),
    (errors.BatchTruncated(61, 3), "batch-truncated", "peer", "came as 3 bytes where 61 belong to it"),
    (errors.BatchCorrupt(1, 0xABC), "batch-corrupt", "peer", "CRC 0x00000abc where its header states 0x00000001"),
    (errors.BatchOversized("records", 9, 4), "batch-oversized", "peer", "holds 9 records, more than the 4"),
    (errors.BatchInflates("zstd", "space", 10, 99), "batch-inflates", "peer", "10 bytes of zstd need more space than"),
    (errors.BatchUndecodable("lz4", "why"), "batch-undecodable", "peer", "not legal lz4: why"),
    (errors.BatchForbidden(5, "why"), "batch-forbidden", "peer", "(base offset 5) may not be mirrored: why"),
    (errors.BatchPoison(2, 30, "why"), "batch-poison", "peer", "record 2 of a batch, byte 30"),
]


@pytest.mark.parametrize(("error", "code", "actor", "words"), SAID)
def test_an_error_says_what_is_wrong_where_and_who_acts(error: MeshError, code: str, actor: str, words: str) -> None:
    assert (error.code, error.actor, error.retriable) == (code, actor, False)
    assert words in str(error)
    assert error.remedy
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
