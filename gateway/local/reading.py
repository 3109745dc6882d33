"""Reading a topic for an application: from positions on, committed records only, as they come in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence

from gateway.local.values import Begun, PartitionRecords


class Reading:
    """One reader's way through a topic: `async for parts in reading`, each what makes one reply.

    Who passes on what it gave does so within `taken`, so that a receiver who takes nothing does not hold it for ever.
    """

    begun: Begun

    async def next(self, wait_s: float | None = None) -> Sequence[PartitionRecords] | None:
        """The next records of any partitions, in the order of each; empty where none came within `wait_s`, None at
        the end (`until_end`, `max_records`). May be cancelled. Raises OffsetOutOfRange, TopicAbsent, TopicRecreated,
        LogTruncated, ReaderStalled …"""
        raise NotImplementedError

    async def taken(self, write: Awaitable[object]) -> None:
        """Await `write`. Raises ReaderStalled where it takes `local.stalled_reader_s`; then it was cancelled."""
        raise NotImplementedError

    async def __aiter__(self) -> AsyncIterator[Sequence[PartitionRecords]]:
        while (parts := await self.next()) is not None:
            yield parts
