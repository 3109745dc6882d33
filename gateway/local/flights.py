"""What a partition's writer has under way: pieces of requests, the batches they fly in, and what an answer means."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.local.keys import KeyOf
from mesh.batch.records import Record
from mesh.batch.stamp import StampedBatch
from mesh.cluster_errors import ProducerFenced, SequenceRefused
from mesh.errors import MeshError, NetworkError


@dataclass(eq=False, slots=True)
class Piece:
    """Records of a request that go into one batch together. `answer` is where they lie, in the same order."""

    partition: int
    indexes: Sequence[int]
    """Their places in the request."""
    records: list[Record]
    size_bytes: int
    of: KeyOf | None
    answer: asyncio.Future[Sequence[int]]
    sent: bool = False
    """Whether it may be in the log without our knowing."""
    goes_alone: bool = False
    """A batch that it was part of was refused: by itself it is known which one is meant."""

    def give_up(self) -> bool:
        """For whoever waits no longer: whether it will certainly not be appended."""
        if not self.sent and not self.answer.done():
            self.answer.cancel()
        return self.answer.cancelled()

    def land(self, offsets: Sequence[int]) -> None:
        self.sent = False
        if not self.answer.done():
            self.answer.set_result(offsets)

    def fail(self, error: MeshError) -> None:
        self.sent = False
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # whoever waited for it may be gone


class Flight(NamedTuple):
    """A batch under way."""

    pieces: Sequence[Piece]
    batch: StampedBatch
    answer: asyncio.Future[int]


def error_of(flight: Flight) -> BaseException | None:
    return asyncio.CancelledError() if flight.answer.cancelled() else flight.answer.exception()


def is_unknown(flight: Flight) -> bool:
    """Whether a copy of it may be on its way still."""
    error = error_of(flight)
    return not isinstance(error, MeshError) or isinstance(error, NetworkError)


def refusal_of(flight: Flight) -> MeshError | None:
    """Why the log will not take it, whoever writes it and whenever."""
    error = error_of(flight)
    if not isinstance(error, MeshError) or isinstance(error, SequenceRefused | ProducerFenced | NetworkError):
        return None
    return error
