"""Kafka as a `Destination`: compare-and-append by producer id and sequence, and what the log says of a producer.

An append takes its place in its partition's queue at once; a partition whose leader is not known, or no longer, has it
found first. A question is good for the connection that was opened before it; where another has to be opened, the log
must still end where it is known to (`append_queue`). An append is answered when the broker has it on all in-sync
replicas *and* the state entries made from its base offset are stored. If they cannot be stored, the append counts as
unknown: the lane asks the log again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from gateway.kafka.append_queue import MAX_IN_FLIGHT, Append, AppendQueue, fail
from gateway.kafka.appends import LeaderAppends
from gateway.kafka.client import Client, Purpose
from gateway.kafka.offsets import log_end
from gateway.kafka.patience import FIRST_PAUSE_S, patiently
from gateway.kafka.transactions import cut, init_producer
from gateway.kafka.witness import ask_log
from mesh.batch.stamp import Producer, StampedBatch
from mesh.cluster_errors import AppendUnknown, ClusterUnreachable
from mesh.errors import MeshError
from mesh.ids import Partition
from mesh.log import Witnesses
from mesh.ports import StateOf, StateStore


class KafkaDestination:
    """Implements `mesh.ports.Destination`. `lanes` takes the state entries; the store itself appends without any."""

    joins_state = False
    max_in_flight = MAX_IN_FLIGHT

    def __init__(
        self,
        client: Client,
        lanes: StateStore | None = None,
        may_write: Callable[[], bool] = lambda: True,
        purpose: Purpose = Purpose.PRODUCE,
    ) -> None:
        """`may_write` is asked at the moment of each sending."""
        self.lanes = lanes
        self._purpose = purpose
        self._may_write = may_write
        self._client = client
        self._queues: dict[Partition, AppendQueue] = {}
        self._leaders: dict[int, LeaderAppends] = {}

    async def producer(self, name: str = "") -> Producer:
        """Waits for a broker that has just started; raises BrokerRefused, PermissionMissing."""
        return await init_producer(self._client, name)

    async def cut(self, name: str, producer: Producer, partitions: Sequence[Partition]) -> Producer:
        """Takes one offset of each partition, for a marker."""
        return await cut(self._client, name, producer, partitions)

    def append(self, partition: Partition, batch: StampedBatch, state: StateOf | None = None) -> Awaitable[int]:
        """As the port says. Also AppendNotSent, LeaderMoved and ReplicasMissing: then nothing was written."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._client.config.request_timeout_s
        append = Append(partition, batch, state, loop.create_future(), deadline)
        queue = self._queue(partition)
        queue.add(append)
        if queue.leader is not None:
            queue.leader.wake(queue)
        elif not queue.in_flight:
            self._find_leader(queue)
        return append.answer

    async def witness(self, partition: Partition, producer: Producer, from_offset: int) -> Witnesses:
        """Sees every append queued before the call; one that a broken connection left behind may still come in."""
        queue = self._queue(partition)
        await queue.settled()

        async def ask() -> Witnesses:
            await self._reach(queue)
            return await ask_log(self._client, partition, producer, from_offset)

        witnesses = await patiently(self._client, partition, ask, self._client.config.request_timeout_s)
        queue.mended(witnesses.topic_id, witnesses.range.end)
        return witnesses

    async def mend(self, partition: Partition) -> None:
        """For whoever has read the log by himself: what is added from here on is not sent on a guess."""
        queue = self._queue(partition)
        await queue.settled()
        queue.mended()

    def _queue(self, partition: Partition) -> AppendQueue:
        if partition not in self._queues:
            self._queues[partition] = AppendQueue(partition)
        return self._queues[partition]

    def _find_leader(self, queue: AppendQueue, pause_s: float = 0) -> None:
        assert not queue.in_flight, "what is under way is answered first"
        queue.restore()
        if self._client.closed:
            queue.refuse(self._client.gone())
        if queue.waiting and not queue.finding:
            queue.finding = True
            self._client.spawn(self._place(queue, pause_s))

    async def _reach(self, queue: AppendQueue) -> None:
        """Have an open connection to the leader before its log is asked. Raises as `Client.leader` and `connection`."""
        leader = await self._leader(queue.partition)
        if leader is not queue.leader and not queue.in_flight:
            queue.lose_leader()
            queue.leader = leader

    async def _place(self, queue: AppendQueue, pause_s: float) -> None:
        async def find() -> tuple[LeaderAppends, int | None]:
            leader = await self._leader(queue.partition)
            end = None if queue.end is None else await log_end(self._client, queue.partition, timeout_s=0)
            if leader.over:
                raise ClusterUnreachable(leader.connection.address, "its connection broke again")
            return leader, end

        try:
            await asyncio.sleep(pause_s)  # an election takes its time
            leader, end = await patiently(self._client, queue.partition, find, self._client.config.request_timeout_s)
        except MeshError as error:
            queue.refuse(error)
        except BaseException:
            queue.refuse(self._client.gone())
            raise
        else:
            queue.found(leader, end)
        finally:
            queue.finding = False

    async def _leader(self, partition: Partition) -> LeaderAppends:
        _, leader = await self._client.leader(partition)
        connection = await self._client.connection(leader.node, self._purpose)
        found = self._leaders.get(leader.node)
        if found is None or found.over or found.connection is not connection:
            found = self._leaders[leader.node] = LeaderAppends(
                self._client, connection, self._landed, self._moved, self._ended, self._may_write
            )
        return found

    def _moved(self, queue: AppendQueue) -> None:
        self._client.forget(queue.partition.topic)
        self._find_leader(queue, pause_s=FIRST_PAUSE_S)

    def _ended(self, leader: LeaderAppends) -> None:
        for queue in self._queues.values():
            if queue.leader is leader:
                queue.lose_leader()
                self._find_leader(queue)

    def _landed(self, append: Append, base_offset: int) -> None:
        # computed here, in the order of the log; stored together with whatever else waits
        entries = append.state(base_offset) if append.state is not None else {}
        if not entries:
            if not append.answer.done():
                append.answer.set_result(base_offset)
            return
        assert self.lanes is not None, "state entries need a store"
        self._client.spawn(self._store(append, base_offset, self.lanes, entries))

    async def _store(
        self, append: Append, base_offset: int, lanes: StateStore, entries: Mapping[str, bytes | None]
    ) -> None:
        try:
            await lanes.put(entries)
        except MeshError as error:
            fail(append, AppendUnknown(*append.partition, f"its state could not be stored: {error}"))
        except BaseException:
            fail(append, AppendUnknown(*append.partition, "the gateway stops"))
            raise
        else:
            if not append.answer.done():
                append.answer.set_result(base_offset)
