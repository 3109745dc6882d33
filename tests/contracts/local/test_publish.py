"""The laws of publishing by `mesh.local.v1`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mesh.local.v1 import local_pb2 as pb
from mesh.partitioner import by_key
from tests.contracts.local.conftest import Site
from tests.support.local_calls import LocalCalls, Refused, placed, publish_request, values


async def test_what_was_answered_is_there_in_order(calls: LocalCalls, topic: str) -> None:
    first = await calls.publish(topic, [b"a", b"b"], partition=1)
    second = await calls.publish(topic, [b"c"], partition=1)
    assert (placed(first), placed(second)) == ([(1, 0), (1, 1)], [(1, 2)])
    assert values(await calls.all_of(topic)) == [b"a", b"b", b"c"]


async def test_records_go_where_kafkas_own_clients_put_their_keys(calls: LocalCalls, topic: str) -> None:
    keys = [f"key-{number}".encode() for number in range(20)]
    reply = await calls.publish(topic, [(key, b"v") for key in keys])
    assert [partition for partition, _ in placed(reply)] == [by_key(2)(key) for key in keys]
    assert {(each.partition, each.offset): each.key for each in await calls.all_of(topic)} == dict(
        zip(placed(reply), keys, strict=True)
    )


async def test_records_without_a_key_go_together(calls: LocalCalls, topic: str) -> None:
    reply = await calls.publish(topic, [b"a", b"b", b"c"])
    assert len(reply.placed) == 1
    assert reply.placed[0].count == 3


async def test_null_and_empty_differ_and_headers_keep_order_and_repeats(calls: LocalCalls, topic: str) -> None:
    headers = [pb.Header(name="h", value=b"1"), pb.Header(name="h"), pb.Header(name="", value=b"")]
    given = [
        pb.NewRecord(key=b"", timestamp_ms=1_700_000_000_000, headers=headers),
        pb.NewRecord(value=b"", timestamp_ms=0),
    ]
    await calls.publish(topic, given, partition=0)
    async with calls.read(topic, until_end=True) as stream:
        reply = await stream.call.read()
    first, second = (record for part in reply.parts for record in part.records)
    assert (first.key, first.HasField("value"), first.timestamp_ms) == (b"", False, 1_700_000_000_000)
    assert [(each.name, each.value, each.HasField("value")) for each in first.headers] == [
        ("h", b"1", True), ("h", b"", False), ("", b"", True)
    ]  # fmt: skip
    assert (second.HasField("key"), second.value, second.HasField("value"), second.timestamp_ms) == (
        False,
        b"",
        True,
        0,
    )


async def test_a_request_under_a_key_is_appended_once(calls: LocalCalls, topic: str) -> None:
    records = [(f"key-{number}".encode(), b"v") for number in range(10)]
    first = await calls.publish(topic, records, key="order-1")
    again = await calls.publish(topic, records, key="order-1")
    assert placed(again) == placed(first)
    assert (first.repeated_request, again.repeated_request) == (False, True)
    assert len(await calls.all_of(topic)) == 10
    other = await calls.publish(topic, records, key="order-2")
    assert not other.repeated_request
    assert len(await calls.all_of(topic)) == 20


async def test_two_publishers_with_one_key_at_once_append_it_once(calls: LocalCalls, topic: str) -> None:
    records = [(f"key-{number}".encode(), b"v") for number in range(10)]
    replies = await asyncio.gather(*(calls.publish(topic, records, key="order-1") for _ in range(5)))
    assert len({tuple(placed(reply)) for reply in replies}) == 1
    assert sorted(reply.repeated_request for reply in replies) == [False, True, True, True, True]
    assert len(await calls.all_of(topic)) == 10


async def test_a_key_stands_for_one_request(calls: LocalCalls, topic: str) -> None:
    await calls.publish(topic, [b"a"], key="order-1")
    for records, partition in (([b"b"], None), ([b"a", b"a"], None), ([b"a"], 0)):
        with pytest.raises(Refused) as refused:
            await calls.publish(topic, records, key="order-1", partition=partition)
        assert (refused.value.status, refused.value.code) == ("FAILED_PRECONDITION", "idempotency-key-reused")
    assert values(await calls.all_of(topic)) == [b"a"]


async def test_many_requests_are_answered_in_their_order(calls: LocalCalls, topic: str) -> None:
    requests = [publish_request(topic, [f"{number}".encode()], partition=number % 2) for number in range(40)]
    replies, refused = await calls.publish_many(requests)
    assert refused is None
    assert [placed(reply) for reply in replies] == [[(number % 2, number // 2)] for number in range(40)]
    assert len(await calls.all_of(topic)) == 40


async def test_after_a_request_that_fails_no_other_is_begun(calls: LocalCalls, topic: str) -> None:
    requests = [publish_request(topic, [b"a"]), publish_request("absent", [b"b"]), publish_request(topic, [b"c"])]
    replies, refused = await calls.publish_many(requests)
    assert refused is not None
    assert (refused.status, refused.code) == ("NOT_FOUND", "topic-absent")
    assert [reply.error.code for reply in replies] == ["", "topic-absent"]
    assert values(await calls.all_of(topic)) == [b"a"]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"topic": "absent"}, "NOT_FOUND", "topic-absent"),
        ({"topic": "../etc"}, "INVALID_ARGUMENT", "illegal-name"),
        ({"topic": "_mesh.control"}, "INVALID_ARGUMENT", "illegal-name"),
        ({"partition": 2}, "NOT_FOUND", "partition-absent"),
        ({"records": []}, "INVALID_ARGUMENT", "request-refused"),
        ({"records": [pb.NewRecord(value=b"v", timestamp_ms=-5)]}, "INVALID_ARGUMENT", "request-refused"),
        ({"idempotency_key": "k" * 201}, "INVALID_ARGUMENT", "request-refused"),
        ({"idempotency_key": "a b"}, "INVALID_ARGUMENT", "request-refused"),
    ],
    ids=str,
)
async def test_what_is_refused_appends_nothing(
    calls: LocalCalls, topic: str, change: dict[str, object], status: str, code: str
) -> None:
    given: dict[str, Any] = {"topic": topic, "records": [pb.NewRecord(value=b"v")], **change}
    request = pb.PublishRequest(**given)
    with pytest.raises(Refused) as refused:
        await calls.ask("Publish", request, pb.PublishReply)
    assert (refused.value.status, refused.value.code) == (status, code)
    assert refused.value.error.sentence
    assert refused.value.error.remedy
    assert await calls.all_of(topic) == []


async def test_a_record_that_is_too_large_is_refused_with_its_place(calls: LocalCalls, topic: str) -> None:
    with pytest.raises(Refused) as refused:
        await calls.publish(topic, [b"a", b"b" * 1_100_000])
    assert (refused.value.status, refused.value.code) == ("RESOURCE_EXHAUSTED", "record-too-large")
    assert "record 1 " in refused.value.error.sentence
    assert await calls.all_of(topic) == []


async def test_a_large_request_is_cut_into_batches_and_keeps_its_order(calls: LocalCalls, topic: str) -> None:
    records = [number.to_bytes(4, "big") * 2_500 for number in range(150)]
    reply = await calls.publish(topic, records, partition=0, key="large")
    assert placed(reply) == [(0, number) for number in range(150)]
    again = await calls.publish(topic, records, partition=0, key="large")
    assert placed(again) == placed(reply)
    assert values(await calls.all_of(topic)) == records


async def test_a_repeat_finds_its_records_where_partitions_were_added_since(site: Site, topic: str) -> None:
    records = [(f"key-{number}".encode(), b"v") for number in range(10)]
    first = await site.calls.publish(topic, records, key="order-1")
    await site.grow(topic, 5)
    again = await site.calls.publish(topic, records, key="order-1")
    assert placed(again) == placed(first)
    assert len(await site.calls.all_of(topic)) == 10


async def test_without_a_valid_token_nothing_is_answered(calls: LocalCalls, topic: str) -> None:
    for token in ("", "wrong", calls.token[:-1]):
        stranger = LocalCalls(calls.channel, token)
        with pytest.raises(Refused) as refused:
            await stranger.publish(topic, [b"v"])
        assert (refused.value.status, refused.value.code) == ("UNAUTHENTICATED", "api-token-refused")
    assert await calls.all_of(topic) == []
