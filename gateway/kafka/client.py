"""The cluster as the adapter sees it: its brokers and topics, cached, and one connection per broker and purpose.

Connections are opened when first needed and anew when they broke; only who needs one waits for it. A purpose keeps a
connection to itself because Kafka answers each connection in order: a long poll must not hold up an append.
Metadata is asked for topic by topic and kept until somebody finds it stale (`forget`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from kio.schema.metadata.v12 import MetadataRequest, MetadataResponse
from kio.schema.metadata.v12.request import MetadataRequestTopic
from kio.schema.types import TopicName as KafkaTopicName
from kio.static.protocol import RequestPayload, ResponsePayload

from gateway.address import Address
from gateway.kafka.codes import Code, request_error
from gateway.kafka.config import KafkaConfig
from gateway.kafka.connection import Connection
from gateway.kafka.dial import dial
from gateway.kafka.errors import LeaderMoved
from gateway.kafka.messages import call
from gateway.kafka.metadata import Brokers, Leader, TopicMetadata, brokers_of, topic_of
from mesh.cluster_errors import ClusterUnreachable, PartitionAbsent
from mesh.ids import Partition

Response = TypeVar("Response", bound=ResponsePayload)
Entry = TypeVar("Entry")
ANY_BROKER = -1
REFUSED_S = 0.1
"""How long a broker that could not be reached is left alone: a thousand lanes shall not each knock."""
FRESH_S = 0.02
"""Shorter than the first pause before a new try, so that whoever tries again does get a new answer."""


METADATA_S = 10.0
"""Any broker can tell who leads: one that is frozen is not waited for as long as one that holds our data."""


class Purpose(StrEnum):
    CONTROL = "control"
    GROUP = "group"
    """A member waits for the others there."""
    FETCH_HOT_A = "fetch-hot-a"
    FETCH_HOT_B = "fetch-hot-b"
    FETCH_COLD_A = "fetch-cold-a"
    FETCH_COLD_B = "fetch-cold-b"
    FETCH_COLD_C = "fetch-cold-c"
    PRODUCE = "produce"
    PUBLISH = "publish"
    """Of applications: what they append shall wait for no lane."""


class Client:
    """`tasks` owns whatever goes on in the background; `close` ends it. Call `start` before anything else."""

    def __init__(self, config: KafkaConfig, context: ssl.SSLContext | None, tasks: asyncio.TaskGroup) -> None:
        self.config = config
        self._tasks = tasks
        self._background: set[asyncio.Task[None]] = set()
        self._tls = context
        self.closed = False
        self._brokers = Brokers("")
        self._topics: dict[str, TopicMetadata] = {}
        self._connections: dict[tuple[int, Purpose], Connection] = {}
        self._opening: dict[tuple[int, Purpose], asyncio.Lock] = {}
        self._refused: dict[Address, tuple[float, str]] = {}
        self._failed_at: dict[str, float] = {}
        """When an address last did not answer."""
        self._asking: dict[str, asyncio.Lock] = {}
        self._asked_at: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"Client({self._brokers.cluster_id}, {len(self._connections)} connections)"

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    @property
    def cluster_id(self) -> str:
        return self._brokers.cluster_id

    @property
    def nodes(self) -> dict[int, Address]:
        """The brokers that the cluster said are alive, and where it says that they listen."""
        return dict(self._brokers.addresses)

    async def start(self) -> None:
        """Find the cluster. Raises ClusterUnreachable naming the bootstrap brokers, or why they refused us."""
        await self._ask_metadata(())

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` until it ends or the client closes; not to be called after. It may raise nothing."""
        task = self._tasks.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def close(self) -> None:
        """End the background work and every connection; what waits, or comes later, gets ClusterUnreachable."""
        self.closed = True
        for task in self._background:
            task.cancel()
        for connection in self._connections.values():
            connection.abort("the gateway closed it")

    # requests

    async def call(self, request: RequestPayload, response: type[Response], node: int = ANY_BROKER) -> Response:
        """Ask one broker over its control connection; never asks twice. Raises ClusterUnreachable."""
        connection = await (self._any_connection() if node == ANY_BROKER else self.connection(node, Purpose.CONTROL))
        return await self._call(connection, request, response, self.config.request_timeout_s)

    async def _call(
        self, connection: Connection, request: RequestPayload, response: type[Response], timeout_s: float
    ) -> Response:
        try:
            return await call(connection, request, response, timeout_s)
        except ClusterUnreachable:
            self._failed_at[connection.address] = self._now()
            raise

    async def connection(self, node: int, purpose: Purpose) -> Connection:
        """An open connection to a broker. Raises ClusterUnreachable and what `dial` raises."""
        if self.closed:
            raise self.gone()
        key = (node, purpose)
        if (found := self._connections.get(key)) and found.usable:
            return found
        async with self._opening.setdefault(key, asyncio.Lock()):
            if (found := self._connections.get(key)) and found.usable:
                return found
            address = self._brokers.addresses.get(node)
            if address is None:
                raise ClusterUnreachable(self.cluster_id, f"broker {node} is gone")
            return await self._open(key, address)

    async def _open(self, key: tuple[int, Purpose], address: Address) -> Connection:
        refused_at, why = self._refused.get(address, (0.0, ""))
        if self._now() - refused_at < REFUSED_S:
            raise ClusterUnreachable(str(address), why)
        try:
            made = await dial(self.config, address, self._tls)
        except ClusterUnreachable as error:
            self._refused[address] = (self._now(), error.why)
            self._failed_at[str(address)] = self._now()
            raise
        if (old := self._connections.get(key)) and not old.waiting:
            old.abort("its session ended")
        self._connections[key] = made
        return made

    def only(self, entries: Sequence[Entry]) -> Entry:
        """What a broker answers of the one thing asked about. Raises ClusterUnreachable where it is left out."""
        if not entries:
            raise ClusterUnreachable(self.cluster_id, "an answer says nothing of what was asked")
        return entries[0]

    def gone(self) -> ClusterUnreachable:
        """What everybody gets after `close`."""
        return ClusterUnreachable(self.cluster_id, "the gateway closed it")

    async def _any_connection(self) -> Connection:
        if self.closed:
            raise self.gone()
        async with self._opening.setdefault((ANY_BROKER, Purpose.CONTROL), asyncio.Lock()):
            for (_, purpose), connection in self._connections.items():
                if purpose is Purpose.CONTROL and connection.usable:
                    return connection
            return await self._find_broker()

    async def _find_broker(self) -> Connection:
        known = {address: node for node, address in self._brokers.addresses.items()}
        # a bootstrap broker gets a number that no broker has: metadata says later which one it is
        spare = {address: -2 - at for at, address in enumerate(self.config.addresses) if address not in known}
        failures: list[str] = []
        # who failed last comes last: with one of three brokers frozen, every question would begin with a timeout
        for address, node in self._in_order({**known, **spare}):
            try:
                return await self._open((node, Purpose.CONTROL), address)
            except ClusterUnreachable as error:
                failures.append(f"{address}: {error.why}")
        raise ClusterUnreachable(",".join(self.config.bootstrap), "; ".join(failures))

    def _in_order(self, nodes: Mapping[Address, int]) -> list[tuple[Address, int]]:
        return sorted(nodes.items(), key=lambda each: self._failed_at.get(str(each[0]), 0.0))

    # metadata

    async def topic(self, name: str, *, fresh: bool = False) -> TopicMetadata:
        """Raises TopicAbsent, PermissionMissing."""
        if fresh:
            self._topics.pop(name, None)
        elif known := self._topics.get(name):
            return known
        async with self._asking.setdefault(name, asyncio.Lock()):
            if known := self._topics.get(name):
                return known
            answer = await self._ask_metadata((name,))
            try:
                entry = self.only(answer.topics)
                if int(entry.error_code) not in {Code.NONE, Code.LEADER_NOT_AVAILABLE}:
                    raise request_error("describe", name, entry.error_code)
            finally:
                self._asking.pop(name, None)
            self._topics[name] = found = topic_of(entry)
            self._asked_at[name] = self._now()
            return found

    async def all_topics(self) -> list[TopicMetadata]:
        answer = await self._ask_metadata(None)
        return [topic_of(entry) for entry in answer.topics if int(entry.error_code) == Code.NONE]

    async def brokers(self) -> list[int]:
        """The brokers that live now."""
        await self._ask_metadata(())
        return sorted(self._brokers.addresses)

    def forget(self, topic: str) -> None:
        """What is known of a topic proved stale: ask again, unless somebody just did.

        A thousand lanes that lose a leader together would otherwise each throw away what the one before has asked.
        """
        if self._now() - self._asked_at.get(topic, 0) > FRESH_S:
            self._topics.pop(topic, None)

    async def leader(self, partition: Partition) -> tuple[TopicMetadata, Leader]:
        """Raises TopicAbsent, PartitionAbsent, PermissionMissing, and LeaderMoved while there is none."""
        topic = await self.topic(partition.topic)
        if partition.number >= len(topic.leaders):
            topic = await self.topic(partition.topic, fresh=True)  # partitions can be added
        if not 0 <= partition.number < len(topic.leaders):
            raise PartitionAbsent(partition.topic, partition.number, len(topic.leaders))
        leader = topic.leaders[partition.number]
        if leader.node not in self._brokers.addresses:
            self.forget(partition.topic)
            raise LeaderMoved(partition.topic, partition.number)
        return topic, leader

    async def _ask_metadata(self, names: Iterable[str] | None) -> MetadataResponse:
        entries = None
        if names is not None:
            entries = tuple(MetadataRequestTopic(topic_id=None, name=KafkaTopicName(name)) for name in names)
        request = MetadataRequest(
            topics=entries, allow_auto_topic_creation=False, include_topic_authorized_operations=False
        )
        timeout_s = min(METADATA_S, self.config.request_timeout_s)
        answer = await self._call(await self._any_connection(), request, MetadataResponse, timeout_s)
        if answer.brokers:
            self._brokers = brokers_of(answer)
        return answer
