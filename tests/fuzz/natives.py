"""The law of `mesh.batch.native`: compiled or not, the same verdict of any bytes, and never one laxer than `validate`.

What is compiled gets its bytes in memory of exactly their size, so that a sanitizer (`sanitized.py`) sees a byte read
beyond them. FUZZ_NATIVE may name compiled modules, by default the installed one is asked. Those named are also asked of
NEAR inputs a byte away from each mutant, where all must say the same: without the twin that costs little.
"""

from __future__ import annotations

import os
import sys
import zlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from itertools import pairwise
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from crc32c import crc32c

from mesh.batch import native, twin
from mesh.batch.codec import decompress
from mesh.batch.header import CRC_START, HEADER_BYTES, LAYOUT, LENGTH_END, BatchHeader, Codec
from mesh.batch.twin import Admitted, Part
from mesh.batch.validate import validate
from mesh.errors import MeshError
from tests.fuzz.batches import batch_mutant
from tests.fuzz.findings import ACCEPTED, Finding
from tests.fuzz.mutate import EDGES, mutated
from tests.fuzz.reading import LIMITS
from tests.support.records import batch_of
from tests.verifier import batches as judge

NEAR = 50
LARGEST_BLANK = 1 << 20
_I64 = 1 << 63
_TIMES = (0, -1, 1_700_000_000_000, _I64 - 1, -_I64, 1 << 62)


def native_mutant(random: Random) -> bytes:
    """Batches one after another, at offsets that mostly follow each other, sometimes damaged as a whole."""
    joined, offset = b"", 77
    for _ in range(random.choice((1, 1, 2, 3, 5))):
        batch = batch_mutant(random)
        while len(batch) < HEADER_BYTES or (batch[22] & 7 and random.random() < 0.7):  # rather uncompressed ones
            batch = batch_mutant(random)
        if random.random() < 0.9:
            batch = offset.to_bytes(8, "big") + batch[8:]
            offset += max(0, BatchHeader._make(LAYOUT.unpack_from(batch)).records_count)
        joined += batch
    return mutated(joined, random) if random.random() < 0.15 else joined


def blank_mutant(random: Random) -> bytes:
    """A size, and what comes to lie in the buffer."""
    size = random.choice((0, 1, random.randrange(300), random.randrange(1 << 17), -1, random.choice(EDGES)))
    return size.to_bytes(17, "big", signed=True) + random.randbytes(random.randrange(40))


def check_blank(data: bytes) -> str:
    """A buffer of its size is what any `bytearray` is; one that cannot be is refused alike."""
    size, rest = int.from_bytes(data[:17], "big", signed=True), data[17:]
    if LARGEST_BLANK < size < _I64:
        size %= LARGEST_BLANK  # the twin clears it, and how much there is to be had is the machine's affair
    expected = _made(twin, size)
    for of in compiled():
        made = _made(of, size)
        if type(made) is not type(expected) or not isinstance(made, bytearray):
            if made != expected:
                raise Finding(f"blank is {made!r:.100} compiled, {expected!r:.100} in Python, of {size}")
            continue
        _use(made, size, rest)
    return ACCEPTED if isinstance(expected, bytearray) else "refused"


def _made(of: Any, size: int) -> bytearray | type[Exception]:
    try:
        made: bytearray = of.blank(size)
    except (ValueError, OverflowError, MemoryError) as error:
        return type(error)
    return made


def _use(buffer: bytearray, size: int, rest: bytes) -> None:
    """All of it is read and written, then it grows and shrinks: a sanitizer sees where it is not what it seems."""
    filled = (rest * (size // max(1, len(rest)) + 1))[:size] if rest else bytes(size)
    if (read := len(bytes(buffer))) != size:
        raise Finding(f"a blank buffer of {size} bytes has {read}")
    memoryview(buffer)[:] = filled
    buffer += rest
    del buffer[: len(rest) // 2]
    if buffer != (filled + rest)[len(rest) // 2 :]:
        raise Finding(f"a blank buffer of {size} bytes does not hold what was put into it")


def check_native(data: bytes) -> str:
    random = Random(zlib.crc32(data))
    admitted = _admitted(data, random)
    _stretches(data, random)
    parts = list(_parts(data))
    for payload, count, base in (*parts, (data, 2, 0)):
        _same("are_records", payload, count, base)
        _same("are_records", payload, count + random.randrange(-1, 2), random.choice(_TIMES))
    several = random.choices(parts, k=random.randrange(4)) if parts else []
    if random.random() < 0.5:
        several = [(payload, count, random.choice(_TIMES)) for payload, count, _ in several]
    _merged(several)
    end = admitted[-1].at + admitted[-1].size_bytes if admitted else 0
    _is_refused(data[end:])
    if os.environ.get("FUZZ_NATIVE"):
        _near(data, random)
    return ACCEPTED if admitted and end == len(data) else "some" if admitted else "none"


@cache
def compiled() -> Sequence[ModuleType]:
    paths = filter(None, os.environ.get("FUZZ_NATIVE", "").split(os.pathsep))
    return [_loaded(path) for path in paths] or [native]


def _loaded(path: str) -> ModuleType:
    """The extension in that file, beside any other that is built of the same source."""
    name = f"{Path(path).stem.partition('.')[0]}._native"
    spec = spec_from_loader(name, ExtensionFileLoader(name, path))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _parts(data: bytes) -> Iterator[Part]:
    """What each batch holds, uncompressed where that can be told, with the count and the base that it states."""
    for at, end in _places(data):
        header = BatchHeader._make(LAYOUT.unpack_from(data, at))
        payload = data[at + HEADER_BYTES : end]
        with suppress(MeshError):
            payload = decompress(header.codec, payload, LIMITS)
        yield payload, header.records_count, header.base_timestamp_ms


def _admitted(data: bytes, random: Random) -> list[Admitted]:
    found: list[Admitted] = _same("admitted", data, LIMITS.max_batch_bytes, LIMITS.max_records)
    for one in found:
        if one.codec == Codec.NONE:
            validate(memoryview(data)[one.at : one.at + one.size_bytes], LIMITS)
    _same("admitted", data, random.choice((0, 61, 100, len(data), random.choice(_TIMES))), random.randrange(-1, 9))
    return found


def _stretches(data: bytes, random: Random) -> None:
    size, total = int.from_bytes(data[8:LENGTH_END], "big", signed=True) + LENGTH_END, len(data)
    for at in (0, size, random.randrange(-1, total + 2)):
        offset = int.from_bytes(data[max(0, at) :][:8], "big", signed=True)
        position = offset ^ (random.random() < 0.1)
        stable = random.choice((_I64 - 1, offset + random.randrange(9), random.choice(EDGES)))
        limit = random.choice((total, 0, total // 2, random.choice(_TIMES)))
        numbers = (min(max(number, -_I64), _I64 - 1) for number in (position, stable, limit))
        _same("stretch", data, at, *numbers, random.random() < 0.5)


def _merged(parts: Sequence[Part]) -> None:
    """The records of the parts, by a reader that shares no code with them."""
    out = _same("merged", parts)
    if isinstance(out, bytes) and parts:
        total = sum(count for _, count, _ in parts)
        before = [record for payload, count, base in parts for record in _judged(payload, count, base)]
        after = _judged(out, total, parts[0][2])
        if [record[1:] for record in after] != [record[1:] for record in before]:
            raise Finding(f"merged records are {after!r:.500} where they were {before!r:.500}")
        if any(second[0] != first[0] + 1 for first, second in pairwise(after)):
            raise Finding("merged records do not follow each other")


def _judged(payload: Any, count: int, base: int) -> list[tuple[Any, ...]]:
    if not count:
        return []
    records = judge.decode(batch_of(bytes(payload), count, base_timestamp_ms=base)).records
    return [(r.offset, r.timestamp_ms, r.key, r.value, r.headers) for r in records]


def _near(data: bytes, random: Random) -> None:
    exact, places = array("B", data), list(_places(data))
    for _ in range(NEAR if places else 0):
        at, end = random.choice(places)
        spot = random.randrange(at, end)
        before = exact[at:end]
        exact[spot] = random.choice((0, 1, 2, 0x7F, 0x80, 0xFF, exact[spot] ^ 1 << random.randrange(8)))
        if random.random() < 0.9:
            exact[at + 17 : at + CRC_START] = array("B", crc32c(exact[at + CRC_START : end]).to_bytes(4, "big"))
        header = BatchHeader._make(LAYOUT.unpack_from(exact, at))
        part = (exact[at + HEADER_BYTES : end], header.records_count, header.base_timestamp_ms)
        for step, asked in (
            ("admitted", (exact, LIMITS.max_batch_bytes, LIMITS.max_records)),
            ("stretch", (exact, at, header.base_offset, _I64 - 1, len(exact), True)),
            ("are_records", part),
            ("merged", ([part, part],)),
        ):
            first, *others = (_said(getattr(of, step), asked) for of in compiled())
            if any(other != first for other in others):
                raise Finding(f"{step} differs between builds, for {bytes(exact)!r:.500}")
        exact[at:end] = before


def _places(data: bytes) -> Iterator[tuple[int, int]]:
    """Where each batch begins and ends, by its length."""
    at = 0
    while len(data) - at >= HEADER_BYTES:
        size = int.from_bytes(data[at + 8 : at + LENGTH_END], "big", signed=True) + LENGTH_END
        end = min(at + max(HEADER_BYTES, size), len(data))
        yield at, end
        at = end


def _same(step: str, *asked: Any) -> Any:
    """What all say of it."""
    expected, exact = _said(getattr(twin, step), asked), _exact(asked)
    for of in compiled():
        found = _said(getattr(of, step), exact)
        if found != expected:
            raise Finding(f"{step} is {found!r:.500} compiled, {expected!r:.500} in Python, of {asked[1:]!r:.300}")
    return expected


def _said(step: Callable[..., object], asked: Sequence[Any]) -> object:
    try:
        return step(*asked)
    except ValueError:
        return ValueError


def _exact(asked: Sequence[Any]) -> list[Any]:
    """The same, each buffer in memory of exactly its size: after `bytes` there is one byte more."""
    first, *rest = asked
    if isinstance(first, bytes):
        return [array("B", first), *rest]
    return [[(array("B", payload), count, base) for payload, count, base in first], *rest]


def _is_refused(data: bytes) -> None:
    """The batch at which it stopped is one that `validate` refuses, too."""
    if len(data) < HEADER_BYTES:
        return
    size = int.from_bytes(data[8:LENGTH_END], "big", signed=True) + LENGTH_END
    if not HEADER_BYTES <= size <= len(data):
        return
    try:
        validate(memoryview(data)[:size], LIMITS)
    except MeshError:
        return
    raise Finding("a batch that is right was passed over")
