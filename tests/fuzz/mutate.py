"""Mutations that know a little of their input: bytes, JSON documents, and messages of tagged fields.

A. Everything comes from the `Random` that is given: the same seed gives the same mutants.
B. A mutant is at most MAX_GROWTH_BYTES longer than what it was made of.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

MAX_GROWTH_BYTES = 1 << 16

EDGES = (
    0, 1, -1, 2, -2, 3, 9, 63, 64, 127, 128, 255, 256, 16383, 16384, (1 << 31) - 1, 1 << 31, -(1 << 31),
    (1 << 32) - 1, 1 << 32, (1 << 56) - 1, 1 << 56, (1 << 62), (1 << 63) - 1, -(1 << 63), 1 << 63, (1 << 64) - 1,
)  # fmt: skip
"""Where counts, sizes and times change their meaning."""
_TEXTS = (
    "", " ", ".", "..", "../../etc/passwd", "a" * 249, "a" * 250, "a" * 5000, "\x00", "a\x00b", "%2e%2e", "\u202egnp",
    "\ud800", "é", "\n", "\x1b[31m", "__consumer_offsets", "_mesh.control", "*", "a*b*c", "1e400", "-0", "NaN",
    "2026-13-45T99:99:99Z", "2026-01-01T00:00:00Z", "9" * 400, "٣", "acme.example", "ACME.example", "acme.example/x",
    "spiffe://acme.example/gateway/g", "127.0.0.1:9", "[::1]:9", "0:0", "@1:-1", "timestamp:1e9", "offset:-1",
)  # fmt: skip
_DEEP = 3000
"""Brackets within brackets: more than a recursion can take, less than a read would refuse."""


def mutated(data: bytes, random: Random) -> bytes:
    """`data` with one to four changes of its bytes."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        random.choice(_BYTES)(out, random)
    return bytes(out)


def _flip(out: bytearray, random: Random) -> None:
    if out:
        out[random.randrange(len(out))] ^= 1 << random.randrange(8)


def _set(out: bytearray, random: Random) -> None:
    if out:
        out[random.randrange(len(out))] = random.choice((0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF, random.randrange(256)))


def _cut(out: bytearray, random: Random) -> None:
    del out[random.randrange(len(out) + 1) :]


def _drop(out: bytearray, random: Random) -> None:
    at = random.randrange(len(out) + 1)
    del out[at : at + random.choice((1, 2, 4, 8, 40))]


def _insert(out: bytearray, random: Random) -> None:
    at = random.randrange(len(out) + 1)
    out[at:at] = random.randbytes(random.choice((1, 2, 4, 16)))


def _repeat(out: bytearray, random: Random) -> None:
    at = random.randrange(len(out) + 1)
    piece = bytes(out[at : at + random.choice((1, 4, 30, 100))])
    out[at:at] = piece * random.choice((1, 2, 20))


def _number(out: bytearray, random: Random) -> None:
    """A number of one, two, four or eight bytes overwritten by one at an edge."""
    size = random.choice((1, 2, 4, 8))
    if len(out) >= size:
        at = random.randrange(len(out) - size + 1)
        value = random.choice(EDGES) & ((1 << 8 * size) - 1)
        out[at : at + size] = value.to_bytes(size, random.choice(("big", "little")))


_BYTES: tuple[Callable[[bytearray, Random], None], ...] = (
    _flip, _flip, _set, _set, _number, _cut, _drop, _insert, _repeat,
)  # fmt: skip


def mutated_json(text: bytes, random: Random) -> bytes:
    """A JSON document with one to three of its places changed; now and then its text instead."""
    if random.random() < 0.15:
        return mutated(text, random)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):  # it was changed before
        return mutated(text, random)
    for _ in range(random.choice((1, 1, 2, 3))):
        document = _changed(document, random)
    # lone surrogates may stand in JSON as escapes only
    return json.dumps(document, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")


def _changed(value: Any, random: Random, depth: int = 0) -> Any:
    """`value` with one place in it changed, at any depth."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        return _changed_object(value, random, depth)
    if isinstance(value, list) and value and random.random() < 0.85:
        return _changed_list(value, random, depth)
    if isinstance(value, str) and random.random() < 0.5:
        return _changed_text(value, random)
    if type(value) is int and random.random() < 0.6:
        return random.choice((value + 1, value - 1, -value, random.choice(EDGES)))
    return any_value(random)


def _changed_object(value: dict[str, Any], random: Random, depth: int) -> dict[str, Any]:
    name = random.choice(list(value))
    kind = random.random()
    if kind < 0.7:
        return value | {name: _changed(value[name], random, depth + 1)}
    if kind < 0.82:
        return {key: held for key, held in value.items() if key != name}
    if kind < 0.9:
        return value | {random.choice((*_TEXTS, name + "s", name.upper())): any_value(random)}
    return value | {name: value[random.choice(list(value))]}


def _changed_list(value: list[Any], random: Random, depth: int) -> list[Any]:
    at = random.randrange(len(value))
    kind = random.random()
    if kind < 0.6:
        return [*value[:at], _changed(value[at], random, depth + 1), *value[at + 1 :]]
    if kind < 0.75:
        return value[:at] + value[at + 1 :]
    if kind < 0.9:
        return value[:at] + [value[at]] * random.choice((2, 3, 40)) + value[at:]
    return [*value, any_value(random)]


def _changed_text(value: str, random: Random) -> str:
    at = random.randrange(len(value) + 1)
    kind = random.random()
    if kind < 0.3:
        return value[:at] + random.choice(_TEXTS) + value[at:]
    if kind < 0.6:
        return value[:at] + value[at + 1 :]
    if kind < 0.8:
        return value[:at] + random.choice("0aZ=+/-_.:\x00é\ud800\n ") + value[at + 1 :]
    return value[:at]


def any_value(random: Random, depth: int = 0) -> Any:
    kind = random.randrange(12)
    if kind < 4:
        return random.choice(EDGES)
    if kind < 7:
        return random.choice(_TEXTS)
    if kind == 7:
        return random.choice((True, False, None))
    if kind == 8:
        return random.choice((1.5, -0.0, 1e308, float("inf"), float("nan")))
    if kind == 9 and depth < 3:
        return [any_value(random, depth + 1) for _ in range(random.randrange(4))]
    if kind == 10 and depth < 3:
        return {random.choice(_TEXTS): any_value(random, depth + 1) for _ in range(random.randrange(3))}
    return random.choice((10**30, -(10**30), [], {}))


def deep(random: Random) -> bytes:
    """Brackets within brackets."""
    opened = random.choice((b"[", b'{"a":', b'[{"a":'))
    return opened * random.choice((_DEEP, 20 * _DEEP))
