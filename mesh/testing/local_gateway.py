"""A gateway in memory for tests of applications: the real protocol on a port of its own, and no network beyond it.

    with LocalGateway() as gateway:                       # or: async with
        gateway.create_topic("orders")
        gateway.mirror("acme.flights", [b"LH1", b"LH2"])  # what a subscription would have copied
        with gateway.sync_client() as client:
            ...
        assert gateway.records("orders") == [...]

It runs in a thread of its own, so that a test that blocks does not stop it. What is published is kept until the end.
`restart`, `fail_next`, `lose_answer`, `trim` are what happens to an application in production.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

import grpc.aio

from mesh.errors import MeshError
from mesh.local.v1 import local_pb2
from mesh.sdk import codec
from mesh.sdk.client import Client
from mesh.sdk.errors import Answer, error_of
from mesh.sdk.loop_thread import LoopThread
from mesh.sdk.sync import Client as SyncClient
from mesh.sdk.values import Bytes, NewRecord, Record
from mesh.testing.local_service import LocalService
from mesh.testing.local_topics import LocalTopics, Log

Value = TypeVar("Value")
MAX_MESSAGE_BYTES = 64 * 1024 * 1024


class LocalGateway:
    """`address` and `token` are those for a client; `environment` says both to an application that reads it."""

    def __init__(self, *, token: str = "") -> None:
        self.token = token or secrets.token_urlsafe(16)
        self.address = ""
        self._topics = LocalTopics()
        self._service: LocalService
        self._server: grpc.aio.Server | None = None
        self._thread = LoopThread(self._serving(), "mesh-local-gateway")

    def __repr__(self) -> str:
        return f"<LocalGateway {self.address or 'not started'}>"

    def __enter__(self) -> Self:
        self._thread.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.close()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._thread.open)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._thread.close)

    @property
    def environment(self) -> Mapping[str, str]:
        return {"MESH_API": self.address, "MESH_API_TOKEN": self.token}

    def client(self, **options: Any) -> Client:
        """An asyncio client of this gateway."""
        return Client(self.address, **{"token": self.token, **options})

    def sync_client(self, **options: Any) -> SyncClient:
        return SyncClient(self.address, **{"token": self.token, **options})

    # --- what is there

    def create_topic(self, name: str, partitions: int = 1) -> None:
        """Raises IllegalName, TopicExists."""
        self._do(lambda: self._topics.create(name, partitions))

    def grow_topic(self, name: str, partitions: int) -> None:
        """Add partitions until there are so many."""
        self._do(lambda: self._grow(name, partitions))

    def share(self, peer: str, share: str, topics: Mapping[str, int]) -> None:
        """A peer shares topics, by name with their partitions, so that the application may subscribe."""
        offered = [
            local_pb2.SharedTopic(peer=peer, share=share, topic=topic, partitions=partitions)
            for topic, partitions in topics.items()
        ]
        self._do(lambda: self._service.offered.extend(offered))

    def mirror(self, topic: str, records: Iterable[NewRecord | Bytes], partition: int | None = None) -> None:
        """Append as a subscription does; a topic that is not there is made, with one partition."""
        messages = [codec.message_of(codec.as_record(record)) for record in records]
        self._do(lambda: self._mirror(topic, messages, partition))

    def records(self, topic: str, partition: int | None = None) -> list[Record]:
        """What is in a topic, partition by partition."""
        return self._do(lambda: self._records(topic, partition))

    def cursor(self, name: str, topic: str) -> Mapping[int, int]:
        """Where a cursor stands. Raises CursorAbsent."""
        return self._do(lambda: codec.positions_of(self._topics.cursor(name, topic).positions))

    # --- what happens

    def restart(self) -> None:
        """End it as a kill does and start it again on its port: streams break, what is durable stays."""
        self._thread.call(self._restart())

    def stop(self) -> None:
        """From now on nobody answers; `restart` ends that."""
        self._thread.call(self._stop())

    def fail_next(self, call: str, error: MeshError | str, times: int = 1) -> None:
        """The next calls of this name (`Publish`, `Read`, `Commit` …) fail with `error`, having done nothing.

        A code in place of an error is that of one which may pass.
        """
        failure = error if isinstance(error, MeshError) else error_of(Answer(error, error, "", "network", True))
        self._do(lambda: self._fail_next(call, failure, times))

    def lose_answer(self, call: str, times: int = 1) -> None:
        """The next calls of this name are carried out, and their answers are lost."""
        self._do(lambda: self._service.faults.lost_answers.update({call: times}))

    def trim(self, topic: str, partition: int, offset: int) -> None:
        """Retention takes what lies below `offset`."""
        self._do(lambda: self._trim(topic, partition, offset))

    # --- in the thread

    @asynccontextmanager
    async def _serving(self) -> Any:
        self._service = LocalService(self._topics, self.token)
        await self._start("127.0.0.1:0")
        try:
            yield self
        finally:
            await self._stop()

    async def _start(self, address: str) -> None:
        server = grpc.aio.server(
            options=(
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.so_reuseport", 0),
            )
        )
        server.add_generic_rpc_handlers((self._service,))
        port = server.add_insecure_port(address)
        await server.start()
        self._server, self.address = server, f"127.0.0.1:{port}"

    async def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.stop(0)
        self._topics.release_all()

    async def _restart(self) -> None:
        await self._stop()
        await self._start(self.address)

    def _do(self, work: Callable[[], Value]) -> Value:
        async def done() -> Value:
            return work()

        return self._thread.call(done())

    def _grow(self, name: str, partitions: int) -> None:
        logs = self._topics.topic(name).logs
        logs.extend(Log() for _ in range(partitions - len(logs)))
        self._service.wake()

    def _mirror(self, topic: str, messages: list[local_pb2.NewRecord], partition: int | None) -> None:
        if topic not in self._topics.topics:
            self._topics.create(topic, 1, mirrored_by="mirror")
        found = self._topics.topic(topic)
        mirrored_by, found.mirrored_by = found.mirrored_by, ""
        try:
            self._service.publish(local_pb2.PublishRequest(topic=topic, partition=partition, records=messages))
        finally:
            found.mirrored_by = mirrored_by

    def _records(self, topic: str, partition: int | None) -> list[Record]:
        logs = self._topics.topic(topic).logs
        wanted = range(len(logs)) if partition is None else [partition]
        found: list[Record] = []
        for number in wanted:
            log = logs[number]
            part = local_pb2.PartitionRecords(partition=number, records=log.records, next_offset=log.end)
            found.extend(codec.batch_of(topic, part).records)
        return found

    def _fail_next(self, call: str, failure: MeshError, times: int) -> None:
        self._service.faults.failures[call].extend([failure] * times)
        self._service.wake()

    def _trim(self, topic: str, partition: int, offset: int) -> None:
        self._topics.topic(topic).log(partition).trim(offset)
        self._service.wake()
