"""What a peer is told of a share's topics: enough to make copies of them that keep what they are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
from google.protobuf.message import Message

from gateway.peers.answers import Answers
from gateway.registry import Registry
from mesh.ids import OrgId, Partition, ShareName, TopicName
from mesh.log import Fetched, LogRange
from mesh.ports import Cluster, Source
from mesh.shares import Grant
from mesh.testing.cluster import FakeCluster
from mesh.wire.v1 import link_pb2
from tests.support.control import NOW_MS, MemoryStore, peer_of

ACME, GLOBEX, FLIGHTS = OrgId("acme.example"), OrgId("globex.example"), ShareName("flights")


async def granted(cluster: Cluster, config: Mapping[str, str]) -> Registry:
    """ACME shares a topic of `config` with GLOBEX."""
    registry = await Registry.open(MemoryStore(), MemoryStore())
    await cluster.topics.create("departures", 1, config)
    await registry.add_peer(peer_of(GLOBEX))
    await registry.create_share(FLIGHTS, [TopicName("departures")], NOW_MS)
    await registry.create_grant(Grant(FLIGHTS, GLOBEX), NOW_MS)
    return registry


async def offered_settings(config: Mapping[str, str]) -> dict[str, str]:
    """What the catalog says of a topic with `config`."""
    cluster = FakeCluster().ports
    registry = await granted(cluster, config)
    (share,) = (await Answers(cluster, registry, lambda: NOW_MS, lambda: ACME).catalog(GLOBEX)).shares
    return dict(share.topics[0].config)


@pytest.mark.parametrize("retention_ms", ["1000", "-1"])
async def test_a_copy_is_to_keep_records_as_long_as_its_source(retention_ms: str) -> None:
    assert (await offered_settings({"retention.ms": retention_ms}))["retention.ms"] == retention_ms


async def test_a_source_that_keeps_records_for_ever_says_so() -> None:
    """Or the default of the copy's cluster would take records away whose timestamps are older than that."""
    assert (await offered_settings({}))["retention.ms"] == "-1"


async def test_a_copy_keeps_the_timestamps_that_the_source_gave_at_append() -> None:
    """Were it to take append time too, its cluster would stamp the copies anew."""
    assert (await offered_settings({"message.timestamp.type": "LogAppendTime"}))[
        "message.timestamp.type"
    ] == "CreateTime"


@pytest.mark.parametrize(
    "body",
    [
        link_pb2.DigestRequest(share=FLIGHTS, topic="departures", end_source_offset=10),
        link_pb2.MeasureRequest(share=FLIGHTS, topics=["departures"]),
    ],
    ids=["digests", "measures"],
)
async def test_a_grant_that_ends_while_the_log_is_read_gets_no_answer(body: Message) -> None:
    cluster = FakeCluster().ports
    registry = await granted(cluster, {})

    class Slow:
        """The grant is gone before the log has answered."""

        async def fetch(self, *arguments: Any) -> Fetched:
            await registry.revoke_grant(FLIGHTS, GLOBEX)
            return await cluster.source.fetch(*arguments)

        async def range(self, partition: Partition) -> LogRange:
            await registry.revoke_grant(FLIGHTS, GLOBEX)
            return await cluster.source.range(partition)

    slow = replace(cluster, source=cast(Source, Slow()))
    reply = await Answers(slow, registry, lambda: NOW_MS, lambda: ACME).answer(GLOBEX, body)
    assert isinstance(reply, link_pb2.Refusal)
    assert reply.code == "not-available"
