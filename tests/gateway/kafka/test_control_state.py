from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import pytest

from gateway.kafka import control_state
from gateway.kafka.control_state import KafkaControl, the_one
from gateway.kafka.errors import StateSplit
from gateway.kafka.state_partition import StatePartition
from mesh.batch.encode import encode
from mesh.batch.records import Record
from mesh.cluster_errors import ClusterUnreachable
from mesh.ids import Partition, TopicId

ID = TopicId("0" * 32)


def test_a_state_topic_that_somebody_made_with_several_partitions_is_refused_by_name() -> None:
    parts = [StatePartition(Partition("_mesh.control", number), ID) for number in range(3)]
    assert the_one(parts[:1]) is parts[0]
    with pytest.raises(StateSplit, match=r"_mesh\.control has 3 partitions"):
        the_one(parts)


async def test_what_was_read_before_reading_failed_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def reads_a_part(client: object, parts: Collection[StatePartition]) -> None:
        for part in parts:
            part.take(memoryview(encode([Record(0, 0, b"share/flights", b"{}")])))
        raise ClusterUnreachable("c", "the connection broke")

    monkeypatch.setattr(control_state, "read_to_end", reads_a_part)
    nothing: Any = None  # no request gets that far
    store = KafkaControl(nothing, nothing, StatePartition(Partition("_mesh.control", 0), ID))
    store._doubtful = True  # as after an append without an answer: the next look reads
    hears = asyncio.create_task(store.wait_changed(store.version))
    await asyncio.sleep(0)
    with pytest.raises(ClusterUnreachable):
        await store.load("")
    async with asyncio.timeout(5):
        assert await hears == store.version
