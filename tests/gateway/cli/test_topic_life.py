"""Shares of patterns, plans, and policies that change: what the operator types and reads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh.ids import OrgId
from mesh.origins import Hop, TopicOrigin
from mesh.wire.v1 import catalog_pb2, link_pb2
from tests.support.control import peer_of
from tests.support.control_cli import TOPIC_ID, ControlGateway, catalog_of, control_gateway

GLOBEX = "globex.example"
TARGET = f"{GLOBEX}/flights"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[ControlGateway]:
    async with control_gateway(tmp_path) as gateway:
        yield gateway


def measured(**topics: list[tuple[int, int, int | None]]) -> link_pb2.MeasureReply:
    """(start, end, size) of each partition, copied from its start."""
    found = [
        link_pb2.TopicMeasure(
            topic=name,
            partitions=[
                link_pb2.PartitionMeasure(
                    log_start=start, log_end=end, last_stable=end, first_source_offset=start, size_bytes=size
                )
                for start, end, size in parts
            ],
        )
        for name, parts in topics.items()
    ]
    return link_pb2.MeasureReply(topics=found)


async def offered(gateway: ControlGateway, **topics: int) -> None:
    await gateway.add_peer(GLOBEX)
    gateway.admin.links.catalogs[GLOBEX] = catalog_of("flights", topics)


async def test_a_share_of_patterns_holds_what_matches_now(gateway: ControlGateway) -> None:
    for topic in ("orders.eu", "_orders.own"):
        await gateway.done("topic", "create", topic)
    made = await gateway.done("share", "create", "flights", "--topic", "orders.*")
    assert made.out == "created share flights of orders.*\n"
    await gateway.done("topic", "create", "orders.us")
    shown = (await gateway.done("share", "show", "flights", "--json")).json
    assert [(each["topic"], each["by"]) for each in shown["contents"]] == [
        ("orders.eu", "orders.*"),
        ("orders.us", "orders.*"),
    ]
    await gateway.refused("illegal-pattern", "share", "create", "other", "--topic", "_*")


async def test_topics_are_added_and_removed_with_a_new_version(gateway: ControlGateway) -> None:
    for topic in ("departures", "arrivals"):
        await gateway.done("topic", "create", topic)
    await gateway.done("share", "create", "flights", "--topic", "departures")
    await gateway.refused("topic-absent", "share", "add", "flights", "--topic", "gates")
    added = await gateway.done("share", "add", "flights", "--topic", "arrivals", "--topic", "gate?")
    assert added.out == "share flights is at version 2: departures, arrivals, gate?\n"
    await gateway.refused("topic-repeated", "share", "add", "flights", "--topic", "arrivals")
    assert "pattern gate? only" in await gateway.refused(
        "not-in-share", "share", "remove", "flights", "--topic", "gate1"
    )
    removed = (
        await gateway.done("share", "remove", "flights", "--topic", "gate?", "--topic", "arrivals", "--json")
    ).json
    assert (removed["version"], removed["topics"], removed["patterns"]) == (3, ["departures"], [])
    await gateway.refused("share-absent", "share", "show", "flight")


async def test_a_copy_is_not_shared_unless_its_grant_lets_us(gateway: ControlGateway) -> None:
    await gateway.done("topic", "create", "copy")
    registry, cluster = gateway.admin.services.registry, gateway.admin.services.cluster
    copy = await cluster.topics.describe("copy")
    path = (Hop(OrgId(GLOBEX), copy.topic_id),)
    await registry.record_origin(TopicOrigin(copy.topic_id, copy.name, path))  # type: ignore[arg-type]
    assert GLOBEX in await gateway.refused("copy-not-onward", "share", "create", "flights", "--topic", "copy")
    await gateway.done("share", "create", "flights", "--topic", "*")
    assert "does not let us share it" in (await gateway.done("share", "show", "flights")).out
    await registry.add_peer(peer_of("initech.example"))
    await gateway.done("grant", "create", "flights", "--to", "initech.example")
    explained = await gateway.done("grant", "explain", "flights", "--to", "initech.example", "--topic", "copy")
    assert "denied (copy-not-onward)" in explained.out
    await registry.record_origin(TopicOrigin(copy.topic_id, copy.name, path, onward=True))  # type: ignore[arg-type]
    await gateway.done("share", "add", "flights", "--topic", "copy")
    listed = (await gateway.done("audit", "list", "--action", "topic.origin-recorded", "--json")).out
    assert GLOBEX in listed


async def test_without_a_topic_everything_is_subscribed_under_its_own_name(gateway: ControlGateway) -> None:
    await offered(gateway, departures=2, arrivals=1)
    made = (await gateway.done("subscribe", TARGET, "--json")).json
    assert sorted(made["created_topics"]) == ["arrivals", "departures"]
    assert made["patterns"] == [{"source": "*", "destination": "*"}]
    stored = gateway.admin.services.registry.subscription("flights")
    assert {each.source_topic: each.source_partitions for each in stored.topics} == {"departures": 2, "arrivals": 1}
    assert stored.subscribed_ms > 0


async def test_patterns_map_names_and_names_go_first(gateway: ControlGateway) -> None:
    await offered(gateway, **{"orders.eu": 1, "orders.us": 1, "gates": 1})
    topics = ("--topic", "orders.*=acme.*", "--topic", "orders.us=mine")
    made = (await gateway.done("subscribe", TARGET, *topics, "--json")).json
    assert sorted(made["created_topics"]) == ["acme.eu", "mine"]
    for wrong in ("orders.*=acme", "*.*=a.*.*", "orders=acme.*", "orders.*=_mesh.*"):
        said = await gateway.mesh("subscribe", TARGET, "--name", "other", "--topic", wrong)
        assert said.code == 1, wrong


async def test_a_topic_that_came_from_here_is_refused_by_name_and_left_out_by_pattern(gateway: ControlGateway) -> None:
    await offered(gateway, departures=1, arrivals=1)
    (topic,) = (each for each in gateway.admin.links.catalogs[GLOBEX].shares[0].topics if each.name == "arrivals")
    for org in ("acme.example", GLOBEX):
        topic.origin.append(catalog_pb2.Hop(organization=org, topic_id=TOPIC_ID))
    said = await gateway.refused("loop-refused", "subscribe", TARGET, "--topic", "arrivals=copy")
    assert "acme.example > globex.example" in said
    made = (await gateway.done("subscribe", TARGET, "--json")).json
    assert made["created_topics"] == ["departures"]


async def test_a_plan_says_everything_and_makes_nothing(gateway: ControlGateway) -> None:
    await offered(gateway, departures=2, arrivals=1, gates=3)
    await gateway.done("topic", "create", "acme.gates", "--partitions", "1")
    await gateway.done("topic", "create", "acme.arrivals")
    await gateway.admin.services.cluster.topics.configure("acme.arrivals", {"retention.ms": "5"})
    gateway.admin.links.measures[GLOBEX] = measured(
        departures=[(0, 1000, 1 << 20), (0, 500, 1 << 20)], arrivals=[(100, 200, 5000)]
    )
    plan = await gateway.mesh("subscribe", TARGET, "--topic", "*=acme.*", "--plan", "--rate", "1", "--json")
    assert plan.code == 1, "something would be refused"
    topics = {topic["source"]: topic for topic in plan.json["topics"]}
    assert topics["departures"]["create"]["partitions"] == 2
    assert topics["departures"]["destination_offsets"] == "identical"
    assert topics["arrivals"]["destination_offsets"] == "mapped", "its log begins at 100"
    assert topics["arrivals"]["differences"] == [{"setting": "retention.ms", "source": "-1", "destination": "5"}]
    assert topics["gates"]["refused"]["code"] == "destination-too-small"
    total = plan.json["total"]
    assert (total["topics"], total["partitions"], total["offsets"]) == (2, 3, 1600)
    assert total["size_bytes"] == (2 << 20) + 5000
    assert (total["seconds"], total["rate_is"]) == (pytest.approx(2.1, 0.01), "stated")
    assert gateway.admin.services.registry.subscriptions == {}
    made = {topic.name for topic in await gateway.admin.services.cluster.topics.list()}
    assert made == {"acme.gates", "acme.arrivals"}
    shown = (await gateway.mesh("subscribe", TARGET, "--topic", "*=acme.*", "--plan")).out
    for text in ("2.0 MiB", "1,500", "exists, empty", "retention.ms is 5 here", "destination-too-small", "make bench"):
        assert text in shown, shown


async def test_a_plan_says_what_it_does_not_know(gateway: ControlGateway) -> None:
    await offered(gateway, departures=1, arrivals=1)
    gateway.admin.links.measures[GLOBEX] = measured(departures=[(0, 10, None)])
    plan = (await gateway.done("subscribe", TARGET, "--plan", "--json")).json
    assert (plan["total"]["offsets"], plan["total"]["size_bytes"], plan["total"]["seconds"]) == (None, None, None)
    assert [topic["offsets"] for topic in plan["topics"]] == [10, None]
    assert "unknown" in (await gateway.done("subscribe", TARGET, "--plan")).out


async def test_policies_change_while_the_rest_stays(gateway: ControlGateway) -> None:
    await offered(gateway, departures=1)
    await gateway.done("subscribe", TARGET, "--topic", "departures=copy", "--group", "billing")
    told = await gateway.done("subscription", "set", "flights", "--follow-config", "--on-loss", "continue")
    assert told.out == "flights: on loss continue, follow config yes\n"
    shown = (await gateway.done("subscription", "show", "flights", "--json")).json
    assert (shown["follow_config"], shown["on_loss"], shown["on_timestamp"]) == (True, "continue", "stop")
    assert shown["groups"] == ["billing"]
    changed = (await gateway.done("subscription", "set", "flights", "--no-groups", "--no-follow-config", "--json")).json
    assert (changed["follow_config"], changed["groups"]) == (False, [])
    assert (await gateway.mesh("subscription", "set", "flights")).code == 2
    said = await gateway.mesh("subscription", "set", "flights", "--on-loss", "shrug")
    assert (said.code, "'continue'" in said.err) == (2, True)
    await gateway.refused("subscription-absent", "subscription", "set", "nothing", "--follow-config")
    listed = (await gateway.done("audit", "list", "--action", "subscription.changed", "--json")).out
    assert "on_loss,follow_config" in listed


async def test_a_difference_of_settings_is_shown_and_not_applied(gateway: ControlGateway) -> None:
    await offered(gateway, departures=1)
    await gateway.done("subscribe", TARGET, "--topic", "departures=copy")
    assert (await gateway.done("subscription", "show", "flights", "--json")).json["differences"] == []
    await gateway.admin.services.cluster.topics.configure("copy", {"retention.ms": "7"})
    shown = (await gateway.done("subscription", "show", "flights")).out
    assert "copy: retention.ms is 7 here, -1 for a copy of the source" in shown
    gateway.admin.links.catalogs.clear()
    assert (await gateway.done("subscription", "show", "flights", "--json")).json["differences"] is None


async def test_a_start_may_be_an_iso_time(gateway: ControlGateway) -> None:
    await offered(gateway, departures=1)
    at = ("subscribe", TARGET, "--from")
    made = (await gateway.done(*at, "timestamp:2026-01-31T12:00:00Z", "--json")).json
    assert made["start"] == "timestamp:1769860800000"
    for wrong in ("timestamp:2026-01-31T12:00:00", "timestamp:tomorrow", "offset:-1", "offset:x", "timestamp:"):
        await gateway.refused("illegal-start", *at, wrong, "--name", "other")
