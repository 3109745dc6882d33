"""Whole partitions read by hand-written messages, from a broker in a thread that speaks by another implementation."""

from __future__ import annotations

import io
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from kio.schema.errors import ErrorCode
from kio.schema.fetch.v5.request import FetchRequest
from kio.schema.fetch.v5.response import (
    AbortedTransaction,
    FetchableTopicResponse,
    FetchResponse,
    PartitionData,
)
from kio.schema.list_offsets.v1.request import ListOffsetsRequest
from kio.schema.list_offsets.v1.response import (
    ListOffsetsPartitionResponse,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)
from kio.serial import entity_reader, entity_writer

from tests.lab.raw_fetch import (
    BrokerConnection,
    BrokerRefused,
    fetch_request,
    parse_fetch,
    read_partition,
    whole_batches,
)
from tests.verifier.tests.encoding import encode

BATCHES = [encode(base, base + 2, [(base + at, 5, None, b"v" * 50, ()) for at in range(3)]) for base in range(4, 34, 3)]
START, END = 5, 34
"""The log begins within its first batch."""


# kio has a type for each integer, which is nothing to tests that write plain numbers.
FETCH_TYPES: list[Any] = [AbortedTransaction, PartitionData, FetchableTopicResponse, FetchResponse]
OFFSETS_TYPES: list[Any] = [ListOffsetsPartitionResponse, ListOffsetsTopicResponse, ListOffsetsResponse]
MadeAborted, MadePart, MadeTopic, MadeAnswer = FETCH_TYPES
MadeOffset, MadeOffsetTopic, MadeOffsets = OFFSETS_TYPES


class Log:
    """What the broker in the thread has of one partition."""

    def __init__(self, *, error: int = 0, cut_bytes: int = 400) -> None:
        self.error, self.cut_bytes = error, cut_bytes
        self.asked: list[int] = []

    def answer(self, api: int, body: bytes) -> bytes:
        kind: Any = FetchRequest if api == 1 else ListOffsetsRequest
        request, rest = entity_reader(kind)(body, 0)
        assert rest == len(body)
        return _written(self.fetch(request) if api == 1 else self.offsets(request))

    def fetch(self, request: Any) -> Any:
        (topic,) = request.topics
        (part,) = topic.partitions
        assert (request.isolation_level, request.replica_id, topic.topic, part.partition) == (0, -1, "flights", 3)
        self.asked.append(part.fetch_offset)
        first = (part.fetch_offset - 4) // 3
        records = b"".join(BATCHES[first:])[: min(self.cut_bytes, part.partition_max_bytes)]
        aborted = (MadeAborted(producer_id=7, first_offset=9),)
        data = MadePart(
            partition_index=3, error_code=ErrorCode(self.error), high_watermark=END, last_stable_offset=END - 1,
            log_start_offset=START, aborted_transactions=aborted, records=records,
        )  # fmt: skip
        topics = (MadeTopic(topic="flights", partitions=(data,)),)
        return MadeAnswer(throttle_time=timedelta(0), responses=topics)

    def offsets(self, request: Any) -> Any:
        (topic,) = request.topics
        (part,) = topic.partitions
        assert (topic.name, part.partition_index, part.timestamp) == ("flights", 3, -2)
        told = MadeOffset(partition_index=3, error_code=ErrorCode(0), timestamp=-1, offset=START)
        return MadeOffsets(topics=(MadeOffsetTopic(name="flights", partitions=(told,)),))


def _written(answer: Any) -> bytes:
    out = io.BytesIO()
    entity_writer(type(answer))(out, answer)
    return out.getvalue()


@contextmanager
def serving(log: Log) -> Iterator[BrokerConnection]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while size := self.rfile.read(4):
                message = self.rfile.read(int.from_bytes(size, "big"))
                api, _, correlation, client = struct.unpack_from(">hhih", message)
                answer = struct.pack(">i", correlation) + log.answer(api, message[10 + client :])
                self.wfile.write(struct.pack(">i", len(answer)) + answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with BrokerConnection(("127.0.0.1", server.server_address[1])) as connection:
                yield connection
        finally:
            server.shutdown()
            thread.join()


def test_a_whole_partition_is_read_as_it_lies_there() -> None:
    log, file = Log(), io.BytesIO()
    with serving(log) as connection:
        found = read_partition(connection, "flights", 3, file)
    assert (found.start, found.end, found.last_stable) == (START, END, END - 1)
    assert file.getvalue() == b"".join(BATCHES)
    assert len(log.asked) > 3


def test_an_error_of_the_broker_is_told() -> None:
    with serving(Log(error=3)) as connection, pytest.raises(BrokerRefused, match=r"fetch of flights\[3\] from 5: .* 3"):
        read_partition(connection, "flights", 3, io.BytesIO())


def test_aborted_transactions_are_read_by_the_way() -> None:
    log = Log()
    part = parse_fetch(_written(log.fetch(_request(4))))
    assert (part.aborted, part.log_start, part.error) == (((7, 9),), START, 0)
    assert part.records == b"".join(BATCHES)[:400]


def _request(offset: int) -> Any:
    return entity_reader(FetchRequest)(fetch_request("flights", 3, offset, 1 << 20), 0)[0]


def test_cut_batches_are_left_for_the_next_fetch() -> None:
    data = BATCHES[0] + BATCHES[1]
    for end in range(len(data) + 1):
        whole, position = whole_batches(data[:end])
        batches = (end >= len(BATCHES[0])) + (end == len(data))
        assert (whole, position) == (sum(map(len, BATCHES[:batches])), 4 + 3 * batches if batches else -1)
