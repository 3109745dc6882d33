"""A batch made ready for its place in the destination log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview


class Producer(NamedTuple):
    id: int
    epoch: int


@dataclass(frozen=True, slots=True)
class StampedBatch:
    """A batch ready for its place: base offset 0, our producer, the sequence of its ordinal, CRC done."""

    header: bytes
    payload: Buffer
    producer: Producer
    base_sequence: int
    count: int

    @property
    def size_bytes(self) -> int:
        return len(self.header) + len(self.payload)
