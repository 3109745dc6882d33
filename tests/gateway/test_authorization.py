"""Who may move data which way, against an independent policy of a few lines."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.importer.lane import LaneSettings
from gateway.importer.manager import ImportManager
from gateway.importer.pipeline import PipelineSettings
from gateway.registry import Registry
from mesh.batch.limits import DEFAULT_LIMITS
from mesh.batch.records import check_records
from mesh.errors import MeshError
from mesh.ids import LaneId, OrgId, ShareName, SubscriptionName, TopicName
from mesh.policy import Request
from mesh.shares import Grant, GrantState, PeerState, Share, Subscription, SubscriptionState, TopicMapping
from mesh.testing.cluster import FakeCluster
from tests.support.control import peer_of

ORGS = [OrgId(f"{name}.example") for name in ("acme", "globex", "initech")]
SHARES = [ShareName("flights"), ShareName("fares")]
TOPICS = [TopicName("departures"), TopicName("arrivals")]
Direction = Literal["export", "import"]
World = dict[str, Any]

orgs, shares, topics = st.sampled_from(ORGS), st.sampled_from(SHARES), st.sampled_from(TOPICS)
times = st.integers(0, 6)
worlds = st.fixed_dictionaries(
    {
        "peers": st.dictionaries(orgs, st.sampled_from([PeerState.ACTIVE, *PeerState])),
        "shares": st.dictionaries(shares, st.sets(topics)),
        "grants": st.dictionaries(st.tuples(shares, orgs), st.tuples(times, st.none() | times, st.booleans())),
        "subscribed": st.dictionaries(st.tuples(orgs, topics), st.sampled_from(SubscriptionState)),
    }
)


def reference(world: World, caller: OrgId, share: ShareName, topic: TopicName, way: Direction, now_ms: int) -> bool:
    """What the pages say, without looking at the code."""
    if world["peers"].get(caller) != "active":
        return False
    if way == "import":
        return bool(world["subscribed"].get((caller, topic)) == "active")
    start_ms, end_ms, is_active = world["grants"].get((share, caller), (0, 0, False))
    in_time = start_ms <= now_ms and (end_ms is None or now_ms < end_ms)
    return bool(is_active and in_time and topic in world["shares"].get(share, set()))


async def judged(world: World, caller: OrgId, share: ShareName, topic: TopicName, way: Direction, now_ms: int) -> bool:
    """What the gateway does: at each segment that leaves, and at each append of one that came."""
    cluster = FakeCluster().ports
    registry = await Registry.open(cluster.control, cluster.lanes)
    for org, state in world["peers"].items():
        registry._apply(peer_of(org, state))
    for name, shared in world["shares"].items():
        registry._apply(Share(name, tuple(shared)))
    for (name, org), (start_ms, end_ms, is_active) in world["grants"].items():
        kind = GrantState.ACTIVE if is_active else GrantState.REVOKED
        registry._apply(Grant(name, org, start_ms, end_ms, kind))
    if way == "export":
        return registry.decide(Request(caller, share, topic, 0), now_ms).allowed
    lane = LaneSettings(PipelineSettings(DEFAULT_LIMITS, check_records), 1, 1, 1)
    links: Any = None  # nothing is linked
    manager = ImportManager(cluster, registry, links, lane, now_ms=lambda: now_ms, random=Random(1))
    found = world["subscribed"].get((caller, topic))
    mappings = (TopicMapping(topic, TopicName("copy")),)
    state_of_it = found or SubscriptionState.ACTIVE
    subscription = Subscription(SubscriptionName("copy"), caller, share, mappings, state=state_of_it)
    if found is not None:
        registry._apply(subscription)
    try:
        lane_id = LaneId(subscription.name, topic, 0)
        manager._permit(subscription, lane_id, cluster.ownership.term(lane_id))
    except MeshError:
        return False
    return True


@settings(max_examples=200, deadline=None)
@given(worlds, orgs, shares, topics, st.sampled_from(["export", "import"]), times)
def test_both_directions_are_judged_as_the_reference_does(
    world: World, caller: OrgId, share: ShareName, topic: TopicName, way: Direction, now_ms: int
) -> None:
    assert asyncio.run(judged(world, caller, share, topic, way, now_ms)) == reference(
        world, caller, share, topic, way, now_ms
    )
