"""Reading state partitions from where they were left to the end: all partitions of one leader in one request.

A fetch tells how far its log is committed, so a partition without news costs no request of its own, and what was
acknowledged to anybody before the call is read when it returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from gateway.kafka.client import Client, Purpose
from gateway.kafka.codes import LEADER_UNSETTLED, Code, request_error
from gateway.kafka.errors import LeaderMoved
from gateway.kafka.fetch_message import FETCH, READ_UNCOMMITTED, FetchedPart, FetchPart, pack_fetch
from gateway.kafka.fetches import read_answer
from gateway.kafka.metadata import Leader
from gateway.kafka.offsets import log_range
from gateway.kafka.patience import patiently, pauses
from gateway.kafka.scan import scan
from gateway.kafka.state_partition import StatePartition
from mesh.cluster_errors import ClusterUnreachable, TopicRecreated
from mesh.errors import NetworkError

CHUNK_BYTES = 4 << 20


async def read_to_end(client: Client, parts: Collection[StatePartition]) -> None:
    """Waits out elections, as long as a request may take. Raises NetworkError, TopicRecreated, PermissionMissing."""
    behind = list(parts)
    give_up = asyncio.get_running_loop().time() + client.config.request_timeout_s
    for pause_s in pauses():
        try:
            while behind:
                behind = await _step(client, behind)
        except NetworkError:
            for topic in {part.partition.topic for part in behind}:
                client.forget(topic)
            if client.closed or asyncio.get_running_loop().time() + pause_s > give_up:
                raise
        else:
            return
        await asyncio.sleep(pause_s)


async def read_anew(client: Client, part: StatePartition) -> None:
    """The log is not what was read any more: read it from its start, and only then believe it."""

    async def ask() -> None:
        where = await log_range(client, part.partition, client.config.request_timeout_s)
        content = part.fresh()
        content.position = where.start
        async for header, batch in scan(client, part.partition, where.start, where.end):
            part.read_aside(content, header, batch)
        part.replace(content)

    await patiently(client, part.partition, ask, client.config.request_timeout_s)


async def _step(client: Client, parts: list[StatePartition]) -> list[StatePartition]:
    """One request to each leader; what is not at its end after it."""
    by_node: dict[int, list[tuple[StatePartition, Leader]]] = {}
    for part in parts:
        topic, leader = await client.leader(part.partition)
        if topic.topic_id != part.topic_id:
            raise TopicRecreated(topic.name, part.topic_id, topic.topic_id)
        by_node.setdefault(leader.node, []).append((part, leader))
    answers = await asyncio.gather(*[_fetch(client, node, asked) for node, asked in by_node.items()])
    return [part for behind in answers for part in behind]


async def _fetch(client: Client, node: int, asked: list[tuple[StatePartition, Leader]]) -> list[StatePartition]:
    topic_id = {part: bytes.fromhex(part.topic_id) for part, _ in asked}
    parts = [
        FetchPart(
            topic_id[part],
            part.partition.number,
            part.position,
            leader.epoch,
            min(part.content.leader_epoch, leader.epoch),
            CHUNK_BYTES,
        )
        for part, leader in asked
    ]
    connection = await client.connection(node, Purpose.CONTROL)
    body = pack_fetch(parts, READ_UNCOMMITTED, 0, CHUNK_BYTES)
    found = read_answer(connection, await connection.request(FETCH, [body], client.config.request_timeout_s))
    full: list[StatePartition] = []
    behind: list[StatePartition] = []
    for part, _ in asked:
        answer = found.get((topic_id[part], part.partition.number))
        if answer is None:
            raise ClusterUnreachable(client.cluster_id, "a fetch was not answered")
        had_records = bool(answer.records)
        if await _took(client, part, answer):
            (full if had_records else behind).append(part)
    return behind + full  # whoever got nothing for lack of room goes first


async def _took(client: Client, part: StatePartition, answer: FetchedPart) -> bool:
    """Whether there is more."""
    if answer.error in LEADER_UNSETTLED:
        raise LeaderMoved(*part.partition)
    if answer.error == Code.OFFSET_OUT_OF_RANGE or answer.diverges_at is not None:
        await _out_of_range(client, part, answer.diverges_at)
        return True
    if answer.error != Code.NONE:
        raise request_error("read", part.partition.topic, answer.error)
    part.take(answer.records)
    return part.position < answer.high_watermark


async def _out_of_range(client: Client, part: StatePartition, diverges_at: int | None) -> None:
    where = await log_range(client, part.partition, client.config.request_timeout_s)
    if diverges_at is None and where.start <= part.position <= where.end:
        raise LeaderMoved(*part.partition)  # a new leader still learns how far its log is committed
    await read_anew(client, part)
