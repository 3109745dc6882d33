"""The two messages packed by hand agree with another implementation of the protocol (kio's)."""

from __future__ import annotations

import io
import struct
import uuid
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kio.schema.errors import ErrorCode
from kio.schema.fetch.v13 import FetchRequest, FetchResponse
from kio.schema.fetch.v13.response import AbortedTransaction as KioAborted
from kio.schema.fetch.v13.response import EpochEndOffset, FetchableTopicResponse, PartitionData
from kio.schema.produce.v9 import ProduceRequest, ProduceResponse
from kio.schema.produce.v9.response import BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse
from kio.serial import entity_reader, entity_writer
from kio.static.primitive import i32Timedelta

from gateway.kafka.fetch_message import READ_COMMITTED, FetchPart, pack_fetch, parse_fetch
from gateway.kafka.produce_message import Appended, pack_produce, parse_produce
from mesh.batch.stamp import Producer
from mesh.ids import Partition
from mesh.log import AbortedTransaction
from tests.support.batches import numbered, stamped

NO_TIME: Any = i32Timedelta.parse(timedelta(0))
NO_TAGS = b"\0"

offsets = st.integers(0, 2**63 - 1)
parts = st.builds(
    FetchPart,
    st.sampled_from([uuid.UUID(int=1).bytes, uuid.UUID(int=2).bytes]),
    st.integers(0, 300),
    offsets,
    st.integers(-1, 100),
    st.integers(-1, 100),
    st.integers(0, 1 << 30),
)


@settings(max_examples=50)
@given(st.lists(parts, min_size=1, max_size=200, unique_by=lambda part: (part.topic_id, part.partition)))
def test_a_fetch_says_what_was_asked(asked: list[FetchPart]) -> None:
    data = pack_fetch(asked, READ_COMMITTED, 250, 1 << 20)
    request, size = entity_reader(FetchRequest)(data, 0)
    assert size == len(data)
    assert (request.min_bytes, request.max_bytes, request.isolation_level) == (1, 1 << 20, 1)
    assert (request.session_id, request.session_epoch, request.rack_id) == (0, -1, "")
    found = [
        FetchPart(
            topic.topic_id.bytes if topic.topic_id else b"",
            part.partition,
            part.fetch_offset,
            part.current_leader_epoch,
            part.last_fetched_epoch,
            part.partition_max_bytes,
        )
        for topic in request.topics
        for part in topic.partitions
    ]
    assert sorted(found) == sorted(asked)


def _fetch_response() -> bytes:
    make: Any = PartitionData
    partitions = tuple(
        make(
            partition_index=number,
            error_code=ErrorCode(0 if number else 1),
            high_watermark=70 + number,
            last_stable_offset=60 + number,
            log_start_offset=number,
            diverging_epoch=EpochEndOffset(epoch=3, end_offset=41) if number == 2 else EpochEndOffset(),  # type: ignore[arg-type]
            aborted_transactions=(KioAborted(producer_id=5, first_offset=6),) if number == 1 else None,  # type: ignore[arg-type]
            preferred_read_replica=-1,
            records=b"r" * 150 * number if number else None,
        )
        for number in range(3)
    )
    topic: Any = FetchableTopicResponse(topic_id=uuid.UUID(int=9), partitions=partitions)
    response = FetchResponse(throttle_time=NO_TIME, error_code=ErrorCode(0), session_id=0, responses=(topic,))  # type: ignore[arg-type]
    out = io.BytesIO()
    entity_writer(FetchResponse)(out, response)
    return NO_TAGS + out.getvalue()


def test_a_fetch_answer_is_read_whole() -> None:
    error, found = parse_fetch(memoryview(_fetch_response()))
    assert error == 0
    assert [part.topic_id for part in found] == [uuid.UUID(int=9).bytes] * 3
    assert [(part.partition, part.error, len(part.records)) for part in found] == [(0, 1, 0), (1, 0, 150), (2, 0, 300)]
    assert [part.aborted for part in found] == [(), (AbortedTransaction(5, 6),), ()]
    assert [part.diverges_at for part in found] == [None, None, 41]
    assert [(part.log_start, part.last_stable, part.high_watermark) for part in found] == [
        (0, 60, 70),
        (1, 61, 71),
        (2, 62, 72),
    ]


def test_a_cut_fetch_answer_is_an_error_never_less_data() -> None:
    whole = _fetch_response()
    for size in range(len(whole) - 2):
        with pytest.raises((ValueError, IndexError, struct.error)):
            parse_fetch(memoryview(whole)[:size])


def test_a_produce_request_says_what_was_given() -> None:
    batches = [
        (Partition(topic, number), stamped(Producer(4, 1), number, numbered(*range(number + 1))))
        for topic in ("a", "b" * 200)
        for number in range(130)
    ]
    data = b"".join(pack_produce(batches, 1500))
    request, size = entity_reader(ProduceRequest)(data, 0)
    assert size == len(data)
    assert (request.transactional_id, request.acks, request.timeout.total_seconds()) == (None, -1, 1.5)
    found = {
        Partition(topic.name, part.index): part.records for topic in request.topic_data for part in topic.partition_data
    }
    assert found == {partition: batch.header + bytes(batch.payload) for partition, batch in batches}


def test_a_produce_answer_is_read_whole() -> None:
    make: Any = PartitionProduceResponse
    refused = make(
        index=1,
        error_code=ErrorCode(87),
        base_offset=-1,
        record_errors=(BatchIndexAndErrorMessage(batch_index=0, batch_index_error_message="no key"),),  # type: ignore[arg-type]
        error_message="one record",
    )
    fine = make(index=2, error_code=ErrorCode(0), base_offset=77, record_errors=(), error_message=None)
    topic: Any = TopicProduceResponse(name="t", partition_responses=(refused, fine))  # type: ignore[arg-type]
    out = io.BytesIO()
    entity_writer(ProduceResponse)(out, ProduceResponse(responses=(topic,), throttle_time=NO_TIME))
    assert parse_produce(memoryview(NO_TAGS + out.getvalue())) == {
        Partition("t", 1): Appended(87, -1, "one record; no key"),
        Partition("t", 2): Appended(0, 77, ""),
    }
