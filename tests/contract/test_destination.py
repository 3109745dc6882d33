"""The laws of `mesh.ports.Destination`: compare-and-append (rule B), and state with it."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from mesh.batch.stamp import Producer, StampedBatch, restamp
from mesh.cluster_errors import BatchRefused, PartitionAbsent, ProducerFenced, SequenceRefused, TopicAbsent
from mesh.ids import Partition
from mesh.log import OwnBatch, Topic
from mesh.ports import Cluster
from tests.contract.conftest import KEEP
from tests.support.batches import NOBODY, numbered, plain_batch, records_in, stamped

LAST = 2**31 - 1


async def _records(cluster: Cluster, partition: Partition) -> list[bytes]:
    if (await cluster.source.range(partition)).end == 0:
        return []
    fetched = await cluster.source.fetch(partition, 0, None, 1 << 24, 10)
    return [value for _, value in records_in(fetched.data)]


def _batch(producer: Producer, sequence: int, count: int = 2) -> StampedBatch:
    """Records whose content is their sequence."""
    return stamped(producer, sequence, numbered(*((sequence + delta) % 2**31 for delta in range(count))))


async def _append_each(cluster: Cluster, partition: Partition, batches: list[StampedBatch]) -> list[int]:
    return [await cluster.destination.append(partition, batch) for batch in batches]


@pytest.fixture
async def producer(cluster: Cluster) -> Producer:
    return await cluster.destination.producer()


async def test_producer_ids_are_never_given_twice(cluster: Cluster) -> None:
    producers = await asyncio.gather(*[cluster.destination.producer() for _ in range(5)])
    assert len({producer.id for producer in producers}) == 5
    assert {producer.epoch for producer in producers} == {0}


async def test_appends_in_flight_land_in_the_order_of_the_calls(
    cluster: Cluster, partition: Partition, producer: Producer
) -> None:
    assert cluster.destination.max_in_flight >= 5
    appends = [cluster.destination.append(partition, _batch(producer, sequence)) for sequence in range(0, 10, 2)]
    assert list(await asyncio.gather(*appends)) == [0, 2, 4, 6, 8]
    assert await _records(cluster, partition) == numbered(*range(10))


async def test_partitions_are_independent(cluster: Cluster, topic: Topic, producer: Producer) -> None:
    for number in range(topic.partitions):
        partition = Partition(topic.name, number)
        assert await _append_each(cluster, partition, [_batch(producer, 0), _batch(producer, 2)]) == [0, 2]


@pytest.mark.parametrize("codec", [0, 1, 2, 3, 4])
async def test_a_payload_is_stored_as_it_is(
    cluster: Cluster, partition: Partition, producer: Producer, codec: int
) -> None:
    batch = restamp(plain_batch([b"x" * 1000, b"y" * 1000], codec=codec), producer, 0)
    await cluster.destination.append(partition, batch)
    fetched = await cluster.source.fetch(partition, 0, None, 1 << 20, 10)
    assert bytes(fetched.data[61:]) == bytes(batch.payload)
    assert bytes(fetched.data[16:61]) == batch.header[16:]


async def test_a_batch_without_a_producer_is_taken(cluster: Cluster, partition: Partition) -> None:
    batch = stamped(NOBODY, -1, numbered(1))
    assert await _append_each(cluster, partition, [batch, batch]) == [0, 1]


@pytest.mark.parametrize("first", [0, 1, 12345, LAST])
async def test_a_first_sequence_may_be_any_number(
    cluster: Cluster, partition: Partition, producer: Producer, first: int
) -> None:
    following = (first + 1) % 2**31
    batches = [_batch(producer, first, 1), _batch(producer, following, 1)]
    assert await _append_each(cluster, partition, batches) == [0, 1]


async def test_an_exact_repeat_of_the_last_five_answers_the_original_offset(
    cluster: Cluster, partition: Partition, producer: Producer
) -> None:
    batches = [_batch(producer, sequence) for sequence in range(0, 12, 2)]
    await _append_each(cluster, partition, batches)
    assert await _append_each(cluster, partition, batches[1:]) == [2, 4, 6, 8, 10]
    assert await _records(cluster, partition) == numbered(*range(12))


async def test_a_repeat_in_flight_with_its_original_is_written_once(
    cluster: Cluster, partition: Partition, producer: Producer
) -> None:
    appends = [cluster.destination.append(partition, _batch(producer, 0)) for _ in range(3)]
    assert list(await asyncio.gather(*appends)) == [0, 0, 0]
    assert await _records(cluster, partition) == numbered(0, 1)


@pytest.mark.parametrize(
    ("sequence", "count"),
    [(14, 2), (13, 1), (0, 2), (11, 2), (10, 4), (10, 1), (8, 1), (11, 1)],
    ids=["gap", "gap of one", "stale", "overlap", "longer", "shorter", "shorter and older", "last record"],
)
async def test_a_batch_out_of_line_is_refused_and_nothing_is_written(
    cluster: Cluster, partition: Partition, producer: Producer, sequence: int, count: int
) -> None:
    await _append_each(cluster, partition, [_batch(producer, number) for number in (0, 2, 4, 6, 8, 10)])
    with pytest.raises(SequenceRefused) as refused:
        await cluster.destination.append(partition, _batch(producer, sequence, count))
    assert refused.value.base_sequence == sequence
    assert await _records(cluster, partition) == numbered(*range(12))
    assert await cluster.destination.append(partition, _batch(producer, 12)) == 12


async def test_what_follows_a_refused_batch_in_flight_is_refused_too(
    cluster: Cluster, partition: Partition, producer: Producer
) -> None:
    appends = [cluster.destination.append(partition, _batch(producer, sequence)) for sequence in (0, 4, 6)]
    first, *others = await asyncio.gather(*appends, return_exceptions=True)
    assert first == 0
    assert [type(other) for other in others] == [SequenceRefused, SequenceRefused]
    assert await _records(cluster, partition) == numbered(0, 1)


async def test_a_refusal_does_not_disturb_others_in_flight(cluster: Cluster, topic: Topic, producer: Producer) -> None:
    first, second = Partition(topic.name, 0), Partition(topic.name, 1)
    await _append_each(cluster, first, [_batch(producer, 0)])
    appends = [
        cluster.destination.append(first, _batch(producer, 7)),
        cluster.destination.append(second, _batch(producer, 0)),
        cluster.destination.append(second, _batch(producer, 2)),
    ]
    refused, *offsets = await asyncio.gather(*appends, return_exceptions=True)
    assert isinstance(refused, SequenceRefused)
    assert offsets == [0, 2]


@pytest.mark.parametrize("first", [LAST, LAST - 1, LAST - 2])
async def test_sequences_wrap_after_the_last_number(
    cluster: Cluster, partition: Partition, producer: Producer, first: int
) -> None:
    sequences = [first, (first + 3) % 2**31, (first + 6) % 2**31]
    batches = [_batch(producer, sequence, 3) for sequence in sequences]
    assert await _append_each(cluster, partition, batches) == [0, 3, 6]
    assert await _append_each(cluster, partition, batches) == [0, 3, 6]
    witnesses = await cluster.destination.witness(partition, producer, 0)
    assert witnesses.last_sequence == (first + 8) % 2**31


async def test_an_older_epoch_is_fenced(cluster: Cluster, partition: Partition, producer: Producer) -> None:
    newer = Producer(producer.id, 1)
    await _append_each(cluster, partition, [_batch(producer, 0), _batch(newer, 0)])
    for sequence in (0, 2):
        with pytest.raises(ProducerFenced):
            await cluster.destination.append(partition, _batch(producer, sequence))
    assert await _records(cluster, partition) == numbered(0, 1, 0, 1)
    assert await cluster.destination.append(partition, _batch(newer, 2)) == 4


async def test_a_newer_epoch_begins_at_zero(cluster: Cluster, partition: Partition, producer: Producer) -> None:
    await _append_each(cluster, partition, [_batch(producer, 0)])
    with pytest.raises(SequenceRefused):
        await cluster.destination.append(partition, _batch(Producer(producer.id, 1), 2))
    assert await cluster.destination.append(partition, _batch(producer, 2)) == 2


async def test_racing_writers_of_one_place_write_one_record(
    cluster: Cluster, partition: Partition, producer: Producer
) -> None:
    async def write() -> int:
        return await cluster.destination.append(partition, _batch(producer, 0, 1))

    assert set(await asyncio.gather(*[write() for _ in range(10)])) == {0}
    assert await _records(cluster, partition) == numbered(0)


async def test_a_batch_above_the_topics_limit_is_refused(cluster: Cluster, name: str, producer: Producer) -> None:
    await cluster.topics.create(name, 1, {**KEEP, "max.message.bytes": "500"})
    partition = Partition(name, 0)
    with pytest.raises(BatchRefused):
        await cluster.destination.append(partition, stamped(producer, 0, [b"x" * 1000]))
    assert await _append_each(cluster, partition, [stamped(producer, 0, [b"x" * 100])]) == [0]


async def test_a_batch_with_holes_is_refused(cluster: Cluster, partition: Partition, producer: Producer) -> None:
    holes = bytearray(plain_batch(numbered(0, 2)))
    holes[23:27] = (2).to_bytes(4, "big")
    with pytest.raises(BatchRefused):
        await cluster.destination.append(partition, restamp(bytes(holes), producer, 0))
    assert await _records(cluster, partition) == []


async def test_what_does_not_exist_takes_no_append(cluster: Cluster, name: str, producer: Producer) -> None:
    absent = Partition(f"{name}-absent", 0)
    with pytest.raises(TopicAbsent):
        await cluster.destination.append(absent, _batch(producer, 0))
    with pytest.raises(TopicAbsent):
        await cluster.destination.witness(absent, producer, 0)


async def test_a_partition_beyond_the_last_has_no_witness(cluster: Cluster, topic: Topic, producer: Producer) -> None:
    with pytest.raises(PartitionAbsent):
        await cluster.destination.witness(Partition(topic.name, topic.partitions), producer, 0)


async def test_state_is_durable_with_the_answer_and_knows_the_offset(
    cluster: Cluster, partition: Partition, producer: Producer
) -> None:
    place = f"test/{uuid4().hex[:12]}"
    for sequence in (0, 2, 4):
        await cluster.destination.append(
            partition, _batch(producer, sequence), lambda offset: {f"{place}/end": b"%d" % offset}
        )
        assert await cluster.lanes.load(place) == {f"{place}/end": b"%d" % sequence}
    await cluster.destination.append(partition, _batch(producer, 6), lambda offset: {f"{place}/end": None})
    assert await cluster.lanes.load(place) == {}


async def test_state_of_a_repeat_is_that_of_its_original_offset(
    cluster: Cluster, partition: Partition, producer: Producer
) -> None:
    place = f"test/{uuid4().hex[:12]}"
    await _append_each(cluster, partition, [_batch(producer, 0), _batch(producer, 2)])
    await cluster.destination.append(partition, _batch(producer, 2), lambda offset: {f"{place}/at": b"%d" % offset})
    assert await cluster.lanes.load(place) == {f"{place}/at": b"2"}


async def test_state_of_a_refused_append_is_not_stored(
    cluster: Cluster, partition: Partition, producer: Producer
) -> None:
    place = f"test/{uuid4().hex[:12]}"
    await _append_each(cluster, partition, [_batch(producer, 0)])
    with pytest.raises(SequenceRefused):
        await cluster.destination.append(partition, _batch(producer, 5), lambda offset: {f"{place}/at": b"x"})
    assert await cluster.lanes.load(place) == {}


async def test_states_of_appends_in_flight_end_with_the_last_one(
    cluster: Cluster, partition: Partition, producer: Producer
) -> None:
    place = f"test/{uuid4().hex[:12]}"
    appends = [
        cluster.destination.append(
            partition, _batch(producer, sequence), lambda offset: {f"{place}/end": b"%d" % offset}
        )
        for sequence in range(0, 10, 2)
    ]
    await asyncio.gather(*appends)
    assert await cluster.lanes.load(place) == {f"{place}/end": b"8"}


async def test_a_witness_tells_own_from_foreign_writes(
    cluster: Cluster, partition: Partition, producer: Producer
) -> None:
    foreign = stamped(NOBODY, -1, numbered(70, 71, 72))
    await _append_each(cluster, partition, [_batch(producer, 5, 2), foreign, _batch(producer, 7, 4)])
    everything = await cluster.destination.witness(partition, producer, 0)
    assert everything.range == (0, 9, 9)
    assert everything.last_sequence == 10
    assert everything.own == (OwnBatch(0, 5, 2), OwnBatch(5, 7, 4))
    assert everything.foreign_count == 3
    later = await cluster.destination.witness(partition, producer, 4)
    assert (later.own, later.foreign_count) == ((OwnBatch(5, 7, 4),), 1)
    within = await cluster.destination.witness(partition, producer, 6)
    assert (within.own, within.foreign_count) == ((OwnBatch(6, 8, 3),), 0)
    end = await cluster.destination.witness(partition, producer, 9)
    assert (end.own, end.foreign_count, end.last_sequence) == ((), 0, 10)


async def test_a_witness_names_the_incarnation_even_of_an_empty_log(
    cluster: Cluster, topic: Topic, partition: Partition, producer: Producer
) -> None:
    assert (await cluster.destination.witness(partition, producer, 0)).topic_id == topic.topic_id
    await cluster.topics.delete(topic.name)
    again = await cluster.topics.create(topic.name, 2, topic.config)
    found = await cluster.destination.witness(partition, producer, 0)
    assert (found.topic_id, found.range.end) == (again.topic_id, 0)
    assert again.topic_id != topic.topic_id


async def test_a_witness_of_a_stranger_is_empty(cluster: Cluster, partition: Partition, producer: Producer) -> None:
    await _append_each(cluster, partition, [_batch(producer, 0)])
    stranger = await cluster.destination.producer()
    witnesses = await cluster.destination.witness(partition, stranger, 0)
    assert (witnesses.last_sequence, witnesses.own, witnesses.foreign_count) == (None, (), 2)


async def _named(cluster: Cluster, name: str) -> Producer:
    return await cluster.destination.producer(name)


async def test_a_cut_shuts_the_old_epoch_out_for_ever(cluster: Cluster, topic: Topic, name: str) -> None:
    producer = await _named(cluster, name)
    places = [Partition(topic.name, number) for number in range(2)]
    for place in places:
        await _append_each(cluster, place, [_batch(producer, 0), _batch(producer, 2)])
    newer = await cluster.destination.cut(name, producer, places)
    assert (newer.id, newer.epoch > producer.epoch) == (producer.id, True)
    for place in places:
        for sequence in (0, 2, 4, 4, 99):
            with pytest.raises(ProducerFenced):
                await cluster.destination.append(place, _batch(producer, sequence))
        assert await _records(cluster, place) == numbered(0, 1, 2, 3)


async def test_a_cut_partition_is_open_to_everybody_else(cluster: Cluster, partition: Partition, name: str) -> None:
    producer = await _named(cluster, name)
    await _append_each(cluster, partition, [_batch(producer, 0)])
    newer = await cluster.destination.cut(name, producer, [partition])
    end = (await cluster.source.range(partition)).end
    assert end - 2 in (0, 1), "a cut takes at most one offset"
    other = await cluster.destination.producer()
    batches = [stamped(NOBODY, -1, numbered(7)), _batch(other, 0, 1), _batch(newer, 0, 1)]
    assert await _append_each(cluster, partition, batches) == [end, end + 1, end + 2]
    assert (await cluster.source.range(partition)).last_stable == end + 3


async def test_a_partition_that_was_never_written_is_cut_too(cluster: Cluster, partition: Partition, name: str) -> None:
    producer = await _named(cluster, name)
    await cluster.destination.cut(name, producer, [partition])
    with pytest.raises(ProducerFenced):
        await cluster.destination.append(partition, _batch(producer, 0))


async def test_a_cut_may_be_repeated(cluster: Cluster, partition: Partition, name: str) -> None:
    producer = await _named(cluster, name)
    await _append_each(cluster, partition, [_batch(producer, 0)])
    first = await cluster.destination.cut(name, producer, [partition])
    second = await cluster.destination.cut(name, producer, [partition])
    assert second.epoch > first.epoch
    for old in (producer, first):
        with pytest.raises(ProducerFenced):
            await cluster.destination.append(partition, _batch(old, 0))
    assert await _records(cluster, partition) == numbered(0, 1)


async def test_a_cut_of_one_name_leaves_the_others_alone(cluster: Cluster, topic: Topic, name: str) -> None:
    cut, other = await _named(cluster, name), await _named(cluster, f"{name}-other")
    places = [Partition(topic.name, number) for number in range(2)]
    await _append_each(cluster, places[1], [_batch(other, 0)])
    await cluster.destination.cut(name, cut, places)
    for place, sequence in zip(places, (0, 2), strict=True):
        await cluster.destination.append(place, _batch(other, sequence))


async def test_a_partition_that_is_not_there_cannot_be_cut(cluster: Cluster, topic: Topic, name: str) -> None:
    producer = await _named(cluster, name)
    with pytest.raises(PartitionAbsent):
        await cluster.destination.cut(name, producer, [Partition(topic.name, 9)])
    with pytest.raises(TopicAbsent):
        await cluster.destination.cut(name, producer, [Partition(f"{name}-absent", 0)])


async def test_a_new_producer_of_a_name_has_written_nothing(cluster: Cluster, partition: Partition, name: str) -> None:
    old = await _named(cluster, name)
    await _append_each(cluster, partition, [_batch(old, 0), _batch(old, 2)])
    new = await _named(cluster, name)
    assert new != old
    end = (await cluster.source.range(partition)).end
    witnesses = await cluster.destination.witness(partition, new, end)
    assert (witnesses.last_sequence, witnesses.own, witnesses.foreign_count) == (None, (), 0)
    await _append_each(cluster, partition, [_batch(new, 0)])
    witnesses = await cluster.destination.witness(partition, new, end)
    assert (witnesses.last_sequence, witnesses.own) == (1, (OwnBatch(end, 0, 2),))
