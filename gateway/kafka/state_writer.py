"""The writer of one partition of the lanes' state: it claims, then puts one batch at a time, until its fate is known.

A repeat carries the same producer, sequence and bytes, and nothing is sent behind it: the broker takes it once, and no
older value can come in after a newer one. Memory follows the log: entries are seen by `load` when they are durable.

A claim is the first batch of a new epoch, so of two gateways that claim at once one lands and the other goes one epoch
further; the log tells which is the last. A writer that was silent for a while asks the log whether it is still its
turn, by a clock that goes on while the process or the machine sleeps: a broker may have forgotten who was shut out.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from gateway.kafka.client import Client
from gateway.kafka.destination import KafkaDestination
from gateway.kafka.lease import now_s
from gateway.kafka.line import Appends, Place, encoded, placed
from gateway.kafka.patience import pauses
from gateway.kafka.placing import place_batch
from gateway.kafka.read_on import read_to_end
from gateway.kafka.state_partition import StatePartition
from mesh.batch.stamp import StampedBatch, next_sequence
from mesh.cluster_errors import ClusterUnreachable, ProducerFenced, SequenceRefused, StateMoved
from mesh.errors import MeshError, NetworkError

GROUP_BYTES = 512 << 10
"""Where a batch is full; one put may be larger, up to the topic's max.message.bytes."""
CLAIM_FRESH_S = 30.0
"""For how long after an append of ours nobody is asked whether the claim still holds. Far below
`producer.id.expiration.ms`, for the broker remembers for that long whom it shut out."""
CLAIM_TRIES = 20


def claim_key(partition: int) -> str:
    return f"writer/{partition}"


class _Put(NamedTuple):
    entries: Mapping[str, bytes | None]
    done: asyncio.Future[None]

    @property
    def size_bytes(self) -> int:
        return sum(len(key) + len(value or b"") + 32 for key, value in self.entries.items())


class PartitionWriter:
    """`part` is its partition in memory; `run` is the task that writes."""

    def __init__(
        self, client: Client, destination: KafkaDestination, part: StatePartition, appends: Appends, gateway: str
    ) -> None:
        self.part = part
        self._client = client
        self._destination = destination
        self._appends = appends
        self._gateway = gateway
        self._waiting: deque[_Put] = deque()
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()
        """Held while the log is being written: a claim waits for the batch under way, and the other way round."""
        self._place: Place | None = None
        """Where the next batch of our claim goes; None where there is no claim."""
        self._wrote_s = 0.0
        self._over = False
        self.abandoned: asyncio.Future[None] | None = None
        """The last put that took longer than its maker waited: until it is done, memory may lie behind the log."""

    def __repr__(self) -> str:
        claimed = "claimed" if self.is_claimed else "not claimed"
        return f"PartitionWriter({self.part.partition}, {claimed}, {len(self._waiting)} waiting)"

    @property
    def is_claimed(self) -> bool:
        return self._place is not None

    @property
    def is_sure(self) -> bool:
        """Whether the claim was good a moment ago: then memory is as current as the log."""
        return self.is_claimed and now_s() - self._wrote_s <= CLAIM_FRESH_S

    def looked(self, asked_s: float) -> None:
        """The log was read to its end, not before `asked_s`: it says whether the claim still holds."""
        if self._place is not None and self.part.line.producer != self._place.producer:
            self.release()
        self._wrote_s = max(self._wrote_s, asked_s)

    def queue(self, entries: Mapping[str, bytes | None]) -> asyncio.Future[None]:
        """Done when durable; takes its place in the order now. May be abandoned by whoever waits."""
        put = _Put(entries, asyncio.get_running_loop().create_future())
        if self._over:
            _refuse(put, self._client.gone())
        elif self._place is None:
            _refuse(put, self._moved())
        else:
            self._waiting.append(put)
            self._wake.set()
        return put.done

    def release(self) -> None:
        """What waits is refused; what is under way may still land, until somebody else claims."""
        self._place = None
        while self._waiting:
            _refuse(self._waiting.popleft(), self._moved())

    # Claiming

    async def claim(self) -> None:
        """Raises NetworkError and what the topic refuses us with; there is no claim then."""
        self.release()
        try:
            async with asyncio.timeout(self._client.config.request_timeout_s), self._lock:
                begun_s = now_s()
                self._place = await self._claimed()
                self._wrote_s = begun_s
        except TimeoutError:
            why = f"{self.part.partition} could not be claimed in time"
            raise ClusterUnreachable(self._client.cluster_id, why) from None

    async def _claimed(self) -> Place:
        part = self.part
        for _ in range(CLAIM_TRIES):
            await read_to_end(self._client, [part])
            place = part.line.newer
            landed = await self._landed(place, [(claim_key(part.partition.number), self._gateway.encode())])
            if landed and part.line.producer == place.producer and not part.line.is_ending:
                return place._replace(sequence=part.line.next_sequence)
        raise self._moved()

    async def _landed(self, place: Place, entries: list[tuple[str, bytes | None]]) -> bool:
        """Whether the claim is in the log, which is read to its end."""
        part, token = self.part, self._appends.token()
        with part.watching(token):
            batch = encoded(token, _now_ms(), entries)
            await place_batch(self._client, self._destination, part.partition, batch, place)
            await read_to_end(self._client, [part])
            return token in part.seen

    # Putting

    async def run(self) -> None:
        group: list[_Put] = []
        try:
            while True:
                await self._wake.wait()
                async with self._lock:
                    group = self._gather()
                    if group:
                        await self._write(group)
        finally:
            self._over = True
            for put in [*group, *self._waiting]:
                _refuse(put, ClusterUnreachable(str(self.part.partition), "the gateway stops"))

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
        entries = [item for put in group for item in put.entries.items()]
        try:
            await self._append(entries)
        except MeshError as error:
            for put in group:
                _refuse(put, error)
            return
        for put in group:
            if not put.done.done():
                put.done.set_result(None)

    async def _append(self, entries: list[tuple[str, bytes | None]]) -> None:
        """Raises what cannot be helped by trying again: StateMoved, OperatorError, TopicAbsent."""
        if now_s() - self._wrote_s > CLAIM_FRESH_S:
            await self._ask()
        place, token = self._place, self._appends.token()
        if place is None:
            raise self._moved()
        try:
            with self.part.watching(token):
                await self._put(placed(encoded(token, _now_ms(), entries), place), token, dict(entries))
        except (SequenceRefused, ProducerFenced):
            self.release()
            raise self._moved() from None
        if self._place is place:
            self._place = place._replace(sequence=next_sequence(place.sequence, len(entries)))

    async def _put(self, stamped: StampedBatch, token: bytes, entries: Mapping[str, bytes | None]) -> None:
        """Returns when it is in the log and in memory. Raises SequenceRefused, ProducerFenced where it never will."""
        await self._destination.mend(self.part.partition)
        for pause_s in pauses():
            sent_s = now_s()
            try:
                offset = await self._destination.append(self.part.partition, stamped)
            except (SequenceRefused, ProducerFenced):
                await self._read()
                if token not in self.part.seen:  # else an earlier try of it came in, before whoever took over
                    raise
                return
            except NetworkError:
                await asyncio.sleep(pause_s)
                continue
            if offset == self.part.position:
                self.part.landed(stamped, entries)
            else:
                await self._read()  # somebody else has written here, too
            self._wrote_s = sent_s
            return

    async def _ask(self) -> None:
        asked_s = now_s()
        await self._read()
        self.looked(asked_s)

    async def _read(self) -> None:
        for pause_s in pauses():
            try:
                await read_to_end(self._client, [self.part])
            except NetworkError:
                await asyncio.sleep(pause_s)
            else:
                return

    def _moved(self) -> StateMoved:
        return StateMoved(str(self.part.partition))


def _refuse(put: _Put, error: MeshError) -> None:
    if not put.done.done():
        put.done.set_exception(error)
        put.done.exception()  # seen: whoever gave up waiting does not come back for it


def _now_ms() -> int:
    return int(time.time() * 1000)
