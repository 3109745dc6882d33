"""The writer of one partition of a state topic: one batch under way, repeated until its outcome is known.

A repeat carries the same producer, sequence and bytes, and nothing is sent behind it: the broker takes it once, and no
older value can come in after a newer one. Memory follows the log: entries are seen by `load` when they are durable.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from gateway.kafka.destination import KafkaDestination
from gateway.kafka.patience import pauses
from mesh.batch.encode import encode
from mesh.batch.records import Record
from mesh.batch.stamp import Producer, StampedBatch, next_sequence, restamp
from mesh.cluster_errors import ClusterUnreachable, ProducerFenced, SequenceRefused
from mesh.errors import MeshError, NetworkError
from mesh.ids import Partition

GROUP_BYTES = 512 << 10
"""Where a batch is full; one put may be larger, up to the topic's max.message.bytes."""


class _Put(NamedTuple):
    entries: Mapping[str, bytes | None]
    done: asyncio.Future[None]

    @property
    def size_bytes(self) -> int:
        return sum(len(key) + len(value or b"") + 32 for key, value in self.entries.items())


class PartitionWriter:
    """`entries` is the store's memory, of all partitions; `run` is the task that writes."""

    def __init__(self, destination: KafkaDestination, partition: Partition, entries: dict[str, bytes]) -> None:
        self._destination = destination
        self._partition = partition
        self._entries = entries
        self._waiting: deque[_Put] = deque()
        self._wake = asyncio.Event()
        self._producer: Producer | None = None
        self._sequence = 0
        self._over = False

    def __repr__(self) -> str:
        return f"PartitionWriter({self._partition}, {len(self._waiting)} waiting)"

    def queue(self, entries: Mapping[str, bytes | None]) -> asyncio.Future[None]:
        """Done when durable; takes its place in the order now. May be abandoned by whoever waits."""
        put = _Put(entries, asyncio.get_running_loop().create_future())
        if self._over:
            _refuse(put, ClusterUnreachable(str(self._partition), "the gateway stops"))
            return put.done
        self._waiting.append(put)
        self._wake.set()
        return put.done

    async def run(self) -> None:
        group: list[_Put] = []
        try:
            while True:
                await self._wake.wait()
                group = self._gather()
                await self._write(group)
        finally:
            self._over = True
            for put in [*group, *self._waiting]:
                _refuse(put, ClusterUnreachable(str(self._partition), "the gateway stops"))

    def _gather(self) -> list[_Put]:
        group: list[_Put] = []
        size = 0
        while self._waiting and (not group or size + self._waiting[0].size_bytes <= GROUP_BYTES):
            put = self._waiting.popleft()
            size += put.size_bytes
            group.append(put)
        if not self._waiting:
            self._wake.clear()
        return group

    async def _write(self, group: list[_Put]) -> None:
        now_ms = int(time.time() * 1000)
        entries = [item for put in group for item in put.entries.items()]
        batch = encode([Record(at, now_ms, key.encode(), value) for at, (key, value) in enumerate(entries)])
        try:
            await self._append(batch)
        except MeshError as error:
            for put in group:
                _refuse(put, error)
            return
        for key, value in entries:
            if value is None:
                self._entries.pop(key, None)
            else:
                self._entries[key] = value
        for put in group:
            if not put.done.done():
                put.done.set_result(None)

    async def _append(self, batch: bytes) -> None:
        """Raises what cannot be helped by trying again: OperatorError, TopicAbsent."""
        for pause_s in pauses():
            try:
                stamped = await self._stamp(batch)
                await self._destination.append(self._partition, stamped)
            except (SequenceRefused, ProducerFenced):
                self._producer = None  # the broker lost what it knew of us; nothing of ours is under way
            except NetworkError:
                await asyncio.sleep(pause_s)
            else:
                self._sequence = next_sequence(stamped.base_sequence, stamped.count)
                return

    async def _stamp(self, batch: bytes) -> StampedBatch:
        if self._producer is None:
            self._producer, self._sequence = await self._destination.producer(), 0
        return restamp(batch, self._producer, self._sequence)


def _refuse(put: _Put, error: MeshError) -> None:
    if not put.done.done():
        put.done.set_exception(error)
        put.done.exception()  # seen: whoever gave up waiting does not come back for it
