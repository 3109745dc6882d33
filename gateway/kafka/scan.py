"""Reading a stretch of a partition once, committed or not: for witnesses and for loading state."""

from __future__ import annotations

from collections.abc import AsyncIterator

from gateway.kafka.client import Client, Purpose
from gateway.kafka.codes import LEADER_UNSETTLED, Code, request_error
from gateway.kafka.errors import LeaderMoved
from gateway.kafka.fetch_message import FETCH, READ_UNCOMMITTED, FetchedPart, FetchPart, pack_fetch
from gateway.kafka.fetches import read_answer
from mesh.batch.header import BatchHeader, split
from mesh.ids import Partition

CHUNK_BYTES = 4 << 20


async def scan(
    client: Client, partition: Partition, first: int, end: int
) -> AsyncIterator[tuple[BatchHeader, memoryview]]:
    """Each batch that reaches into [first, end), with its header. Raises LeaderMoved and what `Client` raises."""
    position = first
    while position < end:
        part = await _fetch(client, partition, position)
        before = position
        for header, batch in split(part.records):
            if header.next_offset <= position:
                continue
            position = header.next_offset
            yield header, batch
            if position >= end:
                return
        if position == before:
            raise LeaderMoved(*partition)  # below its end a log has something, unless it is another one now


async def _fetch(client: Client, partition: Partition, offset: int) -> FetchedPart:
    topic, leader = await client.leader(partition)
    connection = await client.connection(leader.node, Purpose.CONTROL)
    asked = FetchPart(bytes.fromhex(topic.topic_id), partition.number, offset, leader.epoch, -1, CHUNK_BYTES)
    body = pack_fetch([asked], READ_UNCOMMITTED, 0, CHUNK_BYTES)
    response = await connection.request(FETCH, [body], client.config.request_timeout_s)
    part = read_answer(connection, response)[asked.topic_id, asked.partition]
    if part.error in LEADER_UNSETTLED or part.error == Code.OFFSET_OUT_OF_RANGE:
        raise LeaderMoved(*partition)
    if part.error != Code.NONE:
        raise request_error("read", partition.topic, part.error)
    return part
