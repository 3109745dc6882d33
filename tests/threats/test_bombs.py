"""Threat 6: what is sent small to become large costs little, wherever it is opened, and says its name.

The figures are the system's account of a process of its own for each case (`tests.threats.paths`); the table of all of
them is printed by `python -m tests.threats.bomb_table`.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from functools import cache

import pytest
import zstandard

from mesh.batch.records import Record
from tests.support.records import TIMESTAMP_MS, body, framed, varint
from tests.threats.bombs import BOMBS, GZIP, MIB, ZSTD, bomb
from tests.threats.paths import OLD_PATHS, PATHS, Measure, measuring, opens

BOUND_MIB = 64
NAMED = {
    "mirror": {"batch-inflates", "batch-undecodable", "batch-poison", "batch-oversized"},
    "source": {"log-unreadable"},
    "old source": {"log-unreadable"},
    "topic read": {"batch-inflates", "batch-undecodable", "batch-poison"},
    "verify": {"batch-unreadable"},
    "verify old": {"batch-unreadable"},
}
NEW = set(PATHS) - OLD_PATHS
OFTEN = {"mirror", "verify"}
"""The paths for every bomb; the others open by the same means, and get one of each codec."""
ONE_EACH = {"gzip", "xerial blocks", "lz4", "zstd", "zstd of a stated size"}
CASES = [
    (path, name)
    for path in PATHS
    for name, (codec, _) in BOMBS.items()
    if opens(path, codec) and (path in OFTEN or name in ONE_EACH)
]


@pytest.fixture(scope="module")
def measure() -> Iterator[Measure]:
    with measuring() as found:
        yield found


@pytest.mark.parametrize(("path", "name"), CASES)
def test_a_bomb_is_refused_by_name_and_costs_less_than_64_mib(path: str, name: str, measure: Measure) -> None:
    code, cost_mib = measure(path, BOMBS[name][0], bomb(name), 1)
    assert code in NAMED[path]
    assert cost_mib < BOUND_MIB


# --- what unpacks to little, and becomes much where each record is an object


def headers(count: int) -> bytes:
    """A record of empty headers: two zero bytes each."""
    start = body(Record(0, TIMESTAMP_MS, None, None))[:-1]
    return framed(start + varint(count) + bytes(2 * count))


def tiny(count: int) -> bytes:
    """Records of nothing at all."""
    return framed(*(body(Record(at, TIMESTAMP_MS, None, None)) for at in range(count)))


def tiny_messages(count: int) -> bytes:
    """The same as messages of format 1."""
    rest = bytes([1, 0]) + bytes(8) + b"\xff" * 8
    message = (len(rest) + 4).to_bytes(4, "big") + zlib.crc32(rest).to_bytes(4, "big") + rest
    return b"".join(at.to_bytes(8, "big") + message for at in range(count))


MANY = 100_000
SWARM_MIB = 20
SMALL = 3 * MIB
"""So much may come of any input, however small."""
SWARMS: dict[str, tuple[int, Callable[[], bytes], int, set[str], bool]] = {
    "many records": (ZSTD, lambda: zstandard.compress(tiny(MANY)), MANY, NEW, False),
    "many messages": (GZIP, lambda: gzip.compress(tiny_messages(MANY), 1), MANY, OLD_PATHS, False),
    "many headers": (ZSTD, lambda: zstandard.compress(headers(SMALL // 2)), 1, NEW, True),
    "a count that lies": (ZSTD, lambda: zstandard.compress(tiny(1)), (1 << 31) - 1, NEW, True),
    "numbers without end": (ZSTD, lambda: zstandard.compress(b"\xff" * SMALL), 1, NEW, True),
}
"""Codec, compressed records, their count, the paths, and whether they are refused."""
SWARM_CASES = [(path, name) for name, swarm in SWARMS.items() for path in PATHS if path in swarm[3]]


@cache
def packed(name: str) -> bytes:
    return SWARMS[name][1]()


@pytest.mark.parametrize(("path", "name"), SWARM_CASES)
def test_a_swarm_of_small_parts_is_never_all_objects_at_once(path: str, name: str, measure: Measure) -> None:
    codec, _, count, _, refused = SWARMS[name]
    code, cost_mib = measure(path, codec, packed(name), count)
    assert code in (NAMED[path] if refused else {""})
    assert cost_mib < SWARM_MIB
