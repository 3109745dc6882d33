"""A broker that dies, hangs or comes back: the log stays exact, and nobody is told what is not so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from gateway.kafka import KafkaConfig, open_kafka
from gateway.kafka.errors import AppendNotSent
from mesh.batch.stamp import Producer, StampedBatch
from mesh.cluster_errors import AppendUnknown, ClusterUnreachable, LogTruncated
from mesh.errors import NetworkError
from mesh.ids import Partition
from mesh.ports import Cluster
from tests.support.batches import numbered, records_in, stamped
from tests.support.brokers import Broker

pytestmark = pytest.mark.kafka

KEEP = {"retention.ms": "-1"}
OLD_MS = 1_600_000_000_000
"""A time at which a broker has forgotten every producer long ago."""


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker.start() as broker:
        yield broker


@pytest.fixture
async def cluster(broker: Broker) -> AsyncIterator[Cluster]:
    async with open_kafka(KafkaConfig(bootstrap=(broker.address,), request_timeout_s=20)) as cluster:
        yield cluster


@pytest.fixture
async def partition(cluster: Cluster) -> Partition:
    topic = await cluster.topics.create(f"faults-{uuid4().hex[:8]}", 1, KEEP)
    return Partition(topic.name, 0)


def _batch(producer: Producer, sequence: int) -> StampedBatch:
    """With the present time: a broker that starts has forgotten producers that wrote only old timestamps."""
    return stamped(producer, sequence, numbered(sequence), [int(time.time() * 1000)])


async def _values(cluster: Cluster, partition: Partition) -> list[bytes]:
    end = (await cluster.source.range(partition)).end
    found: list[tuple[int, bytes]] = []
    while len(found) < end:
        found += records_in((await cluster.source.fetch(partition, len(found), None, 1 << 20, 5)).data)
    return [value for _, value in found]


async def test_after_a_kill_in_the_middle_of_appends_the_log_goes_on_exactly(
    broker: Broker, cluster: Cluster, partition: Partition
) -> None:
    # 1. appends, five in flight, until the broker is killed under them
    destination, total = cluster.destination, 3000
    producer = await destination.producer()
    answers: dict[int, int] = {}
    failures: list[BaseException] = []
    room = asyncio.Semaphore(destination.max_in_flight)

    async def write(sequence: int) -> None:
        try:
            answers[sequence] = await destination.append(partition, _batch(producer, sequence))
        except NetworkError as error:
            failures.append(error)
        finally:
            room.release()

    async with asyncio.TaskGroup() as writers:
        for sequence in range(total):
            await room.acquire()
            if sequence == 200:  # it answers nothing any more, and dies a little later: some are under way for certain
                broker.suspend()
                asyncio.get_running_loop().call_later(0.3, broker.kill)
            if failures:
                break
            writers.create_task(write(sequence))
    assert failures, "the broker was killed too late to matter"
    assert all(sequence == offset for sequence, offset in answers.items())
    assert any(isinstance(error, AppendUnknown) for error in failures)
    # 2. it comes back; the log says how far it is: everything that was answered is there
    broker.launch()
    await asyncio.to_thread(broker.wait_ready)
    witnesses = await destination.witness(partition, producer, 0)
    assert witnesses.foreign_count == 0
    assert witnesses.last_sequence == witnesses.range.end - 1 >= max(answers)
    assert [batch.base_sequence for batch in witnesses.own] == list(range(witnesses.range.end))
    # 3. the lane goes on from there
    for sequence in range(witnesses.range.end, witnesses.range.end + 10):
        assert await destination.append(partition, _batch(producer, sequence)) == sequence
    assert await _values(cluster, partition) == numbered(*range(witnesses.range.end + 10))


async def test_a_broker_that_hangs_makes_the_outcome_unknown_and_the_rest_unsent(
    broker: Broker, partition: Partition
) -> None:
    async with open_kafka(KafkaConfig(bootstrap=(broker.address,), request_timeout_s=1)) as cluster:
        destination = cluster.destination
        producer = await destination.producer()
        assert await destination.append(partition, _batch(producer, 0)) == 0
        broker.suspend()
        try:
            appends = [destination.append(partition, _batch(producer, sequence)) for sequence in range(1, 8)]
            outcomes = await asyncio.gather(*appends, return_exceptions=True)
            with pytest.raises(AppendNotSent):
                await destination.append(partition, _batch(producer, 8))
        finally:
            broker.resume()
        assert [type(outcome) for outcome in outcomes] == [AppendUnknown] * 5 + [AppendNotSent] * 2
    # what was sent may come in late; repeating it writes nothing twice
    async with open_kafka(KafkaConfig(bootstrap=(broker.address,))) as cluster:
        await cluster.destination.witness(partition, producer, 0)
        for sequence in range(1, 10):
            assert await cluster.destination.append(partition, _batch(producer, sequence)) == sequence
        assert await _values(cluster, partition) == numbered(*range(10))


async def test_a_broker_that_starts_between_question_and_append_takes_nothing_twice(
    broker: Broker, cluster: Cluster, partition: Partition
) -> None:
    """Two gateways have asked; one writes, the broker forgets who wrote old records, and the other goes on."""
    producer = await cluster.destination.producer()
    batches = [stamped(producer, sequence, numbered(sequence), [OLD_MS]) for sequence in range(3)]
    async with open_kafka(KafkaConfig(bootstrap=(broker.address,), request_timeout_s=20)) as rival:
        for each in (cluster, rival):
            await each.destination.witness(partition, producer, 0)
        assert await rival.destination.append(partition, batches[0]) == 0
        await asyncio.to_thread(broker.kill)
        broker.launch()
        await asyncio.to_thread(broker.wait_ready)
        with pytest.raises(AppendNotSent, match="ends at 1, where 0 was known"):
            await cluster.destination.append(partition, batches[0])
        # whose word of the log is still true goes on without asking anew, though he must open a connection, too
        assert await rival.destination.append(partition, batches[1]) == 1
    assert (await cluster.destination.witness(partition, producer, 0)).range.end == 2
    assert await cluster.destination.append(partition, batches[2]) == 2
    assert await _values(cluster, partition) == numbered(0, 1, 2)


async def test_a_fetch_outlives_a_restart(broker: Broker, cluster: Cluster, partition: Partition) -> None:
    producer = await cluster.destination.producer()
    async with asyncio.TaskGroup() as group:
        fetch = group.create_task(cluster.source.fetch(partition, 0, None, 1 << 20, 20))
        await _is_waiting(cluster, partition)
        await asyncio.to_thread(broker.kill)
        broker.launch()
        await asyncio.to_thread(broker.wait_ready)
        await cluster.destination.append(partition, _batch(producer, 0))
    assert records_in(fetch.result().data) == [(0, b"record-0")]


async def _is_waiting(cluster: Cluster, partition: Partition) -> None:
    """A second ask of the same partition is answered only after the first one went out."""
    assert (await cluster.source.fetch(partition, 0, None, 1, 0)).range.end == 0


async def test_state_put_while_the_broker_is_away_is_stored_when_it_is_back(broker: Broker, cluster: Cluster) -> None:
    place = f"test/{uuid4().hex[:8]}/t/0"
    await cluster.lanes.put({f"{place}/a": b"before", f"{place}/b": b"gone"})
    await asyncio.to_thread(broker.kill)
    async with asyncio.TaskGroup() as group:
        puts = [group.create_task(cluster.lanes.put({f"{place}/a": b"%d" % number})) for number in range(3)]
        group.create_task(cluster.lanes.put({f"{place}/b": None}))
        broker.launch()
        await asyncio.to_thread(broker.wait_ready)
    assert all(put.done() for put in puts)
    assert await cluster.lanes.load(place) == {f"{place}/a": b"2"}
    async with open_kafka(KafkaConfig(bootstrap=(broker.address,))) as again:
        assert await again.lanes.load(place) == {f"{place}/a": b"2"}


async def test_a_reader_of_a_lost_history_is_told_where_it_parted(
    broker: Broker, cluster: Cluster, partition: Partition
) -> None:
    # each restart begins a leader epoch: 0 to 2 are of one, 3 and 4 of the next
    producer, source = await cluster.destination.producer(), cluster.source
    for sequence in range(5):
        if sequence == 3:
            await asyncio.to_thread(broker.restart)
            await cluster.destination.witness(partition, producer, 0)
        await cluster.destination.append(partition, _batch(producer, sequence))
    first = await source.fetch(partition, 0, None, 1, 5)
    epoch = int.from_bytes(first.data[12:16], "big")
    assert (await source.fetch(partition, 4, None, 1 << 20, 5)).leader_epoch > epoch
    # as if the epoch had gone on to offset 4 before an unclean election took its end away
    with pytest.raises(LogTruncated) as truncated:
        await source.fetch(partition, 4, None, 1 << 20, 5, epoch)
    assert (truncated.value.diverges_at, truncated.value.start, truncated.value.end) == (3, 0, 5)
    with pytest.raises(LogTruncated):
        await source.fetch(partition, 4, None, 1 << 20, 5, epoch + 1000)
    # another reader, who never read that history, is not told of it
    assert (await source.fetch(partition, 4, None, 1 << 20, 5)).data


async def test_who_waits_when_the_cluster_is_closed_gets_an_answer(broker: Broker, partition: Partition) -> None:
    async with open_kafka(KafkaConfig(bootstrap=(broker.address,))) as cluster, asyncio.TaskGroup() as group:
        fetch = group.create_task(_failure(cluster.source.fetch(partition, 0, None, 1, 30)))
        await _is_waiting(cluster, partition)
        await cluster.close()
        assert isinstance(await fetch, ClusterUnreachable)
        later = cluster.destination.append(partition, _batch(Producer(1, 0), 0))
        with pytest.raises(ClusterUnreachable):
            await later
        with pytest.raises(ClusterUnreachable):
            await cluster.lanes.put({"a/b/c/d/e": b""})
        with pytest.raises(ClusterUnreachable):
            await cluster.topics.list()


async def _failure(work: object) -> BaseException | None:
    try:
        await work  # type: ignore[misc]
    except NetworkError as error:
        return error
    return None


async def test_an_error_of_the_body_comes_out_as_it_is(broker: Broker) -> None:
    with pytest.raises(LookupError, match="mine"):
        async with open_kafka(KafkaConfig(bootstrap=(broker.address,))):
            raise LookupError("mine")
