"""The asyncio client of the gateway beside the application.

    async with Client() as client:
        await client.publish("orders", b"...", key=b"4711")
        async for record in client.read("acme.flights", cursor="billing"):
            ...

One client for an application is enough: its calls share one connection, and what its tasks publish goes together.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self
from weakref import WeakSet

import mesh.sdk.codec as codec
from mesh.local.errors import RequestRefused
from mesh.local.v1 import local_pb2
from mesh.sdk.connection import Connection, Patience
from mesh.sdk.errors import ClientClosed, GatewayUnreachable
from mesh.sdk.place import find
from mesh.sdk.publisher import Times, all_done
from mesh.sdk.publishers import Publishers
from mesh.sdk.reader import Reader
from mesh.sdk.values import (
    Bytes,
    Catalog,
    Cursor,
    Headers,
    NewRecord,
    Published,
    Status,
    Subscription,
    Topic,
    Translation,
)

# A gateway itself gives up on its cluster after half a minute: its word should come first.
TIMEOUT_S, PATIENCE_S, PUBLISH_TIMEOUT_S = 40.0, 60.0, 120.0
BUFFER_BYTES = 32 * 1024 * 1024
CLOSE_S = 5.0
"""For how long records still go out where the block of the client ends with an exception."""


class Client:
    """Use it with `async with`. Every method raises the errors of `mesh.sdk.errors`, and only while it is open.

    `address`, `token`, `token_file`, `state_dir`: where the gateway is, see `mesh.sdk.place`; mostly the environment
    says it. `timeout_s` bounds the wait for one answer; `patience_s` is for how long a gateway that is away is tried
    again, by calls and by readers; `publish_timeout_s` is that of a record, and 0 sends it once. `buffer_bytes` bounds
    what is handed over and not answered. With `idempotent` each request carries a key, kept as a header of its records,
    so that it is tried again without being appended twice; without, a lost answer is PublishUnknown.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        token: str | None = None,
        token_file: str | Path | None = None,
        state_dir: str | Path | None = None,
        timeout_s: float = TIMEOUT_S,
        patience_s: float = PATIENCE_S,
        publish_timeout_s: float = PUBLISH_TIMEOUT_S,
        buffer_bytes: int = BUFFER_BYTES,
        idempotent: bool = True,
    ) -> None:
        self._where = (address, token, token_file, state_dir)
        self._timeout_s, self._patience_s = timeout_s, patience_s
        self.publishers = Publishers(buffer_bytes, Times(timeout_s, publish_timeout_s), idempotent=idempotent)
        """For the SDK itself, as is `connection`."""
        self._connection: Connection | None = None
        self._readers: WeakSet[Reader] = WeakSet()

    def __repr__(self) -> str:
        return f"<Client {self._connection!r}>"

    async def __aenter__(self) -> Self:
        patience = Patience(self._patience_s)
        while self._connection is None:
            try:
                self._connection = Connection(find(os.environ, *self._where), self._patience_s)
            except GatewayUnreachable as error:  # its state directory does not say yet where it is
                await patience.pause(error)
        await self.publishers.open()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """Wait until what was handed over is answered, then close. Raises as `flush` where the block has ended well."""
        try:
            if kind is None:
                await self.publishers.flush()
            else:
                async with asyncio.timeout(CLOSE_S):
                    await self.publishers.settled()
        except TimeoutError:
            pass
        finally:
            await self._close()

    async def _close(self) -> None:
        for reader in list(self._readers):
            reader.close()
        await self.publishers.close()
        if self._connection is not None:
            await self._connection.close()

    # --- publish

    async def publish(
        self,
        topic: str,
        value: Bytes,
        *,
        key: Bytes = None,
        headers: Headers = (),
        timestamp_ms: int | None = None,
        partition: int | None = None,
        idempotency_key: str = "",
    ) -> Published:
        """Append one record; returns when it is durable, with its place.

        Tasks that publish at the same time share requests. Where this is cancelled the record may be appended all the
        same. With `idempotency_key`, of your own, a repeat by a later run of the application appends nothing either.
        """
        message = codec.message(value, key, headers, timestamp_ms)
        if idempotency_key:
            return (await self._publish_whole(topic, [message], partition, idempotency_key))[0]
        return await (await self.publishers.hand_over(self.connection(), topic, message, partition))

    async def publish_many(
        self,
        topic: str,
        records: Iterable[NewRecord | Bytes],
        *,
        partition: int | None = None,
        idempotency_key: str = "",
    ) -> list[Published]:
        """Append records in order; returns when all are durable, with their places in the same order.

        Raises the first failure, when the fate of all is known. With `idempotency_key` they are one request, which
        must fit into one: a repeat appends what is not there yet, whatever happened to the first.
        """
        if idempotency_key:
            return await self._publish_whole(topic, list(map(codec.message_of, records)), partition, idempotency_key)
        hand_over, connection = self.publishers.hand_over, self.connection()
        tickets = [await hand_over(connection, topic, codec.message_of(record), partition) for record in records]
        await all_done(tickets)
        return [ticket.result() for ticket in tickets]

    async def _publish_whole(
        self, topic: str, messages: list[local_pb2.NewRecord], partition: int | None, key: str
    ) -> list[Published]:
        connection = self.connection()
        if not messages:
            return []
        return await (await self.publishers.hand_over_whole(connection, topic, messages, partition, key))

    async def send(
        self,
        topic: str,
        value: Bytes,
        *,
        key: Bytes = None,
        headers: Headers = (),
        timestamp_ms: int | None = None,
        partition: int | None = None,
    ) -> asyncio.Future[Published]:
        """Hand one record over; waits for room only. Its place is the result of what is returned.

        Records of one partition are appended in the order of these calls. Whoever does not look at the futures calls
        `flush`, which raises the first failure.
        """
        message = codec.message(value, key, headers, timestamp_ms)
        return await self.publishers.hand_over(self.connection(), topic, message, partition, is_sent=True)

    async def flush(self) -> None:
        """Returns when everything that was handed over is durable. Raises the first failure since the last flush."""
        self.connection()
        await self.publishers.flush()

    @property
    def unanswered_bytes(self) -> int:
        """Of records that were handed over and are not known to be durable yet."""
        return self.publishers.unanswered_bytes

    # --- read

    def read(
        self,
        topic: str,
        *,
        cursor: str = "",
        start: str = "earliest",
        positions: Mapping[int, int] | None = None,
        partitions: Iterable[int] = (),
        until_end: bool = False,
        max_records: int = 0,
        max_bytes: int = 0,
    ) -> Reader:
        """Committed records of `topic`, in the order of each partition, as they come in.

        Each partition begins at its offset in `positions`, else where `cursor` stands, else at `start`: `earliest`,
        `latest` or `timestamp:…` (ISO 8601 with its zone, or milliseconds). `partitions` names some, otherwise all are
        read, those added later too. `until_end` ends where the topic ended when the stream began; `max_bytes` is of
        one batch, about. By a cursor one reader reads at a time; it stands where `Reader.commit` last said.
        """
        query = local_pb2.ReadRequest(
            topic=topic,
            partitions=list(partitions),
            start=start,
            positions=codec.positions(positions or {}),
            cursor=cursor,
            until_end=until_end,
            max_records=max_records,
            max_bytes=max_bytes,
        )
        reader = Reader(self.connection(), query, self._timeout_s)
        self._readers.add(reader)
        return reader

    async def cursor(self, name: str, topic: str) -> Cursor:
        request = local_pb2.GetCursorRequest(cursor=name, topic=topic)
        return codec.cursor_of(await self._ask("GetCursor", request, local_pb2.Cursor))

    async def commit(self, name: str, topic: str, positions: Mapping[int, int]) -> None:
        """Set a cursor that nobody reads by."""
        request = local_pb2.CommitRequest(cursor=name, topic=topic, positions=codec.positions(positions))
        await self._ask("Commit", request, local_pb2.CommitReply)

    async def delete_cursor(self, name: str, topic: str) -> None:
        """Forget where it stands. Refused while somebody reads by it."""
        request = local_pb2.DeleteCursorRequest(cursor=name, topic=topic)
        await self._ask("DeleteCursor", request, local_pb2.DeleteCursorReply, again=False)

    # --- look around

    async def topics(self) -> list[Topic]:
        """Of the own cluster, by name."""
        reply = await self._ask("Topics", local_pb2.TopicsRequest(), local_pb2.TopicsReply)
        return [codec.topic_of(topic) for topic in reply.topics]

    async def catalog(self, peer: str = "") -> Catalog:
        """What peers, or one, share with us."""
        return codec.catalog_of(await self._ask("Catalog", local_pb2.CatalogRequest(peer=peer), local_pb2.CatalogReply))

    async def subscribe(
        self,
        peer: str,
        share: str,
        topics: Mapping[str, str] | None = None,
        *,
        start: str = "earliest",
        name: str = "",
    ) -> Subscription:
        """Mirror a share; `topics` maps the provider's names to local ones, none: all under their own names."""
        request = local_pb2.SubscribeRequest(peer=peer, share=share, topics=topics or {}, start=start, name=name)
        return codec.subscription_of(await self._ask("Subscribe", request, local_pb2.Subscription, again=False))

    async def subscriptions(self) -> list[Subscription]:
        reply = await self._ask("Subscriptions", local_pb2.SubscriptionsRequest(), local_pb2.SubscriptionsReply)
        return [codec.subscription_of(each) for each in reply.subscriptions]

    async def translate(
        self,
        subscription: str,
        topic: str,
        partition: int,
        *,
        source_offset: int | None = None,
        destination_offset: int | None = None,
    ) -> Translation:
        """The answer to one of the two offsets; `topic` is the provider's name of it."""
        if source_offset is not None and destination_offset is not None:
            raise RequestRefused("offset", "there are two")
        request = local_pb2.TranslateRequest(subscription=subscription, topic=topic, partition=partition)
        if source_offset is not None:
            request.source_offset = source_offset
        if destination_offset is not None:
            request.destination_offset = destination_offset
        return codec.translation_of(await self._ask("Translate", request, local_pb2.TranslateReply))

    async def status(self) -> Status:
        return codec.status_of(await self._ask("Status", local_pb2.StatusRequest(), local_pb2.StatusReply))

    async def _ask(self, name: str, request: Any, reply: Any, *, again: bool = True) -> Any:
        return await self.connection().ask(name, request, reply, self._timeout_s, again=again)

    def connection(self) -> Connection:
        """Raises ClientClosed."""
        if self._connection is None or self._connection.is_closed:
            raise ClientClosed
        return self._connection
