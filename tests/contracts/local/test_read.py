"""The laws of reading and of cursors by `mesh.local.v1`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mesh.local.v1 import local_pb2 as pb
from tests.contracts.local.conftest import Site
from tests.support.local_calls import LocalCalls, Refused, Stream, values

PATIENCE_S = 20.0


@asynccontextmanager
async def free(calls: LocalCalls, topic: str, cursor: str) -> AsyncIterator[Stream]:
    """Read by a cursor as soon as the reader before has gone."""
    while True:
        async with asyncio.timeout(PATIENCE_S):
            try:
                async with calls.read(topic, cursor=cursor) as stream:
                    yield stream
                    return
            except Refused as refused:
                if refused.code != "cursor-in-use":
                    raise


async def test_a_reader_is_told_where_it_begins_and_gets_what_comes_in(calls: LocalCalls, topic: str) -> None:
    await calls.publish(topic, [b"a"], partition=0)
    async with calls.read(topic) as stream:
        assert stream.positions == {0: 0, 1: 0}
        assert values(await stream.take(1)) == [b"a"]
        await calls.publish(topic, [b"b"], partition=1)
        (record,) = await stream.take(1)
        assert (record.partition, record.offset, record.value) == (1, 0, b"b")
        assert stream.ends == {0: 1, 1: 1}


async def test_it_begins_where_it_is_told_to(calls: LocalCalls, topic: str) -> None:
    await calls.publish(topic, [b"0", b"1", b"2", b"3"], partition=0)
    assert values(await calls.all_of(topic, positions={0: 2})) == [b"2", b"3"]
    assert values(await calls.all_of(topic, start="latest")) == []
    assert values(await calls.all_of(topic, partitions=[1])) == []
    assert values(await calls.all_of(topic, partitions=[0], positions={0: 4})) == []
    async with calls.read(topic, start="latest") as stream:
        assert stream.positions == {0: 4, 1: 0}
        await calls.publish(topic, [b"4"], partition=0)
        assert values(await stream.take(1)) == [b"4"]


async def test_it_begins_at_a_time(calls: LocalCalls, topic: str) -> None:
    await calls.publish(
        topic, [pb.NewRecord(value=b"%d" % at, timestamp_ms=at) for at in (1000, 2000, 3000)], partition=0
    )
    assert values(await calls.all_of(topic, start="timestamp:1500")) == [b"2000", b"3000"]
    assert values(await calls.all_of(topic, start="timestamp:1970-01-01T00:00:03Z")) == [b"3000"]
    assert values(await calls.all_of(topic, start="timestamp:9999")) == []


async def test_it_ends_after_so_many_records(calls: LocalCalls, topic: str) -> None:
    await calls.publish(topic, [b"%d" % number for number in range(10)], partition=0)
    async with calls.read(topic, max_records=3) as stream:
        assert values(await stream.rest()) == [b"0", b"1", b"2"]
        assert stream.ends[0] == 3


async def test_replies_are_about_as_large_as_asked(calls: LocalCalls, topic: str) -> None:
    await calls.publish(topic, [b"x" * 10_000] * 20, partition=0)
    async with calls.read(topic, until_end=True, max_bytes=30_000) as stream:
        sizes = []
        while (reply := await stream.reply()) is not None:
            sizes.append(len(reply))
    assert sum(sizes) == 20
    assert max(sizes) <= 4


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"topic": "absent"}, "NOT_FOUND", "topic-absent"),
        ({"partitions": [2]}, "NOT_FOUND", "partition-absent"),
        ({"positions": {7: 0}}, "NOT_FOUND", "partition-absent"),
        ({"positions": {0: 2}}, "OUT_OF_RANGE", "offset-out-of-range"),
        ({"positions": {0: -1}}, "OUT_OF_RANGE", "offset-out-of-range"),
        ({"start": "yesterday"}, "INVALID_ARGUMENT", "illegal-start"),
        ({"start": "offset:1"}, "INVALID_ARGUMENT", "illegal-start"),
        ({"partitions": [0], "positions": {1: 0}}, "INVALID_ARGUMENT", "request-refused"),
        ({"cursor": "a\nb"}, "INVALID_ARGUMENT", "illegal-name"),
    ],
    ids=str,
)
async def test_what_cannot_be_read_is_refused(
    calls: LocalCalls, topic: str, query: dict[str, object], status: str, code: str
) -> None:
    await calls.publish(topic, [b"a"], partition=0)
    with pytest.raises(Refused) as refused:
        await calls.all_of(**{"topic": topic, **query})  # type: ignore[arg-type]
    assert (refused.value.status, refused.value.code) == (status, code)


async def test_a_cursor_goes_on_where_it_was_committed(calls: LocalCalls, topic: str) -> None:
    await calls.publish(topic, [b"0", b"1", b"2"], partition=0)
    with pytest.raises(Refused) as absent:
        await calls.cursor("billing", topic)
    assert (absent.value.status, absent.value.code) == ("NOT_FOUND", "cursor-absent")
    async with calls.read(topic, cursor="billing") as stream:
        assert values(await stream.take(3)) == [b"0", b"1", b"2"]
        await calls.commit("billing", topic, {0: 2}, stream.lease)
    assert await calls.cursor("billing", topic) == {0: 2}
    async with free(calls, topic, "billing") as stream:
        assert stream.positions == {0: 2, 1: 0}
        assert values(await stream.take(1)) == [b"2"]


async def test_one_reader_at_a_time_has_a_cursor(calls: LocalCalls, topic: str) -> None:
    async with calls.read(topic, cursor="billing") as stream:
        for attempt in (
            calls.all_of(topic, cursor="billing"),
            calls.commit("billing", topic, {0: 0}),
            calls.delete_cursor("billing", topic),
        ):
            with pytest.raises(Refused) as refused:
                await attempt
            assert (refused.value.status, refused.value.code) == ("FAILED_PRECONDITION", "cursor-in-use")
        with pytest.raises(Refused) as refused:
            await calls.commit("billing", topic, {0: 0}, "not-its-lease")
        assert refused.value.code == "lease-lost"
        async with calls.read(topic, cursor="audit"):
            await calls.commit("billing", topic, {0: 0}, stream.lease)
        lease = stream.lease
    async with free(calls, topic, "billing"):
        with pytest.raises(Refused) as refused:
            await calls.commit("billing", topic, {0: 0}, lease)
    assert refused.value.code == "lease-lost"


async def test_positions_that_are_not_in_the_log_are_not_committed(calls: LocalCalls, topic: str) -> None:
    await calls.publish(topic, [b"a"], partition=0)
    for positions, code in (
        ({0: 2}, "commit-outside-log"),
        ({0: -1}, "commit-outside-log"),
        ({5: 0}, "partition-absent"),
    ):
        with pytest.raises(Refused) as refused:
            await calls.commit("billing", topic, {**positions, 1: 0})
        assert refused.value.code == code
    with pytest.raises(Refused):
        await calls.cursor("billing", topic)


async def test_a_deleted_cursor_has_no_position(calls: LocalCalls, topic: str) -> None:
    await calls.publish(topic, [b"a"], partition=0)
    await calls.commit("billing", topic, {0: 1})
    await calls.delete_cursor("billing", topic)
    for attempt in (calls.cursor("billing", topic), calls.delete_cursor("billing", topic)):
        with pytest.raises(Refused) as refused:
            await attempt
        assert refused.value.code == "cursor-absent"


async def test_a_reader_of_all_partitions_reads_those_that_are_added(site: Site, topic: str) -> None:
    async with site.calls.read(topic) as stream:
        await site.grow(topic, 3)
        await site.calls.publish(topic, [b"new"], partition=2)
        (record,) = await stream.take(1)
    assert (record.partition, record.value) == (2, b"new")
