"""`mesh topic` against a real admin API."""

from __future__ import annotations

import json
from pathlib import Path

from mesh.ids import OrgId, ShareName, SubscriptionName, TopicName
from mesh.shares import Subscription, TopicMapping
from tests.support.admin import AdminGateway
from tests.support.cli import mesh

LINES = b'{"key":"a","value":1}\n{"key":"b","value":{"n":2}}\n{"key":null,"value_b64":"/w==","headers":[["h","x"]]}\n'


async def test_a_topic_is_created_filled_read_and_deleted(admin: AdminGateway) -> None:
    here = admin.directory
    created = await mesh(
        "topic", "create", "flights", "--partitions", "2", "--set", "retention.ms=1000", directory=here
    )
    appended = await mesh("topic", "append", "flights", "--json", directory=here, stdin=LINES)
    found = await mesh("topic", "read", "flights", directory=here)
    listed = await mesh("topic", "list", directory=here)
    deleted = await mesh("topic", "delete", "flights", directory=here)

    assert created.out == "created flights with 2 partitions\n"
    assert appended.json["appended"] == 3
    assert {record.get("value", record.get("value_b64")) for record in found.lines} == {"1", '{"n":2}', "/w=="}
    assert "retention.ms=1000" in listed.out
    assert deleted.out == "deleted flights\n"
    assert [result.code for result in (created, appended, found, listed, deleted)] == [0] * 5
    assert await admin.services.cluster.topics.list() == []


async def test_what_read_prints_can_be_appended(admin: AdminGateway) -> None:
    here = admin.directory
    for name in ("one", "two"):
        await admin.services.cluster.topics.create(name, 1, {})
    await mesh("topic", "append", "one", directory=here, stdin=LINES)
    first = await mesh("topic", "read", "one", directory=here)
    await mesh("topic", "append", "two", directory=here, stdin=first.out.encode())
    second = await mesh("topic", "read", "two", directory=here)

    assert second.lines == first.lines
    assert len(first.lines) == 3


async def test_a_bad_line_fails_with_its_number_after_what_came_before(admin: AdminGateway) -> None:
    await admin.services.cluster.topics.create("flights", 1, {})

    result = await mesh("topic", "append", "flights", directory=admin.directory, stdin=b'{"value":1}\nbad\n')

    assert result.code == 1
    assert "appended 1 record to flights" in result.out
    assert result.err.startswith("error: line 2 is not a record: it is not JSON")
    assert "appended before it: 1" in result.err
    assert "remedy: correct the line" in result.err
    assert "code: line-refused" in result.err


async def test_a_large_input_that_fails_early_still_says_why(admin: AdminGateway) -> None:
    await admin.services.cluster.topics.create("flights", 1, {})

    result = await mesh("topic", "append", "flights", directory=admin.directory, stdin=b"bad\n" + LINES * 100_000)

    assert result.code == 1
    assert "line 1 is not a record" in result.err


async def test_internal_and_illegal_names_are_refused(admin: AdminGateway) -> None:
    names = ("__consumer_offsets", "../x", "..", "a/b", "a%2eb", "a?b", "ü", "a\nb")
    verbs = ("create", "append", "delete", "read")
    for verb, name in [*((verb, "_mesh.control") for verb in verbs), *(("read", name) for name in names)]:
        result = await mesh("topic", verb, name, directory=admin.directory)
        assert (result.code, "code: illegal-name" in result.err) == (1, True), (verb, name, result.err)


async def test_an_absent_topic_is_named_with_the_remedy(admin: AdminGateway) -> None:
    absent = await mesh("topic", "read", "nothing", directory=admin.directory)

    assert absent.err.splitlines() == [
        "error: topic 'nothing' does not exist on this cluster",
        "remedy: create it with: mesh topic create nothing",
        "code: topic-absent",
    ]


async def test_a_mirrored_topic_is_written_by_force_only(admin: AdminGateway) -> None:
    here, cluster, registry = admin.directory, admin.services.cluster, admin.services.registry
    await cluster.topics.create("copies", 1, {})
    subscription = Subscription(
        SubscriptionName("from-globex"),
        OrgId("globex.example"),
        ShareName("flights"),
        (TopicMapping(TopicName("flights"), TopicName("copies")),),
    )
    registry._subscriptions[subscription.name] = subscription

    refused = await mesh("topic", "append", "copies", directory=here, stdin=b'{"value":1}')
    kept = await mesh("topic", "delete", "copies", directory=here)
    forced = await mesh("topic", "append", "copies", "--force", directory=here, stdin=b'{"value":1}')
    listed = await mesh("topic", "list", "--json", directory=here)

    assert "code: topic-mirrored" in refused.err
    assert "written by the subscription 'from-globex'" in kept.err
    assert (refused.code, kept.code, forced.code) == (1, 1, 0)
    assert listed.json[0]["mirrored_by"] == "from-globex"


async def test_wrong_usage_ends_with_2(admin: AdminGateway) -> None:
    for arguments in (
        ["topic", "create"],
        ["topic", "append", "a", "--partition", "0", "--key-partitioner"],
        ["topic", "create", "a", "--set", "x"],
        ["nonsense"],
    ):
        assert (await mesh(*arguments, directory=admin.directory)).code == 2


async def test_wrong_values_are_refused_with_their_name(admin: AdminGateway) -> None:
    await admin.services.cluster.topics.create("flights", 1, {})
    for arguments, said in (
        (["append", "flights", "--codec", "rar"], "codec cannot be 'rar'"),
        (["append", "flights", "--partition", "5"], "partitions 0 to 1 (exclusive), not 5"),
        (["read", "flights", "--from", "tomorrow"], "tomorrow"),
        (["read", "flights", "--partition", "5"], "partitions 0 to 1 (exclusive), not 5"),
    ):
        result = await mesh("topic", *arguments, directory=admin.directory)
        assert (result.code, said in result.err) == (1, True), result.err


async def test_without_a_gateway_the_remedy_is_to_start_one(tmp_path: Path) -> None:
    nowhere = await mesh("topic", "list", directory=tmp_path)
    (tmp_path / "mesh.toml").write_text('organization = "acme.example"\n')
    stopped = await mesh("topic", "list", directory=tmp_path)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "ports.json").write_text(json.dumps({"admin": "127.0.0.1:1"}))
    (tmp_path / "state" / "admin.token").write_text("none\n")
    killed = await mesh("topic", "list", directory=tmp_path)

    assert "code: config-absent" in nowhere.err
    for result in (stopped, killed):
        assert "code: gateway-not-running" in result.err
        assert "remedy: start it with: mesh gateway run --config" in result.err
