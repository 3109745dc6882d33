"""A gateway in memory for tests of applications: the real protocol on a port of its own, and no network beyond it.

    with LocalGateway() as gateway:                       # or: async with
        gateway.create_topic("orders")
        gateway.mirror("acme.flights", [b"LH1", b"LH2"])  # what a subscription would have copied
        with gateway.sync_client() as client:
            ...
        assert gateway.records("orders") == [...]

It answers in threads of its own, so that a test that blocks does not stop it. What is published is kept until the end.
`restart`, `fail_next`, `lose_answer`, `trim` are what happens to an application in production.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Self

import grpc

from mesh.errors import MeshError
from mesh.local.v1 import local_pb2
from mesh.sdk import codec
from mesh.sdk.client import Client
from mesh.sdk.errors import Answer, error_of
from mesh.sdk.sync import Client as SyncClient
from mesh.sdk.values import Bytes, NewRecord, Record
from mesh.testing.local_service import LocalService
from mesh.testing.local_topics import LocalTopics

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
MOST_STREAMS = 100


class LocalGateway:
    """`address` and `token` are those for a client; `environment` says both to an application that reads it."""

    def __init__(self, *, token: str = "") -> None:
        self.token = token or secrets.token_urlsafe(16)
        self.address = "127.0.0.1:0"
        """With the port once it has begun, which it keeps."""
        self._topics = LocalTopics()
        self._service = LocalService(self._topics, self.token)
        self._server: grpc.Server | None = None
        self._threads: ThreadPoolExecutor | None = None

    def __repr__(self) -> str:
        return f"<LocalGateway {self.address} {'not ' if self._server is None else ''}running>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.stop()

    @property
    def environment(self) -> Mapping[str, str]:
        return {"MESH_API": self.address, "MESH_API_TOKEN": self.token}

    def client(self, **options: Any) -> Client:
        """An asyncio client of this gateway."""
        return Client(self.address, **{"token": self.token, **options})

    def sync_client(self, **options: Any) -> SyncClient:
        return SyncClient(self.address, **{"token": self.token, **options})

    # --- what is there

    @property
    def calls(self) -> Mapping[str, int]:
        """How many requests came, by the name of the call; one of many records counts once."""
        with self._state():
            return dict(self._service.calls)

    @property
    def max_record_bytes(self) -> int:
        return self._topics.max_record_bytes

    @max_record_bytes.setter
    def max_record_bytes(self, size_bytes: int) -> None:
        self._topics.max_record_bytes = size_bytes

    def create_topic(self, name: str, partitions: int = 1) -> None:
        """Raises IllegalName, TopicExists."""
        with self._state():
            self._topics.create(name, partitions)

    def grow_topic(self, name: str, partitions: int) -> None:
        """Add partitions until there are so many."""
        with self._state():
            self._topics.grow(name, partitions)

    def share(self, peer: str, share: str, topics: Mapping[str, int]) -> None:
        """A peer shares topics, by name with their partitions, so that the application may subscribe."""
        with self._state():
            for topic, partitions in topics.items():
                offered = local_pb2.SharedTopic(peer=peer, share=share, topic=topic, partitions=partitions)
                self._service.offered.append(offered)

    def mirror(self, topic: str, records: Iterable[NewRecord | Bytes], partition: int | None = None) -> None:
        """Append as a subscription does; a topic that is not there is made, with one partition."""
        messages = [codec.message_of(record) for record in records]
        with self._state():
            if topic not in self._topics.topics:
                self._topics.create(topic, 1, mirrored_by="mirror")
            request = local_pb2.PublishRequest(topic=topic, partition=partition, records=messages)
            self._service.publish(request, is_mirror=True)

    def records(self, topic: str, partition: int | None = None) -> list[Record]:
        """What is in a topic, partition by partition."""
        with self._state():
            found = self._topics.content(topic, partition)
        return [record for part in found for record in codec.batch_of(topic, part).records]

    def cursor(self, name: str, topic: str) -> Mapping[int, int]:
        """Where a cursor stands. Raises CursorAbsent."""
        with self._state():
            return codec.positions_of(self._topics.cursor(name, topic).positions)

    # --- what happens

    def start(self) -> None:
        self._threads = ThreadPoolExecutor(MOST_STREAMS, thread_name_prefix="mesh-local-gateway")
        options = (("grpc.max_receive_message_length", MAX_MESSAGE_BYTES), ("grpc.so_reuseport", 0))
        self._server = grpc.server(self._threads, handlers=[self._service], options=options)
        port = self._server.add_insecure_port(self.address)
        self._server.start()
        self.address = f"127.0.0.1:{port}"

    def stop(self) -> None:
        """End as a kill does: streams break, nobody answers. What is durable stays, for `start`."""
        server, self._server = self._server, None
        if server is None or self._threads is None:
            return
        server.stop(0).wait()
        with self._state():  # who waits for records sees that its call has ended
            self._topics.release_all()
        self._threads.shutdown()

    def restart(self) -> None:
        """`stop` and `start`, on the same port."""
        self.stop()
        self.start()

    def fail_next(self, call: str, error: MeshError | str, times: int = 1) -> None:
        """The next calls of this name (`Publish`, `Read`, `Commit` …) fail with `error`, having done nothing.

        A code in place of an error is that of one which may pass.
        """
        failure = error if isinstance(error, MeshError) else error_of(Answer(error, error, "", "network", True))
        with self._state():
            self._service.faults.failures[call].extend([failure] * times)

    def lose_answer(self, call: str, times: int = 1) -> None:
        """The next calls of this name are carried out, and their answers are lost."""
        with self._state():
            self._service.faults.lost_answers[call] += times

    def trim(self, topic: str, partition: int, offset: int) -> None:
        """Retention takes what lies below `offset`."""
        with self._state():
            self._topics.topic(topic).log(partition).trim(offset)

    @contextmanager
    def _state(self) -> Iterator[None]:
        """Nobody else looks at it or changes it meanwhile, and who waits looks again afterwards."""
        with self._service.changed:
            yield
            self._service.changed.notify_all()
