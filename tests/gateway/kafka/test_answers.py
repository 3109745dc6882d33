"""Our reader of kio's messages: it reads what kio reads, and believes no count."""

from __future__ import annotations

import asyncio
import importlib
import io
import re
import struct
import tracemalloc
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import example as shown
from hypothesis import given, settings
from hypothesis import strategies as st
from kio.schema.consumer_group_describe.v0 import ConsumerGroupDescribeResponse
from kio.schema.consumer_group_heartbeat.v0 import ConsumerGroupHeartbeatResponse
from kio.schema.fetch.v17 import FetchResponse
from kio.schema.join_group.v5 import JoinGroupResponse
from kio.schema.metadata.v12 import MetadataResponse
from kio.schema.metadata.v12.response import MetadataResponseBroker
from kio.serial import entity_reader, entity_writer

import gateway
from gateway.kafka.answers import UNREADABLE, reader_of
from gateway.kafka.client import Client
from gateway.kafka.config import KafkaConfig
from mesh.cluster_errors import ClusterUnreachable
from tests.fuzz.brokers import example
from tests.fuzz.mutate import mutated

ROOM = 1 << 20
"""Bytes that no answer of some hundred bytes may take."""


@cache
def asked() -> dict[str, Any]:
    """Every answer of kio's that the gateway reads, and some with what is rare."""
    used = re.compile(r"from (kio\.schema\.\w+\.v\d+) import .*?(\w+Response)\b")
    text = "\n".join(each.read_text() for each in Path(gateway.__file__).parent.rglob("*.py"))
    found = {name: getattr(importlib.import_module(module), name) for module, name in used.findall(text)}
    assert len(found) > 20, sorted(found)
    rare = (FetchResponse, ConsumerGroupHeartbeatResponse, ConsumerGroupDescribeResponse)
    return found | {each.__name__: each for each in rare}


def written(kind: Any, value: Any = None) -> bytes:
    out = io.BytesIO()
    entity_writer(kind)(out, value or example(kind))
    return out.getvalue()


@pytest.mark.parametrize("name", asked())
def test_it_reads_what_kio_reads(name: str) -> None:
    kind = asked()[name]
    data = written(kind)
    value, size = reader_of(kind)(b"some" + data + b"more", 4)
    assert (value, size) == entity_reader(kind)(data, 0) == (example(kind), len(data))
    assert repr(value) == repr(example(kind))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(asked())), st.integers(0, 1 << 32))
@shown("MetadataResponse", 0)
def test_of_damaged_answers_too(name: str, seed: int) -> None:
    kind = asked()[name]
    data = mutated(written(kind), Random(seed))
    try:
        found = reader_of(kind)(data, 0)
    except UNREADABLE:
        return
    try:  # what got so far states no false counts, so that kio may be asked, too
        theirs = entity_reader(kind)(data, 0)
    except KeyError:
        return  # a tag that kio does not know
    assert repr(found) == repr(theirs)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (MetadataResponse, bytes(4) + b"\xff\xff\xff\xff\x0f" + bytes(8)),
        (MetadataResponse, bytes(4) + b"\xff\xff\xff\xff\x7f" + bytes(8)),
        (MetadataResponse, bytes(4) + b"\x0a" + bytes(8)),
        (JoinGroupResponse, struct.pack(">ihi", 0, 0, 1) + bytes(6) + struct.pack(">i", 0x7FFFFFFF) + bytes(40)),
        (JoinGroupResponse, struct.pack(">ihi", 0, 0, 1) + bytes(6) + struct.pack(">i", -2) + bytes(40)),
    ],
    ids=["2^32", "2^35", "one more than bytes", "2^31", "negative"],
)
def test_a_count_that_the_bytes_cannot_hold_is_refused(kind: type[Any], data: bytes) -> None:
    with pytest.raises(ValueError, match=r"an array of \S+ elements in \d+ bytes"):
        reader_of(kind)(data, 0)


@pytest.mark.parametrize("name", asked())
def test_nothing_that_an_answer_states_takes_more_room_than_its_bytes(name: str) -> None:
    kind = asked()[name]
    data, reader = written(kind), reader_of(kind)
    tracemalloc.start()
    try:
        for at in range(len(data)):
            for stated in (b"\xff\xff\xff\xff\x0f", b"\x7f\xff\xff\xff"):
                try:
                    reader(data[:at] + stated + data[at + 1 :], 0)
                except UNREADABLE:
                    continue
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < ROOM


def test_a_tagged_field_that_is_not_known_is_passed_over() -> None:
    data = written(MetadataResponse)
    assert data.endswith(b"\0")
    value, size = reader_of(MetadataResponse)(data[:-1] + b"\x01\x63\x03new", 0)
    assert (value, size) == (example(MetadataResponse), len(data) + 5)


@pytest.mark.parametrize("tags", [b"\x01\x63\x03ne", b"\x01\x63", b"\xff\xff\xff\xff\x0f", b"\x01\x00\x63", b""])
def test_tagged_fields_that_the_bytes_do_not_hold_are_refused(tags: bytes) -> None:
    data = written(MetadataResponse)
    with pytest.raises(UNREADABLE):
        reader_of(MetadataResponse)(data[:-1] + tags, 0)


def test_a_tagged_field_is_as_long_as_it_says() -> None:
    data = written(FetchResponse)
    assert reader_of(FetchResponse)(data, 0)[0].node_endpoints == example(FetchResponse).node_endpoints
    head, content = data[:-40], data[-39:]
    assert data == head + bytes([len(content)]) + content
    longer = head + bytes([len(content) + 1]) + content + b"\0"
    with pytest.raises(ValueError, match="the tagged field node_endpoints"):
        reader_of(FetchResponse)(longer, 0)


def test_null_is_read_only_where_it_may_be() -> None:
    heartbeat: Any = ConsumerGroupHeartbeatResponse
    without = written(heartbeat, _without_assignment(heartbeat))
    assert reader_of(heartbeat)(without, 0)[0].assignment is None
    marker = len(without) - 2
    with pytest.raises(ValueError, match="neither a structure nor null: 7"):
        reader_of(heartbeat)(without[:marker] + b"\x07\0", 0)
    with pytest.raises(ValueError, match="null in place of an array"):
        reader_of(MetadataResponse)(bytes(5), 0)
    rackless = MetadataResponseBroker(node_id=1, host="h", port=1, rack=None)  # type: ignore[arg-type]
    assert reader_of(MetadataResponseBroker)(written(MetadataResponseBroker, rackless), 0)[0] == rackless


async def test_an_answer_that_leaves_out_what_was_asked_is_an_error_that_is_documented() -> None:
    async with asyncio.TaskGroup() as tasks:
        client = Client(KafkaConfig(bootstrap=("broker:9092",)), None, tasks)
        assert client.only(("flights",)) == "flights"
        with pytest.raises(ClusterUnreachable, match="says nothing of what was asked"):
            client.only(())


def _without_assignment(kind: Any) -> Any:
    whole = example(kind)
    return kind(**{name: getattr(whole, name) for name in kind.__slots__} | {"assignment": None})
