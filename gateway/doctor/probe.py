"""Compare-and-append, tried on this very cluster: does a batch land at its place in the lane or not at all?

A scratch topic is made, each rule gets a partition and a producer of its own, and the raw answers of the broker are
judged, not those of the gateway's own append queue, which sends nothing on a guess. The topic is deleted at the end.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from gateway.doctor.findings import Finding, fail, info, ok, warn
from gateway.doctor.permissions import NAME_PREFIX
from gateway.kafka.client import Client
from gateway.kafka.codes import Code, describe
from gateway.kafka.config import KafkaConfig
from gateway.kafka.connection import Connection
from gateway.kafka.dial import dial, tls_context
from gateway.kafka.line import Line
from gateway.kafka.offsets import log_range
from gateway.kafka.opening import open_client
from gateway.kafka.produce_message import PRODUCE, Appended, pack_produce, parse_produce
from gateway.kafka.source import KafkaSource
from gateway.kafka.topics import KafkaTopics, create_topic
from gateway.kafka.transactions import cut, init_producer
from gateway.kafka.witness import known_producer
from mesh.batch.encode import encode
from mesh.batch.header import split
from mesh.batch.records import Record
from mesh.batch.stamp import Producer, StampedBatch, restamp
from mesh.cluster_errors import ClusterUnreachable
from mesh.errors import MeshError
from mesh.ids import Partition

SETTINGS = {"cleanup.policy": "delete", "retention.ms": "3600000", "message.timestamp.type": "LogAppendTime"}
"""The broker stamps the records, which tells its clock."""
PLACES = 6
SKEW_WARN_MS, SKEW_FAIL_MS = 1_000, 60_000
RACERS = 5
"""Copies per connection: with the first it is what a broker remembers."""


async def probe_append(config: KafkaConfig, topic: str) -> AsyncIterator[Finding]:
    """One finding per rule. `topic` must not exist. What cannot be tried is a finding too: raises nothing of ours."""
    try:
        async with open_client(config) as client:
            await create_topic(client, topic, PLACES, SETTINGS)
            try:
                async for finding in _tried(client, topic):
                    yield finding
            finally:
                left = await _deleted(client, topic)
            if left is not None:
                yield left
    except MeshError as error:
        yield fail("append: scratch topic", str(error), "compare-and-append could not be tried", error.remedy)


async def _deleted(client: Client, topic: str) -> Finding | None:
    try:
        async with asyncio.timeout(client.config.request_timeout_s):
            await KafkaTopics(client).delete(topic)
    except (MeshError, TimeoutError) as error:
        return warn("append: scratch topic", f"{topic} is left behind: {error}", "it takes room", "delete it yourself")
    return None


async def _tried(client: Client, topic: str) -> AsyncIterator[Finding]:
    async with AsyncExitStack() as stack:
        probe = Probe(client, stack)
        for number in range(PLACES):  # a topic that was just made may have no leader yet: that is no rule broken
            await log_range(client, Partition(topic, number), client.config.request_timeout_s)
        for number, attempt in enumerate((_in_line, _any_first, _wrap, _race, _fence, _own_line)):
            partition = Partition(topic, number)
            try:
                async for finding in attempt(probe, partition):
                    yield finding
            except MeshError as error:
                yield fail(f"append: {attempt.__name__.strip('_')}", str(error), _LOST, error.remedy)
        yield await probe.clock(Partition(topic, 0))


class Probe:
    """Appends without any care: one batch, one request, the broker's own answer."""

    def __init__(self, client: Client, stack: AsyncExitStack) -> None:
        self.client = client
        self._stack = stack
        self._context = tls_context(client.config)

    async def connect(self, partition: Partition) -> Connection:
        """A connection of its own to the partition's leader; closed with the stack."""
        _, leader = await self.client.leader(partition)
        connection = await dial(self.client.config, self.client.nodes[leader.node], self._context)
        self._stack.callback(connection.abort, "the doctor has seen it")
        return connection

    async def append(self, connection: Connection, partition: Partition, batch: StampedBatch) -> Appended:
        """Raises ClusterUnreachable."""
        timeout_s = self.client.config.request_timeout_s
        answer = await connection.request(PRODUCE, pack_produce([(partition, batch)], int(timeout_s * 1000)), timeout_s)
        try:
            return parse_produce(answer)[partition]
        except (ValueError, IndexError, KeyError, struct.error) as error:
            raise ClusterUnreachable(connection.address, f"an answer that cannot be read: {error}") from error

    async def clock(self, partition: Partition) -> Finding:
        """By the timestamp that the broker gave to the newest record."""
        client = self.client
        connection = await self.connect(partition)
        batch = _batch(await init_producer(client), 0, 1)
        asked_ms = time.time() * 1000
        found = await self.append(connection, partition, batch)
        answered_ms = time.time() * 1000
        fetched = await KafkaSource(client).fetch(partition, max(found.base_offset, 0), None, 1 << 20, 1)
        stamps = [header.max_timestamp_ms for header, _ in split(fetched.data)]
        if not stamps:
            return info("clock", "the broker's is not known")
        skew_ms = _outside(stamps[-1], asked_ms, answered_ms)
        text = f"the broker's is {skew_ms / 1000:+.1f} s from ours"
        follows = "lag in seconds is off; a broker refuses records from more than an hour ahead of its own clock"
        if abs(skew_ms) >= SKEW_WARN_MS:
            level = fail if abs(skew_ms) >= SKEW_FAIL_MS else warn
            return level("clock", text, follows, "let both be set by the same time servers")
        return ok("clock", text)


_LOST = "without it a lane cannot be exact on this cluster: a repeat may be written twice"


def _outside(moment: float, earliest: float, latest: float) -> float:
    """How far `moment` lies outside: a slow answer says nothing about a clock."""
    return max(moment - latest, 0.0) + min(moment - earliest + 1, 0.0)


def _batch(producer: Producer, sequence: int, count: int) -> StampedBatch:
    now_ms = int(time.time() * 1000)
    return restamp(encode([Record(at, now_ms, None, b"probe") for at in range(count)]), producer, sequence)


async def _in_line(probe: Probe, at: Partition) -> AsyncIterator[Finding]:
    producer, connection = await init_producer(probe.client), await probe.connect(at)

    async def send(sequence: int, count: int) -> Appended:
        return await probe.append(connection, at, _batch(producer, sequence, count))

    first = await send(0, 3)
    yield _lands("append: first batch", first, 0)
    yield _lands("append: exact repeat answers the original offset", await send(0, 3), first.base_offset)
    refused = (("overlap", 2, 3), ("longer repeat", 0, 5), ("shorter repeat", 0, 1), ("gap ahead", 7, 1))
    for name, sequence, count in refused:
        yield _refuses(f"append: {name}", await send(sequence, count), Code.OUT_OF_ORDER_SEQUENCE)
    yield _lands("append: next in line after refusals", await send(3, 2), 3)
    yield await _memory(probe, at, producer, 4)
    for sequence in range(5, 11):
        await send(sequence, 1)
    stale = await send(0, 3)
    yield _refuses("append: stale repeat, older than five", stale, Code.OUT_OF_ORDER_SEQUENCE, Code.DUPLICATE_SEQUENCE)


async def _memory(probe: Probe, at: Partition, producer: Producer, last: int) -> Finding:
    found = await known_producer(probe.client, at, producer.id)
    check = "append: DescribeProducers agrees"
    if found == (producer.epoch, last):
        return ok(check, f"epoch {producer.epoch}, last sequence {last}")
    return warn(
        check,
        f"it says {found}, expected {(producer.epoch, last)}",
        "a lane asks the batch headers and the log end only",
        "nothing: recovery has two other witnesses",
    )


async def _any_first(probe: Probe, at: Partition) -> AsyncIterator[Finding]:
    producer, connection = await init_producer(probe.client), await probe.connect(at)
    found = await probe.append(connection, at, _batch(producer, 12_345, 2))
    yield _lands("append: a first sequence may be any", found, 0, "a lane cannot go on under a new producer")


async def _wrap(probe: Probe, at: Partition) -> AsyncIterator[Finding]:
    producer, connection = await init_producer(probe.client), await probe.connect(at)
    before = await probe.append(connection, at, _batch(producer, 2**31 - 2, 4))
    after = await probe.append(connection, at, _batch(producer, 2, 1))
    follows = "a lane stops after 2147483648 records"
    yield _lands("append: sequences wrap at 2^31", after if before.error == Code.NONE else before, 4, follows)


async def _race(probe: Probe, at: Partition) -> AsyncIterator[Finding]:
    producer = await init_producer(probe.client)
    writers = [await probe.connect(at) for _ in range(2)]
    await probe.append(writers[0], at, _batch(producer, 0, 1))
    batch = _batch(producer, 1, 1)
    answers = await asyncio.gather(*[probe.append(each, at, batch) for _ in range(RACERS) for each in writers])
    places = {answer.base_offset for answer in answers if answer.error == Code.NONE}
    end = (await KafkaSource(probe.client).range(at)).end
    check = f"append: {len(answers)} equal writers on two connections"
    if places == {1} and end == 2:
        yield ok(check, "one record, and every answer names its offset")
    else:
        yield fail(check, f"answers {sorted(places)}, the log ends at {end}, expected 2", _LOST, _MAKE)


async def _fence(probe: Probe, at: Partition) -> AsyncIterator[Finding]:
    name = f"{NAME_PREFIX}doctor.{at.topic}"  # of its own: another doctor's cut would shut this one out
    producer, connection = await init_producer(probe.client, name), await probe.connect(at)
    await probe.append(connection, at, _batch(producer, 0, 1))
    newer = await cut(probe.client, name, producer, [at])
    late = await probe.append(connection, at, _batch(producer, 1, 1))
    check = f"append: the strict cut shuts out epoch {producer.epoch}"
    if late.error in {Code.INVALID_PRODUCER_EPOCH, Code.PRODUCER_FENCED}:
        yield ok(check, f"refused with {describe(late.error)}; the newer epoch is {newer.epoch}")
    else:
        follows = "promotion and revocation cannot rely on it: stop the old writers by other means"
        yield fail(check, f"the broker answered {describe(late.error)}", follows, _MAKE)


async def _own_line(probe: Probe, at: Partition) -> AsyncIterator[Finding]:
    """What gateways share their state by: a producer that no broker gave out, and epochs that they count themselves."""
    topic, connection = await probe.client.topic(at.topic), await probe.connect(at)
    line = Line.of(topic.topic_id, at.number)
    answers = [
        await probe.append(connection, at, _batch(place.producer, sequence, 1))
        for place, sequence in ((line.next, 0), (line.newer, 0), (line.next, 1))
    ]
    check, found = "append: a producer of our own numbers", [describe(answer.error) for answer in answers]
    fenced = answers[2].error in {Code.INVALID_PRODUCER_EPOCH, Code.PRODUCER_FENCED}
    if [answer.error for answer in answers[:2]] == [Code.NONE, Code.NONE] and fenced:
        yield ok(check, "its next epoch shuts out the one before")
    else:
        follows = "gateways cannot share their state here: it may be lost or overwritten"
        yield fail(check, f"the broker answered {', '.join(found)}", follows, _MAKE)


_MAKE = "use Apache Kafka, or ask the maker of these brokers"


def _lands(check: str, answer: Appended, offset: int, follows: str = _LOST) -> Finding:
    if answer.error == Code.NONE and answer.base_offset == offset:
        return ok(check, f"offset {offset}")
    said = f"offset {answer.base_offset}" if answer.error == Code.NONE else f"error {describe(answer.error)}"
    return fail(check, f"{said}, expected offset {offset}", follows, _MAKE)


def _refuses(check: str, answer: Appended, *codes: Code) -> Finding:
    if answer.error in codes:
        return ok(check, f"refused with {describe(answer.error)}")
    said = f"written at offset {answer.base_offset}" if answer.error == Code.NONE else describe(answer.error)
    return fail(check, f"{said}, expected {' or '.join(describe(code) for code in codes)}", _LOST, _MAKE)
