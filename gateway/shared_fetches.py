"""One fetch for all who read a partition side by side: between the lanes that peers read and the cluster.

Strategy: an ask equal to one that is under way waits for its answer; and where several lanes read a partition, what was
fetched of it is kept for a moment, for those who come to the same place a little later. What a lane gets is never more
than an answer that was longer on its way, which it must be able to take from any cluster:

A. An ask names topic id, offset and the leader epoch of the batch before it. These name one history of the log up to
   there (KIP-320), so an answer is what followed in it, for whoever asks the same. Asks that do not know their epoch
   (a lane that begins), name no topic, or do not wait (a look at what was lost) are the cluster's.
B. A lane gets nothing that was asked for before it began, nothing older than `KEPT_S`, and no answer twice: one that
   asks the same again got no further by it. Truncation, retention and a topic created again in the meantime are found
   as by a lane that was that much faster: by its next ask, which names the epoch of what it has read.
C. Batches, last stable offset and aborted transactions stay together as they were answered, so nothing uncommitted
   becomes visible. An answer without batches is never kept: only the cluster says that there is nothing more.
D. Whether a peer may read is not decided here: each lane asks for itself before anything leaves.
E. Who waits for another's ask that fails or is cancelled asks for himself: errors are never shared.
F. What is kept has a bound in bytes and in time, whole buffers counted; nothing is kept for a single lane.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import NamedTuple

from mesh.ids import Partition, TopicId
from mesh.log import Fetched
from mesh.ports import Source

KEPT_S = 1.0
"""Lanes that are further apart than this are in different parts of the log."""


class _Ask(NamedTuple):
    partition: Partition
    topic_id: TopicId
    offset: int
    last_epoch: int


@dataclass(eq=False, slots=True)
class _UnderWay:
    number: int
    done: asyncio.Event = field(default_factory=asyncio.Event)
    answer: Fetched | None = None


class _Kept(NamedTuple):
    number: int
    answer: Fetched
    size_bytes: int
    until_s: float


def _not_counted(answered_by: str) -> None:
    pass


class SharedFetches:
    """Of one cluster. `told` is called with who answered each fetch: `cluster`, or another `lane`'s."""

    def __init__(self, source: Source, most_bytes: int, told: Callable[[str], None] = _not_counted) -> None:
        self.source = source
        self._most_bytes = most_bytes
        self.told = told
        self._numbers = count()
        """In the order of their beginning, of lanes and asks together."""
        self._readers: Counter[Partition] = Counter()
        self._under_way: dict[_Ask, _UnderWay] = {}
        self._kept: dict[_Ask, _Kept] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.kept_bytes = 0

    def __repr__(self) -> str:
        return f"<SharedFetches {len(self._under_way)} under way, {len(self._kept)} kept, {self.kept_bytes} bytes>"

    @contextmanager
    def reading(self, partition: Partition) -> Iterator[Source]:
        """The cluster's log for one lane, which begins now and reads `partition`."""
        self._readers[partition] += 1
        try:
            yield _LaneSource(self)
        finally:
            self._readers[partition] -= 1
            if not self._readers[partition]:
                del self._readers[partition]

    def now(self) -> int:
        """Asks that begin from here on have larger numbers."""
        return next(self._numbers)

    async def fetch(self, since: int, ask: _Ask, max_bytes: int, wait_s: float) -> Fetched:
        """Shared, of asks that began after `since`, or else the cluster's."""
        kept, under_way = self._kept.get(ask), self._under_way.get(ask)
        if kept is not None and kept.number > since and kept.until_s > asyncio.get_running_loop().time():
            self.told("lane")
            return kept.answer
        if under_way is not None and under_way.number > since:
            await under_way.done.wait()
            if under_way.answer is not None:
                self.told("lane")
                return under_way.answer
        return await self._ask(ask, max_bytes, wait_s)

    async def _ask(self, ask: _Ask, max_bytes: int, wait_s: float) -> Fetched:
        """Ask the cluster, on behalf of whoever asks the same meanwhile."""
        self.told("cluster")
        ours = self._under_way[ask] = _UnderWay(next(self._numbers))
        try:
            fetched = await self.source.fetch(
                ask.partition, ask.offset, ask.topic_id, max_bytes, wait_s, ask.last_epoch
            )
            ours.answer = self._keep(ask, ours.number, fetched)
        finally:
            if self._under_way.get(ask) is ours:
                del self._under_way[ask]
            ours.done.set()
        return ours.answer

    def _keep(self, ask: _Ask, number: int, fetched: Fetched) -> Fetched:
        if self._readers[ask.partition] < 2 or not fetched.data:
            return fetched
        size_bytes = memoryview(fetched.data.obj).nbytes
        if size_bytes > 2 * fetched.data.nbytes:  # of an answer to many lanes: it would hold all of it
            fetched = replace(fetched, data=memoryview(bytes(fetched.data)))
            size_bytes = fetched.data.nbytes
        loop = asyncio.get_running_loop()
        self._drop(ask)
        self._kept[ask] = _Kept(number, fetched, size_bytes, loop.time() + KEPT_S)
        self.kept_bytes += size_bytes
        while self.kept_bytes > self._most_bytes:
            self._drop(next(iter(self._kept)))
        if self._timer is None:
            self._timer = loop.call_later(KEPT_S, self._expire)
        return fetched

    def _expire(self) -> None:
        loop, self._timer = asyncio.get_running_loop(), None
        while self._kept and (oldest := next(iter(self._kept.items())))[1].until_s <= loop.time():
            self._drop(oldest[0])
        if self._kept:
            self._timer = loop.call_at(next(iter(self._kept.values())).until_s, self._expire)

    def _drop(self, ask: _Ask) -> None:
        if (kept := self._kept.pop(ask, None)) is not None:
            self.kept_bytes -= kept.size_bytes


class _LaneSource:
    """Implements `mesh.ports.Source` for one lane."""

    def __init__(self, fetches: SharedFetches) -> None:
        self._fetches = fetches
        self._since = fetches.now()
        self._last: _Ask | None = None
        self.range = fetches.source.range
        self.offset_at = fetches.source.offset_at

    async def fetch(
        self,
        partition: Partition,
        offset: int,
        topic_id: TopicId | None,
        max_bytes: int,
        wait_s: float,
        last_epoch: int = -1,
    ) -> Fetched:
        """As the port says, but it may answer more than `max_bytes`, and empty before `wait_s` is over."""
        if topic_id is None or last_epoch < 0 or wait_s <= 0:
            self._fetches.told("cluster")
            return await self._fetches.source.fetch(partition, offset, topic_id, max_bytes, wait_s, last_epoch)
        ask = _Ask(partition, topic_id, offset, last_epoch)
        if ask == self._last:
            self._since = self._fetches.now()
        self._last = ask
        return await self._fetches.fetch(self._since, ask, max_bytes, wait_s)
