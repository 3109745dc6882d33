"""Every way by which compressed bytes are opened in a gateway, and what it costs at its peak.

Each runs in a process of its own, forked from one that has everything loaded: the system's account of the largest
memory it ever had, less what it began with, is the cost. What arrives is made before, and not counted.
"""

from __future__ import annotations

import os
import resource
import zlib
from collections.abc import Callable
from typing import NamedTuple

from gateway.fast_records import check_records_fast
from gateway.topics.lines import format_record
from gateway.topics.read import located
from gateway.verify.decoder import read_batches, read_records
from mesh.batch.limits import DEFAULT_LIMITS
from mesh.batch.validate import validate
from mesh.errors import MeshError
from mesh.lanes.export import cut
from mesh.log import Fetched, LogRange
from mesh.segment import Segment
from tests.support.records import batch_of, resealed

APPEND_TIME = 0x08
ALL = 1 << 40


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
    validate(memoryview(data), DEFAULT_LIMITS, check_records_fast)


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


class Path(NamedTuple):
    wrap: Callable[[int, bytes, int], bytes]
    """(codec, compressed records, count) -> what arrives."""
    read: Callable[[bytes], None]

    def cost(self, codec: int, payload: bytes, count: int = 1) -> tuple[str, float]:
        """The code of the error by which reading ends, empty without one, and its peak in MiB over what was before."""
        data = self.wrap(codec, payload, count)
        return cost(lambda: self.read(data))


PATHS = {
    "mirror": Path(batch, mirror),
    "source": Path(append_time, source),
    "old source": Path(old_message, source),
    "topic read": Path(batch, read),
    "verify": Path(batch, verify),
    "verify old": Path(old_message, verify),
}
OLD_PATHS = {"old source", "verify old"}


def opens(path: str, codec: int) -> bool:
    """Formats 0 and 1 know no zstd."""
    return not (path in OLD_PATHS and codec > 3)


def cost(path: Callable[[], None]) -> tuple[str, float]:
    """As `Path.cost`, of anything."""
    ready, give = os.pipe()
    child = os.fork()
    if not child:
        os._exit(_measured(path, give))
    os.close(give)
    with os.fdopen(ready) as found:
        text = found.read()
    os.waitpid(child, 0)
    code, _, grown = text.partition(" ")
    assert grown, f"the process ended without a word: {text!r}"
    return code, float(grown)


def _measured(path: Callable[[], None], give: int) -> int:
    code = ""
    before = _peak_mib()
    try:
        path()
    except MeshError as error:
        code = error.code
    except BaseException as error:
        code = f"({type(error).__name__})"
    os.write(give, f"{code} {_peak_mib() - before:.1f}".encode())
    return 0


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
