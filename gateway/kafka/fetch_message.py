"""Fetch version 13, packed and parsed by hand: topics by id, records as views into the response.

Each partition asked states the leader epoch of the batch read last, so that a leader whose log was truncated answers
with the epoch and offset at which the two histories part (KIP-320), instead of data from another history.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gateway.kafka.connection import Api
from gateway.kafka.wire import read_length, read_tags, uvarint
from mesh.log import AbortedTransaction

FETCH = Api(1, 13)
READ_UNCOMMITTED, READ_COMMITTED = 0, 1

# replica id -1 | max wait ms | min bytes 1 | max bytes | isolation | session id 0 | session epoch -1: no session
HEAD = struct.Struct(">iiiibii")
# partition | current leader epoch | fetch offset | last fetched epoch | log start -1 | max bytes | no tags
ASKED = struct.Struct(">iiqiqiB")
NOTHING_MORE = b"\0\1\1\0"
"""tags of the last topic | no forgotten topics | empty rack | tags"""

# throttle ms | error | session id
ANSWER_HEAD = struct.Struct(">ihi")
# partition | error | high watermark | last stable offset | log start
ANSWERED = struct.Struct(">ihqqq")
ABORTED = struct.Struct(">qqB")
EPOCH_END = struct.Struct(">iq")
DIVERGING_TAG = 0


class FetchPart(NamedTuple):
    """What is asked of one partition; `topic_id` are its 16 bytes."""

    topic_id: bytes
    partition: int
    offset: int
    leader_epoch: int
    last_epoch: int
    max_bytes: int


class FetchedPart(NamedTuple):
    topic_id: bytes
    partition: int
    error: int
    high_watermark: int
    last_stable: int
    log_start: int
    diverges_at: int | None
    aborted: tuple[AbortedTransaction, ...]
    records: memoryview
    diverging_epoch: int = -1


def pack_fetch(parts: Sequence[FetchPart], isolation: int, wait_ms: int, max_bytes: int) -> bytes:
    by_topic: dict[bytes, list[FetchPart]] = {}
    for part in parts:
        by_topic.setdefault(part.topic_id, []).append(part)
    out = [HEAD.pack(-1, wait_ms, 1, max_bytes, isolation, 0, -1), uvarint(len(by_topic) + 1)]
    for topic_id, asked in by_topic.items():
        out += [topic_id, uvarint(len(asked) + 1)]
        out += [
            ASKED.pack(part.partition, part.leader_epoch, part.offset, part.last_epoch, -1, part.max_bytes, 0)
            for part in asked
        ]
        out.append(b"\0")
    out[-1] = NOTHING_MORE
    return b"".join(out)


def parse_fetch(response: memoryview) -> tuple[int, list[FetchedPart]]:
    """The error of the whole answer and its partitions; raises ValueError, IndexError or struct.error on rubbish."""
    _, at = read_tags(response, 0)
    _, error, _ = ANSWER_HEAD.unpack_from(response, at)
    return error, list(_parts(response, at + ANSWER_HEAD.size))


def _parts(response: memoryview, at: int) -> Iterator[FetchedPart]:
    topics, at = read_length(response, at)
    for _ in range(topics):
        topic_id = bytes(response[at : at + 16])
        partitions, at = read_length(response, at + 16)
        for _ in range(partitions):
            part, at = _part(response, at, topic_id)
            yield part
        _, at = read_tags(response, at)


def _part(response: memoryview, at: int, topic_id: bytes) -> tuple[FetchedPart, int]:
    number, error, high_watermark, last_stable, log_start = ANSWERED.unpack_from(response, at)
    count, at = read_length(response, at + ANSWERED.size)
    aborted = []
    for _ in range(count):
        producer_id, first_offset, tag_count = ABORTED.unpack_from(response, at)
        if tag_count:
            raise ValueError("tagged fields in an aborted transaction")
        aborted.append(AbortedTransaction(producer_id, first_offset))
        at += ABORTED.size
    size, at = read_length(response, at + 4)  # the preferred read replica lies before the records
    end = at + max(size, 0)
    if end > len(response):
        raise ValueError("records beyond the end of the response")
    tags, after = read_tags(response, end)
    diverging = tags.get(DIVERGING_TAG)
    epoch, diverges_at = EPOCH_END.unpack_from(diverging)[:2] if diverging is not None else (-1, None)
    records = response[at:end]
    return (
        FetchedPart(
            topic_id, number, error, high_watermark, last_stable, log_start, diverges_at, tuple(aborted), records, epoch
        ),
        after,
    )
