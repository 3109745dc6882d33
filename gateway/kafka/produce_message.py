"""Produce, packed by hand so that no batch is copied: header and payload go out as they are.

Version 9 names topics. Version 13 knows them by id, so that a batch for a topic that was deleted does not go into
another that was created under its name; brokers speak it from 4.1 on. Nothing else differs between the two.

One batch per partition per request is Kafka's rule; the caller keeps it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.kafka.connection import Api
from gateway.kafka.wire import compact, read_length, read_tags, uvarint
from mesh.batch.stamp import Buffer, StampedBatch
from mesh.ids import Partition, TopicId

PRODUCE = Api(0, 9)
PRODUCE_BY_ID = Api(0, 13)
ID_BYTES = 16
# no transactional id | acks of all in-sync replicas: -1 | timeout ms
HEAD = struct.Struct(">Bhi")
# partition | error | base offset | log append time | log start offset
ANSWERED = struct.Struct(">ihqqq")


class Appended(NamedTuple):
    error: int
    base_offset: int
    why: str


def pack_produce(batches: Sequence[tuple[Partition, StampedBatch]], timeout_ms: int) -> list[Buffer]:
    """Version 9."""
    return _pack([(compact(partition.topic), partition.number, batch) for partition, batch in batches], timeout_ms)


def pack_produce_by_id(
    batches: Sequence[tuple[Partition, StampedBatch]], ids: Sequence[TopicId], timeout_ms: int
) -> list[Buffer]:
    """Version 13; `ids` are those of the batches' topics."""
    named = zip(batches, ids, strict=True)
    return _pack([(bytes.fromhex(each), partition.number, batch) for (partition, batch), each in named], timeout_ms)


def _pack(batches: Sequence[tuple[bytes, int, StampedBatch]], timeout_ms: int) -> list[Buffer]:
    by_topic: dict[bytes, list[tuple[int, StampedBatch]]] = {}
    for topic, number, batch in batches:
        by_topic.setdefault(topic, []).append((number, batch))
    out: list[Buffer] = []
    words = HEAD.pack(0, -1, timeout_ms) + uvarint(len(by_topic) + 1)
    for topic, parts in by_topic.items():
        words += topic + uvarint(len(parts) + 1)
        for number, batch in parts:
            words += struct.pack(">i", number) + uvarint(batch.size_bytes + 1)
            out += [words + batch.header, batch.payload]
            words = b"\0"
        words += b"\0"
    return [*out, words + b"\0"]


def parse_produce(response: memoryview, names: Mapping[TopicId, str] | None = None) -> dict[Partition, Appended]:
    """What became of each batch; raises ValueError, IndexError or struct.error on rubbish.

    `names` are those of the topics that were asked for by id, in version 13.
    """
    _, at = read_tags(response, 0)
    answers: dict[Partition, Appended] = {}
    topics, at = read_length(response, at)
    for _ in range(topics):
        topic, at = _text(response, at) if names is None else _name(response, at, names)
        partitions, at = read_length(response, at)
        for _ in range(partitions):
            number, answer, at = _part(response, at)
            answers[Partition(topic, number)] = answer
        _, at = read_tags(response, at)
    return answers


def _name(response: memoryview, at: int, names: Mapping[TopicId, str]) -> tuple[str, int]:
    topic_id = TopicId(bytes(response[at : at + ID_BYTES]).hex())
    if topic_id not in names:
        raise ValueError(f"an answer for a topic that nobody asked for: {topic_id}")
    return names[topic_id], at + ID_BYTES


def _part(response: memoryview, at: int) -> tuple[int, Appended, int]:
    number, error, base_offset, _, _ = ANSWERED.unpack_from(response, at)
    faults, at = read_length(response, at + ANSWERED.size)
    words: list[str] = []
    for _ in range(faults):
        word, at = _text(response, at + 4)
        words.append(word)
        _, at = read_tags(response, at)
    whole, at = _text(response, at)
    _, at = read_tags(response, at)
    return number, Appended(error, base_offset, "; ".join(filter(None, [whole, *words[:1]]))), at


def _text(response: memoryview, at: int) -> tuple[str, int]:
    size, at = read_length(response, at)
    end = at + max(size, 0)
    return bytes(response[at:end]).decode(), end
