"""What a provider offers is followed: partitions, topics, settings, and where the records came from."""

from __future__ import annotations

from dataclasses import replace

import pytest

import gateway.importer.following
from gateway.importer import manager
from mesh.cluster_errors import PermissionMissing
from mesh.ids import OrgId, Partition, TopicName
from mesh.lanes.status import LaneState
from mesh.origins import Hop, TopicOrigin
from mesh.shares import Grant, Policies
from tests.support.following import NAME, Following, following, mapping
from tests.support.hubs import FLIGHTS, TOPIC, now_ms, until

COPY = "acme.departures"


async def offer(following: Following, *topics: str, patterns: tuple[str, ...] = ()) -> None:
    await following.both.acme.registry.add_to_share(FLIGHTS, [TopicName(topic) for topic in topics], patterns)


async def test_a_partition_that_is_added_is_copied_from_its_beginning_and_no_other_lane_is_disturbed() -> None:
    async with following() as flow:
        await flow.create("globex", COPY)
        await flow.subscribe(mapping(TOPIC, COPY, 1), start="latest")
        await flow.status(lambda status: status.state is LaneState.RUNNING)
        (runner,) = flow.imports._running[NAME].lanes.values()
        await flow.both.acme.cluster.ports.topics.grow(TOPIC, 2)
        flow.write(TOPIC, 1, 3)
        assert await flow.copied(COPY, 1, 3) == [b"record-0", b"record-1", b"record-2"]
        assert flow.lanes() == {(TOPIC, 0), (TOPIC, 1)}
        assert next(iter(flow.imports._running[NAME].lanes.values())) is runner
        assert runner.status().state is LaneState.RUNNING
        assert flow.both.globex.cluster.log(Partition(COPY, 0)).end == 0, "it began at the latest record"


async def test_where_the_destination_cannot_grow_the_other_partitions_go_on() -> None:
    async with following() as flow:
        await flow.create("globex", COPY)
        await flow.subscribe(mapping(TOPIC, COPY, 1))
        await flow.copied(COPY, 0, flow.held)
        flow.both.globex.cluster.fail_next("grow", PermissionMissing("alter", "topic"))
        await flow.both.acme.cluster.ports.topics.grow(TOPIC, 2)
        held = await flow.status(lambda status: status.lane.partition == 1)
        assert (held.state, held.code) == (LaneState.STOPPED, "permission-missing")
        flow.write(TOPIC, 0)
        assert len(await flow.copied(COPY, 0, flow.held)) == flow.held


async def test_a_topic_that_is_made_later_is_followed_by_its_pattern() -> None:
    async with following() as flow:
        await offer(flow, patterns=("orders.*",))
        await flow.subscribe(patterns=[("orders.*", "acme.*")], start="latest")
        await flow.create("acme", "orders.eu", 2, retention_bytes="5000")
        await flow.create("acme", "_orders.private")
        flow.write("orders.eu", 1, 2)
        assert await flow.copied("acme.eu", 1, 2) == [b"record-0", b"record-1"]
        made = flow.both.globex.cluster.topic("acme.eu")
        assert (made.partitions, made.config["retention.bytes"]) == (2, "5000")
        assert flow.lanes() == {("orders.eu", 0), ("orders.eu", 1)}


async def test_a_pattern_never_mixes_its_records_with_somebodys_own() -> None:
    async with following() as flow:
        await flow.create("globex", "acme.eu")
        own = flow.both.acme.cluster.log(Partition(TOPIC, 0)).fetch(0, 1).data
        flow.both.globex.cluster.foreign_write(Partition("acme.eu", 0), bytes(own))
        await offer(flow, patterns=("orders.*",))
        await flow.create("acme", "orders.eu")
        await flow.subscribe(patterns=[("orders.*", "acme.*")])
        held = await flow.status(lambda status: status.lane.topic == "orders.eu")
        assert (held.state, held.code) == (LaneState.STOPPED, "destination-not-empty")


async def test_what_stood_in_the_way_of_a_topic_here_may_go_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager, "ASKED_ANEW_S", 0.02)
    async with following() as flow:
        await flow.create("globex", "acme.eu")
        own = flow.both.acme.cluster.log(Partition(TOPIC, 0)).fetch(0, 1).data
        flow.both.globex.cluster.foreign_write(Partition("acme.eu", 0), bytes(own))
        await offer(flow, patterns=("orders.*",))
        await flow.create("acme", "orders.eu")
        await flow.subscribe(patterns=[("orders.*", "acme.*")])
        await flow.status(lambda status: status.code == "destination-not-empty")
        await flow.both.globex.cluster.ports.topics.delete("acme.eu")
        flow.write("orders.eu", 0)
        assert await flow.copied("acme.eu", 0, 1) == [b"record-0"]


async def test_a_topic_that_another_gateway_was_quicker_to_follow_is_followed_here_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(manager, "ASKED_ANEW_S", 0.02)
    async with following() as flow:
        await flow.create("globex", "acme.eu")
        own = flow.both.acme.cluster.log(Partition(TOPIC, 0)).fetch(0, 1).data
        flow.both.globex.cluster.foreign_write(Partition("acme.eu", 0), bytes(own))
        await offer(flow, patterns=("orders.*",))
        await flow.create("acme", "orders.eu")
        await flow.subscribe(patterns=[("orders.*", "acme.*")])
        await flow.status(lambda status: status.code == "destination-not-empty")
        await flow.both.globex.registry.follow_topic(NAME, mapping("orders.eu", "acme.eu", 0))
        running = await flow.status(lambda status: status.state is LaneState.RUNNING)
        assert running.lane.topic == "orders.eu"


async def test_more_topics_than_one_subscription_takes_are_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.importer.following, "MAX_FOLLOWED", 2)
    async with following() as flow:
        await offer(flow, patterns=("orders.*",))
        for number in range(6):
            await flow.create("acme", f"orders.{number}")
        await flow.subscribe(patterns=[("orders.*", "acme.*")])
        await flow.status(lambda status: status.code == "too-many-offered")
        await flow.status(lambda status: status.lane.topic == "orders.1" and status.state is LaneState.RUNNING)
        assert flow.lanes() == {("orders.0", 0), ("orders.1", 0), ("orders.2", 0)}


async def test_what_is_removed_from_a_share_ends_at_once_and_comes_back_with_it() -> None:
    async with following() as flow:
        await flow.create("globex", COPY)
        await flow.subscribe(mapping(TOPIC, COPY, 1))
        await flow.copied(COPY, 0, flow.held)
        await flow.both.acme.registry.remove_from_share(FLIGHTS, [TOPIC])
        await flow.status(lambda status: status.code == "not-available" and status.state is LaneState.WAITING)
        flow.write(TOPIC, 0)
        await offer(flow, TOPIC)
        assert len(await flow.copied(COPY, 0, flow.held)) == flow.held


async def test_settings_are_followed_only_where_that_is_chosen() -> None:
    async with following() as flow:
        await flow.create("globex", COPY, retention_ms="-1")
        await flow.subscribe(mapping(TOPIC, COPY, 1))
        await flow.copied(COPY, 0, flow.held)
        changes = {"retention.ms": "99000", "min.insync.replicas": "7"}
        await flow.both.acme.cluster.ports.topics.configure(TOPIC, changes)
        await flow.both.acme.cluster.ports.topics.grow(TOPIC, 2)
        await until(lambda: len(flow.imports._running[NAME].lanes) == 2)  # the offer has been gone through
        topic = flow.both.globex.cluster.topic
        assert topic(COPY).config["retention.ms"] == "-1"
        runners = list(flow.imports._running[NAME].lanes.values())
        await flow.both.globex.registry.set_policies(NAME, Policies(follow_config=True))
        await until(lambda: topic(COPY).config["retention.ms"] == "99000")
        await flow.both.acme.cluster.ports.topics.configure(TOPIC, {"max.message.bytes": "5000"})
        await until(lambda: topic(COPY).config.get("max.message.bytes") == "5000")
        await flow.both.acme.cluster.ports.topics.configure(TOPIC, {"max.message.bytes": None})
        await until(lambda: "max.message.bytes" not in topic(COPY).config)
        assert "min.insync.replicas" not in topic(COPY).config
        assert list(flow.imports._running[NAME].lanes.values()) == runners, "no lane was disturbed"


async def test_a_loop_that_is_closed_later_stops_the_lane_before_a_record_passes() -> None:
    """ACME's topic becomes a copy of GLOBEX's while GLOBEX copies it."""
    async with following() as flow:
        acme, globex = flow.both.acme, flow.both.globex
        await acme.registry.revoke_grant(FLIGHTS, globex.organization.org)
        await acme.registry.create_grant(Grant(FLIGHTS, globex.organization.org), now_ms())
        await flow.create("globex", COPY)
        await flow.subscribe(mapping(TOPIC, COPY, 1))
        await flow.copied(COPY, 0, flow.held)
        copied = globex.cluster.topic(COPY).topic_id
        path = (Hop(globex.organization.org, copied),)
        source_id = acme.cluster.topic(TOPIC).topic_id
        await acme.registry.record_origin(TopicOrigin(source_id, TOPIC, path, onward=True))
        flow.write(TOPIC, 0)  # what came back from GLOBEX
        held = await flow.status(lambda status: status.code == "loop-refused")
        assert held.state is LaneState.STOPPED
        assert globex.cluster.log(Partition(COPY, 0)).end == flow.held - 1


async def test_a_copy_is_offered_onward_only_where_its_grant_lets_us_and_with_its_path() -> None:
    async with following() as flow:
        acme, globex = flow.both.acme, flow.both.globex
        initech, source_id = OrgId("initech.example"), acme.cluster.topic(TOPIC).topic_id
        origin = TopicOrigin(source_id, TOPIC, (Hop(initech, source_id),))
        await acme.registry.record_origin(origin)
        assert [len(share.topics) for share in (await globex.hub.catalog(acme.organization.org)).shares] == [0]
        await acme.registry.record_origin(replace(origin, onward=True))
        (share,) = (await globex.hub.catalog(acme.organization.org)).shares
        assert [hop.organization for hop in share.topics[0].origin] == ["initech.example", "acme.example"]
        await flow.create("globex", COPY)
        await flow.subscribe(mapping(TOPIC, COPY, 1))
        await flow.copied(COPY, 0, flow.held)
        known = globex.registry.origins[globex.cluster.topic(COPY).topic_id]
        assert [hop.organization for hop in known.path] == ["initech.example", "acme.example"]
        assert not known.onward
