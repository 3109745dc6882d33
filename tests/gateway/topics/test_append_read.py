"""Lines into a real log and back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Literal

import pytest

from gateway.embedded.cluster import open_embedded
from gateway.topics import append as append_module
from gateway.topics.append import AppendOptions, AppendReport, append_lines
from gateway.topics.read import ReadQuery, read_topic
from mesh.batch.encode import encode
from mesh.batch.header import Codec
from mesh.batch.records import Record
from mesh.cluster_errors import AppendUnknown, PartitionAbsent
from mesh.ids import Partition
from mesh.log import Topic
from mesh.partitioner import by_key
from mesh.ports import Cluster
from mesh.shares import StartAt
from mesh.testing.cluster import FakeCluster


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    opened = await open_embedded(tmp_path, now_ms=0)
    yield opened
    await opened.close()


@pytest.fixture
async def topic(cluster: Cluster) -> Topic:
    return await cluster.topics.create("flights", 3, {})


async def append(
    cluster: Cluster, topic: Topic, blocks: Iterable[bytes], options: AppendOptions | None = None
) -> AppendReport:
    waiting = iter([*blocks, b""])

    async def read() -> bytes:
        return next(waiting)

    return await append_lines(cluster.destination, topic, read, options or AppendOptions(), lambda: 1000)


async def read(cluster: Cluster, topic: Topic, query: ReadQuery | None = None) -> list[dict[str, object]]:
    blocks: list[bytes] = []

    async def write(block: bytes) -> None:
        blocks.append(block)

    await read_topic(cluster.source, topic, query or ReadQuery(), write)
    return [json.loads(line) for line in b"".join(blocks).splitlines()]


def lines(count: int) -> bytes:
    return b"".join(b'{"key":"k%d","value":{"n":%d}}\n' % (n % 7, n) for n in range(count))


@pytest.mark.parametrize("step", [1, 7, 1000])
async def test_records_come_back_in_order_however_the_input_is_cut(cluster: Cluster, topic: Topic, step: int) -> None:
    text = lines(60)

    report = await append(cluster, topic, [text[at : at + step] for at in range(0, len(text), step)])

    found = await read(cluster, topic)
    assert report.appended == len(found) == 60
    assert sorted(json.loads(str(record["value"]))["n"] for record in found) == list(range(60))
    for number in range(3):
        part = [record for record in found if record["partition"] == number]
        assert [record["offset"] for record in part] == list(range(len(part)))
        assert all(by_key(3)(str(record["key"]).encode()) == number for record in part)
        values = [json.loads(str(record["value"]))["n"] for record in part]
        assert values == sorted(values)


@pytest.mark.parametrize("codec", list(Codec))
async def test_many_batches_of_each_codec(cluster: Cluster, topic: Topic, codec: Codec) -> None:
    big = b"".join(b'{"value":"%s","partition":1}\n' % (b"x" * 10_000) for _ in range(300))

    report = await append(cluster, topic, [big], AppendOptions(codec=codec))

    assert (report.appended, report.error) == (300, None)
    assert report.partitions[1].last_offset == 299
    assert [record["offset"] for record in await read(cluster, topic)] == list(range(300))


async def test_a_bad_line_ends_the_run_after_all_before_it(cluster: Cluster, topic: Topic) -> None:
    report = await append(cluster, topic, [lines(10) + b"{}\n" + lines(5)])

    assert report.appended == 10
    assert str(report.error) == ('line 11 is not a record: it has neither "key" nor "value"; appended before it: 10')
    assert len(await read(cluster, topic)) == 10


async def test_a_deleted_topic_ends_the_run_with_its_own_error(cluster: Cluster, topic: Topic) -> None:
    await cluster.topics.delete("flights")

    report = await append(cluster, topic, [lines(3)])

    assert report.appended == 0
    assert report.error is not None
    assert report.error.code == "topic-absent"


async def test_a_named_partition_counts_unless_only_keys_do(cluster: Cluster, topic: Topic) -> None:
    line = b'{"key":"k1","value":1,"partition":%d}\n' % ((by_key(3)(b"k1") + 1) % 3)

    named = await append(cluster, topic, [line])
    by_keys = await append(cluster, topic, [line], AppendOptions(only_keys=True))
    fixed = await append(cluster, topic, [line], AppendOptions(partition=by_key(3)(b"k1")))

    assert list(named.partitions) == [(by_key(3)(b"k1") + 1) % 3]
    assert list(by_keys.partitions) == list(fixed.partitions) == [by_key(3)(b"k1")]


async def test_a_partition_beyond_the_topic_is_a_bad_line(cluster: Cluster, topic: Topic) -> None:
    report = await append(cluster, topic, [b'{"value":1,"partition":3}\n'])

    assert "has no partition 3" in str(report.error)


async def test_an_input_that_pauses_is_appended_without_waiting_for_more(cluster: Cluster, topic: Topic) -> None:
    blocks: asyncio.Queue[bytes] = asyncio.Queue()
    found: asyncio.Queue[bytes] = asyncio.Queue()
    query = ReadQuery(partition=0, follow=True, max_records=1)
    async with asyncio.TaskGroup() as group:
        run = group.create_task(
            append_lines(cluster.destination, topic, blocks.get, AppendOptions(partition=0), lambda: 1000)
        )
        blocks.put_nowait(b'{"value":"first"}\n')
        await read_topic(cluster.source, topic, query, found.put)
        blocks.put_nowait(b"")

    assert b'"first"' in found.get_nowait()
    assert run.result().appended == 1


@pytest.mark.parametrize(
    ("start", "expected"),
    [("earliest", [0, 1, 2]), ("latest", []), ("offset:1", [1, 2]), ("offset:99", []), ("timestamp:20", [2])],
)
async def test_reading_starts_where_it_is_asked_to(
    cluster: Cluster, topic: Topic, start: str, expected: list[int]
) -> None:
    for timestamp in (5, 10, 20):
        await append(cluster, topic, [b'{"value":1,"timestamp":%d,"partition":2}' % timestamp])

    found = await read(cluster, topic, ReadQuery(partition=2, start=StartAt.parse(start)))

    assert [record["offset"] for record in found] == expected


async def test_at_most_the_asked_number_is_read(cluster: Cluster, topic: Topic) -> None:
    await append(cluster, topic, [lines(30)])

    assert len(await read(cluster, topic, ReadQuery(max_records=4))) == 4
    assert await read(cluster, topic, ReadQuery(max_records=0)) == []


async def test_a_partition_that_is_not_there_is_refused(cluster: Cluster, topic: Topic) -> None:
    with pytest.raises(PartitionAbsent):
        await read(cluster, topic, ReadQuery(partition=3))


async def test_following_ends_with_the_error_of_a_deleted_topic(cluster: Cluster, topic: Topic) -> None:
    async def write(block: bytes) -> None:
        await cluster.topics.delete("flights")

    await append(cluster, topic, [b'{"value":1,"partition":0}'])
    with pytest.raises(Exception, match="does not exist") as caught:
        await read_topic(cluster.source, topic, ReadQuery(follow=True), write)

    assert getattr(caught.value, "code", "") == "topic-absent"


async def test_many_partitions_hold_bounded_memory(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(append_module, "MAX_GATHERED_BYTES", 2_000)
    monkeypatch.setattr(append_module, "MAX_FLYING_BYTES", 500)
    wide = await cluster.topics.create("wide", 16, {})

    report = await append(cluster, wide, [lines(300)], AppendOptions(codec=Codec.NONE))

    found = await read(cluster, wide)
    assert report.appended == len(found) == 300
    for number in range(16):
        values = [json.loads(str(one["value"]))["n"] for one in found if one["partition"] == number]
        assert values == sorted(values)


@pytest.mark.parametrize("operation", ["append", "append answer"])
async def test_a_failed_append_ends_the_run_and_is_never_counted(operation: Literal["append", "append answer"]) -> None:
    fake = FakeCluster()
    topic = await fake.ports.topics.create("flights", 1, {})
    big = b"".join(b'{"value":"%s"}\n' % (b"x" * 100_000) for _ in range(30))
    assert (await append(fake.ports, topic, [big])).appended == 30
    fake.fail_next(operation, AppendUnknown("flights", 0, "cut"))

    report = await append(fake.ports, topic, [big])

    found = await read(fake.ports, topic)
    assert report.error is not None
    assert report.error.code == "append-unknown"
    assert 30 + report.appended <= len(found) <= 60


async def test_what_is_not_stable_is_not_read() -> None:
    fake = FakeCluster()
    topic = await fake.ports.topics.create("flights", 1, {})
    for _ in range(3):
        await append(fake.ports, topic, [b'{"value":1}'])
    fake.set_last_stable(Partition("flights", 0), 2)

    assert [record["offset"] for record in await read(fake.ports, topic)] == [0, 1]


async def test_records_keep_their_offsets_beyond_holes() -> None:
    fake = FakeCluster()
    topic = await fake.ports.topics.create("flights", 1, {})
    for base in (5, 20):
        records = [Record(0, 1, b"k", b"v"), Record(0, 2, None, None)]
        fake.put_raw(Partition("flights", 0), encode(records, base_offset=base))

    assert [record["offset"] for record in await read(fake.ports, topic)] == [5, 6, 20, 21]
