"""The laws of `mesh.ports.Source`."""

from __future__ import annotations

import asyncio

import pytest

from mesh.batch.header import split
from mesh.cluster_errors import OffsetOutOfRange, PartitionAbsent, TopicAbsent, TopicRecreated
from mesh.ids import Partition
from mesh.log import Fetched, Topic
from mesh.ports import Cluster
from tests.contract.conftest import KEEP, DropBelow
from tests.support.batches import NOBODY, TIMESTAMP_MS, numbered, records_in, stamped

MIB = 1 << 20


async def _fill(cluster: Cluster, partition: Partition, batches: int, each: int = 2) -> list[tuple[int, bytes]]:
    """`batches` batches of `each` records from offset 0; answers what the partition holds then."""
    for first in range(0, batches * each, each):
        await cluster.destination.append(partition, stamped(NOBODY, -1, numbered(*range(first, first + each))))
    return list(enumerate(numbered(*range(batches * each))))


async def _fetch(cluster: Cluster, partition: Partition, offset: int, max_bytes: int = MIB) -> Fetched:
    return await cluster.source.fetch(partition, offset, None, max_bytes, 0)


async def _fetch_some(cluster: Cluster, partition: Partition, offset: int, max_bytes: int = MIB) -> Fetched:
    return await cluster.source.fetch(partition, offset, None, max_bytes, 10)


async def test_everything_is_read_in_order(cluster: Cluster, partition: Partition) -> None:
    everything = await _fill(cluster, partition, 4)
    fetched = await _fetch_some(cluster, partition, 0)
    assert records_in(fetched.data) == everything
    assert (fetched.range, fetched.aborted) == ((0, 8, 8), ())


async def test_a_fetch_in_the_middle_of_a_batch_begins_with_that_batch(cluster: Cluster, partition: Partition) -> None:
    everything = await _fill(cluster, partition, 4)
    fetched = await _fetch_some(cluster, partition, 5)
    assert records_in(fetched.data) == everything[4:]


async def test_a_budget_is_kept_but_at_least_one_batch_comes(cluster: Cluster, partition: Partition) -> None:
    everything = await _fill(cluster, partition, 5)
    size_bytes = next(split((await _fetch_some(cluster, partition, 0)).data))[0].size_bytes
    assert records_in((await _fetch_some(cluster, partition, 2, 1)).data)[:2] == everything[2:4]
    assert records_in((await _fetch_some(cluster, partition, 2, 2 * size_bytes)).data) == everything[2:6]
    assert records_in((await _fetch_some(cluster, partition, 2, 3 * size_bytes - 1)).data) == everything[2:6]


async def test_batches_are_stamped_with_base_offset_and_leader_epoch(cluster: Cluster, partition: Partition) -> None:
    await _fill(cluster, partition, 3)
    fetched = await _fetch_some(cluster, partition, 0)
    headers = [header for header, _ in split(fetched.data)]
    assert [header.base_offset for header in headers] == [0, 2, 4]
    assert {header.leader_epoch for header in headers} == {fetched.leader_epoch}
    assert fetched.leader_epoch >= 0


async def test_at_the_end_an_unwaiting_fetch_is_empty(cluster: Cluster, partition: Partition) -> None:
    await _fill(cluster, partition, 1)
    fetched = await _fetch(cluster, partition, 2)
    assert (bytes(fetched.data), fetched.range.end) == (b"", 2)


async def test_a_waiting_fetch_answers_empty_at_its_deadline(cluster: Cluster, partition: Partition) -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    fetched = await cluster.source.fetch(partition, 0, None, MIB, 0.2)
    assert (bytes(fetched.data), fetched.range) == (b"", (0, 0, 0))
    # A cluster may round a wait to what suits it, but not to nothing: its callers would spin.
    assert 0.1 <= loop.time() - begun <= 10


async def test_a_waiting_fetch_is_woken_by_an_append(cluster: Cluster, partition: Partition) -> None:
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(_fetch_some(cluster, partition, 0)) for _ in range(3)]
        await asyncio.sleep(0)
        everything = await _fill(cluster, partition, 1)
    assert [records_in(task.result().data) for task in waiting] == [everything] * 3


async def test_an_append_to_another_partition_does_not_end_a_wait(cluster: Cluster, topic: Topic) -> None:
    watched, other = Partition(topic.name, 0), Partition(topic.name, 1)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(_fetch_some(cluster, watched, 0))
        await _fill(cluster, other, 2)
        assert not waiting.done()
        everything = await _fill(cluster, watched, 1)
    assert records_in(waiting.result().data) == everything


async def test_a_cancelled_wait_leaves_the_source_usable(cluster: Cluster, partition: Partition) -> None:
    waiting = asyncio.create_task(_fetch_some(cluster, partition, 0))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    everything = await _fill(cluster, partition, 2)
    assert records_in((await _fetch_some(cluster, partition, 0)).data) == everything


async def test_readers_see_each_record_once_while_appends_go_on(cluster: Cluster, partition: Partition) -> None:
    async def read() -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        while len(found) < 60:
            fetched = await _fetch_some(cluster, partition, len(found), 300)
            found += [record for record in records_in(fetched.data) if record[0] >= len(found)]
        return found

    async with asyncio.TaskGroup() as group:
        readers = [group.create_task(read()) for _ in range(3)]
        everything = await _fill(cluster, partition, 20, each=3)
    assert [reader.result() for reader in readers] == [everything] * 3


async def test_a_fetched_answer_stays_valid_while_it_is_held(cluster: Cluster, partition: Partition) -> None:
    await _fill(cluster, partition, 2)
    fetched = await _fetch_some(cluster, partition, 0)
    before = bytes(fetched.data)
    await _fill(cluster, partition, 5)
    for offset in range(0, 14, 2):
        await _fetch_some(cluster, partition, offset)
    assert bytes(fetched.data) == before


async def test_above_the_end_is_out_of_range(cluster: Cluster, partition: Partition) -> None:
    await _fill(cluster, partition, 1)
    with pytest.raises(OffsetOutOfRange) as refused:
        await _fetch(cluster, partition, 3)
    assert (refused.value.offset, refused.value.start, refused.value.end) == (3, 0, 2)


async def test_below_the_start_is_out_of_range(cluster: Cluster, name: str, drop_below: DropBelow) -> None:
    await cluster.topics.create(name, 1, {**KEEP, "retention.bytes": "1"})
    partition = Partition(name, 0)
    everything = await _fill(cluster, partition, 3)
    await drop_below(partition, 4)
    assert await cluster.source.range(partition) == (4, 6, 6)
    with pytest.raises(OffsetOutOfRange) as refused:
        await _fetch(cluster, partition, 3)
    assert (refused.value.offset, refused.value.start, refused.value.end) == (3, 4, 6)
    assert records_in((await _fetch_some(cluster, partition, 4)).data) == everything[4:]


async def test_a_recreated_topic_is_recognized_by_its_id(cluster: Cluster, topic: Topic) -> None:
    partition = Partition(topic.name, 0)
    await _fill(cluster, partition, 1)
    assert (await cluster.source.fetch(partition, 0, topic.topic_id, MIB, 10)).data
    await cluster.topics.delete(topic.name)
    anew = await cluster.topics.create(topic.name, 1, KEEP)
    with pytest.raises(TopicRecreated):
        await cluster.source.fetch(partition, 0, topic.topic_id, MIB, 0)
    assert bytes((await cluster.source.fetch(partition, 0, anew.topic_id, MIB, 0)).data) == b""


async def test_what_does_not_exist_is_named(cluster: Cluster, topic: Topic, name: str) -> None:
    for absent, error in (
        (Partition(f"{name}-absent", 0), TopicAbsent),
        (Partition(topic.name, topic.partitions), PartitionAbsent),
    ):
        with pytest.raises(error):
            await _fetch(cluster, absent, 0)
        with pytest.raises(error):
            await cluster.source.range(absent)


async def test_a_time_finds_the_first_record_at_or_after_it(cluster: Cluster, partition: Partition) -> None:
    times = [[1000, 1010], [1030, 1020], [1020, 1040]]
    for batch in times:
        now = [TIMESTAMP_MS + time for time in batch]
        await cluster.destination.append(partition, stamped(NOBODY, -1, numbered(*batch), now))
    expected = {0: 0, 1000: 0, 1001: 1, 1010: 1, 1011: 2, 1030: 2, 1031: 5, 1040: 5, 1041: None}
    found = {time: await cluster.source.offset_at(partition, TIMESTAMP_MS + time) for time in expected}
    assert found == expected


async def test_an_empty_partition_has_no_offset_for_any_time(cluster: Cluster, partition: Partition) -> None:
    assert await cluster.source.offset_at(partition, 0) is None
