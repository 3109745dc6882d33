"""What a peer is told of a share's topics: enough to make copies of them that keep what they are given."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from gateway.peers.answers import Answers
from gateway.registry import Registry
from mesh.ids import OrgId, ShareName, TopicName
from mesh.shares import Grant
from mesh.testing.cluster import FakeCluster
from tests.support.control import NOW_MS, MemoryStore, peer_of

GLOBEX, FLIGHTS = OrgId("globex.example"), ShareName("flights")


async def offered_settings(config: Mapping[str, str]) -> dict[str, str]:
    """What the catalog says of a topic with `config`."""
    cluster, registry = FakeCluster().ports, await Registry.open(MemoryStore(), MemoryStore())
    await cluster.topics.create("departures", 1, config)
    await registry.add_peer(peer_of(GLOBEX))
    await registry.create_share(FLIGHTS, [TopicName("departures")], NOW_MS)
    await registry.create_grant(Grant(FLIGHTS, GLOBEX), NOW_MS)
    (share,) = (await Answers(cluster, registry, lambda: NOW_MS, lambda: OrgId("acme.example")).catalog(GLOBEX)).shares
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
