"""What is read past the gateway agrees with what the gateway's own code wrote."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kio.schema.errors import ErrorCode
from kio.schema.list_offsets.v2.request import ListOffsetsRequest
from kio.schema.list_offsets.v2.response import (
    ListOffsetsPartitionResponse,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)
from kio.serial import entity_reader, entity_writer

from gateway.embedded.cluster import open_embedded
from gateway.topics.append import stamped
from mesh.batch.header import Codec
from mesh.batch.records import Record
from mesh.batch.stamp import Producer
from mesh.ids import LaneId, Partition, SubscriptionName, TopicId, TopicName
from mesh.lanes.checkpoint import checkpoint_of, entries
from mesh.offsets.map import OffsetMap
from mesh.spans import GapReason
from tests.lab.collect import RunDirectory, Where
from tests.lab.logs import EmbeddedLogs, stored_of
from tests.lab.raw_fetch import BrokerRefused, log_ends

LANE = LaneId(SubscriptionName("s"), TopicName("flights"), 0)
PIECES = st.lists(
    st.tuples(st.integers(1, 5), st.sampled_from([None, GapReason.MARKER, GapReason.ABORTED])), max_size=40
)


@given(pieces=PIECES)
def test_what_is_stored_of_a_lane_is_the_table_that_it_has(pieces: list[tuple[int, GapReason | None]]) -> None:
    held, answers, copy = OffsetMap(0), list[tuple[int, int | str]](), 0
    for count, reason in pieces:
        for offset in range(held.position, held.position + count):
            answers.append((offset, copy if reason is None else str(reason)))
            copy += reason is None
        if reason is None:
            held.add_records(held.position, copy - count, count)
        else:
            held.add_gap(held.position, count, reason)
    checkpoint = checkpoint_of(held, TopicId("7" * 32), held.records, copy, Producer(7, 2))
    kept = {key: value for key, value in entries(LANE, checkpoint, held, None).items() if value is not None}
    stored = stored_of(kept)
    assert stored is not None
    assert (stored.position, stored.destination_end, stored.producer) == (held.position, copy, (7, 2))
    assert [each for line in stored.lines for each in answered(line)] == answers


def answered(line: Any) -> list[tuple[int, int | str]]:
    """Of each offset of a line of a table: where its copy is, or why there is none."""
    if line[0] == "run":
        return [(line[1] + at, line[2] + at) for at in range(line[3])]
    return [(at, line[3]) for at in range(line[1], line[2])]


def test_nothing_is_stored_of_a_lane_that_has_not_begun() -> None:
    assert stored_of({}) is None


async def test_an_embedded_log_is_read_beside_its_gateway(tmp_path: Path) -> None:
    cluster = await open_embedded(tmp_path / "data", now_ms=0)
    try:
        await cluster.topics.create("flights", 2, {})
        records = [Record(0, 1000 + at, b"k%d" % at, None, ()) for at in range(3)]
        producer = await cluster.destination.producer()
        for sequence in (0, 3):
            await cluster.destination.append(Partition("flights", 1), stamped(records, producer, sequence, Codec.ZSTD))
        await cluster.lanes.put({"lane/s/flights/1/checkpoint": b"{}", "lane/s/flights/10/checkpoint": b"no"})
        logs, places = EmbeddedLogs(tmp_path / "data"), [Where("acme", "flights", 1), Where("acme", "flights", 0)]
        assert logs.ends(places) == [6, 0]
        assert logs.state("s", "flights", 1) == {"lane/s/flights/1/checkpoint": b"{}"}
        directory = RunDirectory(tmp_path / "run")
        logs.read(places[0], directory)
        (file,) = (tmp_path / "run" / "logs").iterdir()
        assert file.read_bytes() == logs.batches(places[0]) != b""
        with pytest.raises(OSError, match="flights"):
            logs.ends([Where("acme", "flights", 2)])
    finally:
        await cluster.close()


# kio has a type for each integer, which is nothing to tests that write plain numbers.
MADE: list[Any] = [ListOffsetsPartitionResponse, ListOffsetsTopicResponse, ListOffsetsResponse, ListOffsetsRequest]


class Leader:
    """A connection that answers as a broker does: partitions gathered by topic, in an order of its own."""

    def __init__(self, ends: dict[tuple[str, int], int], error: int = 0) -> None:
        self.ends, self.error = ends, error
        self.asked: list[int] = []

    def ask(self, api: int, version: int, body: bytes) -> bytes:
        from datetime import timedelta

        partition, topic, answer, request = MADE
        asked, rest = entity_reader(request)(body, 0)
        assert (api, version, rest) == (2, 2, len(body))
        self.asked.append(asked.isolation_level)
        topics = tuple(
            topic(
                name=each.name,
                partitions=tuple(
                    partition(
                        partition_index=one.partition_index,
                        error_code=ErrorCode(self.error),
                        timestamp=-1,
                        offset=self.ends[each.name, one.partition_index],
                    )
                    for one in reversed(each.partitions)
                ),
            )
            for each in reversed(asked.topics)
        )
        out = io.BytesIO()
        entity_writer(answer)(out, answer(throttle_time=timedelta(0), topics=topics))
        return out.getvalue()


def test_the_ends_of_many_partitions_are_one_question() -> None:
    ends = {("a", 0): 5, ("b", 3): 7, ("a", 2): 9}
    leader: Any = Leader(ends)
    assert log_ends(leader, list(ends), stable=True) == ends
    assert log_ends(leader, list(ends), stable=False) == ends
    assert leader.asked == [1, 0]


def test_a_broker_that_does_not_lead_a_partition_is_not_believed() -> None:
    leader: Any = Leader({("a", 0): -1}, error=6)
    with pytest.raises(BrokerRefused, match=r"end of a\[0\]: Kafka's error 6"):
        log_ends(leader, [("a", 0)], stable=False)
