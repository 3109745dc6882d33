"""The knobs of the fake cluster; its ports are tested by the contract suites."""

from __future__ import annotations

import asyncio

import pytest

from mesh.cluster_errors import (
    AppendUnknown,
    ClusterUnreachable,
    LogTruncated,
    OffsetOutOfRange,
    SequenceRefused,
    TopicRecreated,
)
from mesh.ids import Partition
from mesh.log import AbortedTransaction, OwnBatch
from mesh.testing.cluster import FakeCluster
from tests.support.batches import numbered, plain_batch, records_in, stamped

PARTITION = Partition("orders", 0)


@pytest.fixture
async def fake() -> FakeCluster:
    fake = FakeCluster()
    await fake.ports.topics.create("orders", 1, {})
    return fake


async def _offsets(fake: FakeCluster, offset: int = 0) -> list[int]:
    fetched = await fake.ports.source.fetch(PARTITION, offset, None, 1 << 20, 0)
    return [found for found, _ in records_in(fetched.data)]


async def test_raw_batches_keep_their_offsets_and_holes(fake: FakeCluster) -> None:
    fake.put_raw(PARTITION, plain_batch(numbered(1, 2), base_offset=5))
    fake.put_raw(PARTITION, plain_batch(numbered(3), base_offset=9))
    assert await _offsets(fake) == [5, 6, 9]
    assert await _offsets(fake, 7) == [9]
    with pytest.raises(AssertionError, match="already taken"):
        fake.put_raw(PARTITION, plain_batch(numbered(3), base_offset=8))


async def test_an_open_transaction_holds_readers_back_until_it_ends(fake: FakeCluster) -> None:
    fake.put_raw(PARTITION, plain_batch(numbered(1)))
    fake.set_last_stable(PARTITION, 1)
    fake.put_raw(PARTITION, plain_batch(numbered(2), base_offset=1))
    assert await fake.ports.source.range(PARTITION) == (0, 2, 1)
    waiting = asyncio.create_task(fake.ports.source.fetch(PARTITION, 1, None, 1000, 30))
    await asyncio.sleep(0)
    assert fake.waiting_count == 1
    fake.set_last_stable(PARTITION, None)
    assert records_in((await waiting).data) == [(1, b"record-2")]


async def test_aborted_transactions_come_with_the_data(fake: FakeCluster) -> None:
    fake.put_raw(PARTITION, plain_batch(numbered(1)))
    fake.set_aborted(PARTITION, [AbortedTransaction(7, 0)])
    fetched = await fake.ports.source.fetch(PARTITION, 0, None, 1000, 0)
    assert fetched.aborted == (AbortedTransaction(7, 0),)


async def test_a_reader_of_a_lost_history_is_told_where_its_last_epoch_ended(fake: FakeCluster) -> None:
    for offset in range(4):
        fake.put_raw(PARTITION, plain_batch(numbered(offset), base_offset=offset))
    epoch = (await fake.ports.source.fetch(PARTITION, 3, None, 1000, 0)).leader_epoch
    fake.truncate(PARTITION, 2)
    for offset in range(2, 6):
        fake.put_raw(PARTITION, plain_batch(numbered(offset + 10), base_offset=offset))
    with pytest.raises(LogTruncated) as caught:
        await fake.ports.source.fetch(PARTITION, 4, None, 1000, 0, epoch)
    assert (caught.value.diverges_at, caught.value.diverging_epoch) == (2, epoch)
    assert (await fake.ports.source.fetch(PARTITION, 2, None, 1000, 0, epoch)).data  # up to there it read the same
    assert (await fake.ports.source.fetch(PARTITION, 4, None, 1000, 0, epoch + 1)).data


async def test_truncation_and_recreation_are_seen(fake: FakeCluster) -> None:
    topic = await fake.ports.topics.describe("orders")
    for offset in range(4):
        fake.put_raw(PARTITION, plain_batch(numbered(offset), base_offset=offset))
    fake.truncate(PARTITION, 2)
    with pytest.raises(OffsetOutOfRange):
        await _offsets(fake, 4)
    assert await _offsets(fake) == [0, 1]
    fake.recreate("orders")
    with pytest.raises(TopicRecreated):
        await fake.ports.source.fetch(PARTITION, 0, topic.topic_id, 1000, 0)


async def test_a_foreign_write_takes_the_next_offset(fake: FakeCluster) -> None:
    producer = await fake.ports.destination.producer()
    await fake.ports.destination.append(PARTITION, stamped(producer, 0, numbered(1)))
    assert fake.foreign_write(PARTITION, plain_batch(numbered(7, 8))) == 1
    assert await fake.ports.destination.append(PARTITION, stamped(producer, 1, numbered(2))) == 3
    witnesses = await fake.ports.destination.witness(PARTITION, producer, 0)
    assert witnesses.own == (OwnBatch(0, 0, 1), OwnBatch(3, 1, 1))
    assert witnesses.foreign_count == 2


async def test_a_forgotten_producer_may_write_anything(fake: FakeCluster) -> None:
    producer = await fake.ports.destination.producer()
    await fake.ports.destination.append(PARTITION, stamped(producer, 5, numbered(1)))
    with pytest.raises(SequenceRefused):
        await fake.ports.destination.append(PARTITION, stamped(producer, 4, numbered(1)))
    fake.forget_producers()
    assert (await fake.ports.destination.witness(PARTITION, producer, 0)).last_sequence is None
    assert await fake.ports.destination.append(PARTITION, stamped(producer, 4, numbered(1))) == 1


async def test_failures_come_once_and_in_order(fake: FakeCluster) -> None:
    for why in ("first", "second"):
        fake.fail_next("range", ClusterUnreachable("fake", why))
    for why in ("first", "second"):
        with pytest.raises(ClusterUnreachable, match=why):
            await fake.ports.source.range(PARTITION)
    assert await fake.ports.source.range(PARTITION) == (0, 0, 0)


@pytest.mark.parametrize(("operation", "written"), [("append", 0), ("append answer", 1)])
async def test_an_append_may_fail_before_or_after_it_is_written(
    fake: FakeCluster, operation: str, written: int
) -> None:
    fake.fail_next(operation, AppendUnknown("orders", 0, "cut"))  # type: ignore[arg-type]
    producer = await fake.ports.destination.producer()
    with pytest.raises(AppendUnknown):
        await fake.ports.destination.append(PARTITION, stamped(producer, 0, numbered(1)))
    assert len(await _offsets(fake)) == written


async def test_held_answers_come_in_order_when_released(fake: FakeCluster) -> None:
    producer = await fake.ports.destination.producer()
    fake.hold_answers()
    appends = [fake.ports.destination.append(PARTITION, stamped(producer, n, numbered(n))) for n in range(3)]
    everything = asyncio.gather(*appends)
    await asyncio.sleep(0)
    assert await _offsets(fake) == [0, 1, 2]
    assert not everything.done()
    fake.release_answers()
    assert await everything == [0, 1, 2]


async def test_without_joined_state_an_append_can_outlive_its_state() -> None:
    fake = FakeCluster(joins_state=False)
    await fake.ports.topics.create("orders", 1, {})
    fake.fail_next("put", ClusterUnreachable("fake", "cut"))
    producer = await fake.ports.destination.producer()
    with pytest.raises(ClusterUnreachable):
        await fake.ports.destination.append(PARTITION, stamped(producer, 0, numbered(1)), lambda at: {"a/b": b""})
    assert await _offsets(fake) == [0]
    assert await fake.ports.lanes.load("") == {}


async def test_a_cancelled_fetch_leaves_no_watcher(fake: FakeCluster) -> None:
    waiting = asyncio.create_task(fake.ports.source.fetch(PARTITION, 0, None, 1000, 30))
    await asyncio.sleep(0)
    assert fake.waiting_count == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert fake.waiting_count == 0
