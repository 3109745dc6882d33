"""Every way by which compressed bytes are opened in a gateway, and what it costs at its peak.

    with measuring() as measure:
        code, cost_mib = measure("mirror", GZIP, payload, count)

Each is read in a process of its own, forked from one that has everything loaded and nothing running: the system's
account of the largest memory it ever had, less what it began with, is the cost. What arrives is made before, and not
counted.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeAlias

from gateway.fast_records import check_records_fast
from gateway.topics.lines import format_record
from gateway.topics.read import located
from gateway.verify.decoder import read_batches, read_records
from mesh.batch.limits import DEFAULT_LIMITS
from mesh.batch.validate import sound
from mesh.errors import MeshError
from mesh.lanes.coalesce import JOINED_BYTES, Joining, coalesce
from mesh.lanes.export import cut
from mesh.log import Fetched, LogRange
from mesh.segment import Segment
from tests.support.records import batch_of, resealed

APPEND_TIME = 0x08
ALL = 1 << 40
JOINING = Joining(JOINED_BYTES, DEFAULT_LIMITS.max_batch_bytes, DEFAULT_LIMITS.max_records)


def batch(codec: int, payload: bytes, count: int = 1, attributes: int = 0) -> bytes:
    """A batch with a right CRC around records that are compressed already."""
    return resealed(batch_of(b"", count, attributes=codec | attributes) + payload)


def old_message(codec: int, payload: bytes, count: int = 1) -> bytes:
    """A wrapper of format 1 around `count` messages."""
    body = bytes([1, codec]) + bytes(8) + b"\xff" * 4 + len(payload).to_bytes(4, "big") + payload
    framed = zlib.crc32(body).to_bytes(4, "big") + body
    return (count - 1).to_bytes(8, "big") + len(framed).to_bytes(4, "big") + framed


def answer(data: bytes) -> Fetched:
    return Fetched(memoryview(data), (), LogRange(0, ALL, ALL))


def append_time(codec: int, payload: bytes, count: int = 1) -> bytes:
    """A batch whose records must be opened to be copied, since they carry another time than readers see."""
    return batch(codec, payload, count, APPEND_TIME)


def mirror(data: bytes) -> None:
    """What a partner sends."""
    list(coalesce(sound(memoryview(data), DEFAULT_LIMITS, check_records_fast), JOINING))


def source(data: bytes) -> None:
    """What a broker of ours answers."""
    cut(answer(data), 0, 0, ALL)


def read(data: bytes) -> None:
    """`mesh topic read`."""
    segment = cut(answer(data), 0, 0, ALL)
    assert isinstance(segment, Segment)
    for offset, record in located(segment, DEFAULT_LIMITS):
        format_record(0, offset, record.timestamp_ms, record.key, record.value, record.headers)


def verify(data: bytes) -> None:
    for found in read_batches(memoryview(data)):
        for _ in read_records(found):
            pass


class Way(NamedTuple):
    wrap: Callable[[int, bytes, int], bytes]
    """(codec, compressed records, count) -> what arrives."""
    read: Callable[[bytes], None]


PATHS = {
    "mirror": Way(batch, mirror),
    "source": Way(append_time, source),
    "old source": Way(old_message, source),
    "topic read": Way(batch, read),
    "verify": Way(batch, verify),
    "verify old": Way(old_message, verify),
}
OLD_PATHS = {"old source", "verify old"}


def opens(path: str, codec: int) -> bool:
    """Formats 0 and 1 know no zstd."""
    return not (path in OLD_PATHS and codec > 3)


Measure: TypeAlias = Callable[[str, int, bytes, int], tuple[str, float]]
"""(path, codec, compressed records, their count) -> the code of the error by which reading ends, empty without one, and
its peak in MiB over what was there before."""


@contextmanager
def measuring() -> Iterator[Measure]:
    command = [sys.executable, "-m", "tests.threats.paths"]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
        tempfile.NamedTemporaryFile() as kept,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        given, found = process.stdin, process.stdout

        def measure(path: str, codec: int, payload: bytes, count: int = 1) -> tuple[str, float]:
            Path(kept.name).write_bytes(payload)
            given.write(json.dumps([path, codec, count, kept.name]).encode() + b"\n")
            given.flush()
            code, _, grown = found.readline().decode().partition(" ")
            assert grown, f"the process ended without a word: {path}, {code!r}"
            return code, float(grown)

        try:
            yield measure
        finally:
            process.kill()


def serve() -> None:
    for line in sys.stdin:
        name, codec, count, file = json.loads(line)
        way = PATHS[name]
        data = way.wrap(codec, Path(file).read_bytes(), count)
        give_back()
        child = os.fork()
        if not child:
            code, grown = measured(way, data)
            print(code, grown, flush=True)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            print(flush=True)


def give_back() -> None:
    """Free memory that the C library keeps is the child's, too, and it would cost it nothing."""
    ctypes.CDLL(None).malloc_trim(0)


def measured(way: Way, data: bytes) -> tuple[str, float]:
    code, before = "", peak_mib()
    try:
        way.read(data)
    except MeshError as error:
        code = error.code
    except BaseException as error:
        code = f"({type(error).__name__})"
    return code, round(peak_mib() - before, 1)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    serve()
