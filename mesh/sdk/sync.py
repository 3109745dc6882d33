"""The synchronous client: the asyncio client in a thread of its own, behind the same methods without `await`.

    with Client() as client:
        client.publish("orders", b"...", key=b"4711")
        for record in client.read("acme.flights", cursor="billing"):
            ...

It may be used by several threads at once. What crosses to that thread and back are whole calls and whole batches, so a
loop over records costs hardly more than with asyncio.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import mesh.sdk.codec as codec
from mesh.sdk import client as aio
from mesh.sdk.background import call, soon
from mesh.sdk.reader import Reader as AsyncReader
from mesh.sdk.sender import Sender
from mesh.sdk.values import (
    Batch,
    Bytes,
    Catalog,
    Cursor,
    Headers,
    NewRecord,
    Published,
    Record,
    Status,
    Subscription,
    Topic,
    Translation,
)


class Client:
    """Use it with `with`. Arguments and methods are those of `mesh.sdk.Client`."""

    def __init__(
        self,
        address: str | None = None,
        *,
        token: str | None = None,
        token_file: str | Path | None = None,
        state_dir: str | Path | None = None,
        timeout_s: float = aio.TIMEOUT_S,
        patience_s: float = aio.PATIENCE_S,
        publish_timeout_s: float = aio.PUBLISH_TIMEOUT_S,
        buffer_bytes: int = aio.BUFFER_BYTES,
        idempotent: bool = True,
    ) -> None:
        self._aio = aio.Client(
            address,
            token=token,
            token_file=token_file,
            state_dir=state_dir,
            timeout_s=timeout_s,
            patience_s=patience_s,
            publish_timeout_s=publish_timeout_s,
            buffer_bytes=buffer_bytes,
            idempotent=idempotent,
        )
        self._sender = Sender(self._aio)

    def __repr__(self) -> str:
        return f"<sync {self._aio!r}>"

    def __enter__(self) -> Self:
        call(self._aio.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        call(self._leave(kind, error, trace))

    async def _leave(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(None if kind is None else aio.CLOSE_S):
                await self._sender.drained()
        await self._aio.__aexit__(kind, error, trace)

    # --- publish

    def publish(
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
        """Append one record; returns when it is durable, with its place."""
        return call(
            self._aio.publish(
                topic,
                value,
                key=key,
                headers=headers,
                timestamp_ms=timestamp_ms,
                partition=partition,
                idempotency_key=idempotency_key,
            )
        )

    def publish_many(
        self,
        topic: str,
        records: Iterable[NewRecord | Bytes],
        *,
        partition: int | None = None,
        idempotency_key: str = "",
    ) -> list[Published]:
        """Append records in order; returns when all are durable, with their places in the same order."""
        given = list(records)  # what makes them runs in the caller's thread
        many = self._aio.publish_many(topic, given, partition=partition, idempotency_key=idempotency_key)
        return call(many)

    def send(
        self,
        topic: str,
        value: Bytes,
        *,
        key: Bytes = None,
        headers: Headers = (),
        timestamp_ms: int | None = None,
        partition: int | None = None,
    ) -> Future[Published]:
        """Hand one record over; waits for room only. `flush` raises the first failure."""
        self._aio.connection()
        return self._sender.send(topic, codec.message(value, key, headers, timestamp_ms), partition)

    def flush(self) -> None:
        """Returns when everything that was handed over is durable. Raises the first failure since the last flush."""
        call(self._flush())

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
        """Committed records of `topic`, in the order of each partition, as they come in."""
        reader = self._aio.read(
            topic,
            cursor=cursor,
            start=start,
            positions=positions,
            partitions=partitions,
            until_end=until_end,
            max_records=max_records,
            max_bytes=max_bytes,
        )
        return Reader(reader)

    def cursor(self, name: str, topic: str) -> Cursor:
        return call(self._aio.cursor(name, topic))

    def commit(self, name: str, topic: str, positions: Mapping[int, int]) -> None:
        """Set a cursor that nobody reads by."""
        call(self._aio.commit(name, topic, positions))

    def delete_cursor(self, name: str, topic: str) -> None:
        """Forget where it stands. Refused while somebody reads by it."""
        call(self._aio.delete_cursor(name, topic))

    # --- look around

    def topics(self) -> list[Topic]:
        """Of the own cluster, by name."""
        return call(self._aio.topics())

    def catalog(self, peer: str = "") -> Catalog:
        """What peers, or one, share with us."""
        return call(self._aio.catalog(peer))

    def subscribe(
        self,
        peer: str,
        share: str,
        topics: Mapping[str, str] | None = None,
        *,
        start: str = "earliest",
        name: str = "",
    ) -> Subscription:
        """Mirror a share; `topics` maps the provider's names to local ones, none: all under their own names."""
        return call(self._aio.subscribe(peer, share, topics, start=start, name=name))

    def subscriptions(self) -> list[Subscription]:
        return call(self._aio.subscriptions())

    def translate(
        self,
        subscription: str,
        topic: str,
        partition: int,
        *,
        source_offset: int | None = None,
        destination_offset: int | None = None,
    ) -> Translation:
        """The answer to one of the two offsets; `topic` is the provider's name of it."""
        asked = self._aio.translate(
            subscription, topic, partition, source_offset=source_offset, destination_offset=destination_offset
        )
        return call(asked)

    def status(self) -> Status:
        return call(self._aio.status())

    async def _flush(self) -> None:
        await self._sender.drained()
        await self._aio.flush()


class Reader:
    """`for record in reader`, or `for batch in reader.batches()`; both go on where the other ended.

    `with` it to have it opened at once, with its refusals, and closed at the end. It is for one thread at a time.
    """

    def __init__(self, reader: AsyncReader) -> None:
        self._reader = reader

    def __repr__(self) -> str:
        return f"<sync {self._reader!r}>"

    @property
    def positions(self) -> Mapping[int, int]:
        """The offset that is handed out next, by partition: what to store in a transaction of your own."""
        return self._reader.positions

    def __enter__(self) -> Self:
        call(self._reader.open())
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Record:
        record = next(self._reader.rest, None)
        while record is None:
            if call(self._reader.turn()) is None:
                raise StopIteration
            record = next(self._reader.rest, None)
        self._reader.progress.handed_record(record)
        return record

    def batches(self) -> Iterator[Batch]:
        """Records as they come in together, of one partition each; may be empty, `next_offset` then says why."""
        while (batch := call(self._reader.next_batch())) is not None:
            yield batch

    def commit(self, positions: Mapping[int, int] | None = None) -> None:
        """State by the cursor that everything handed out, or before `positions`, is done with."""
        call(self._reader.commit(positions))

    def close(self) -> None:
        """What is not handed out is dropped; the gateway is told that nobody reads any more."""
        soon(self._reader.close)

    def __del__(self) -> None:
        self.close()
