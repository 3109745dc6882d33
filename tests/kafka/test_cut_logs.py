"""A broker that comes back without the end of its logs, and without its memory of who wrote them.

One broker is killed once for all tests: as an unclean election does, it takes the last records of some partitions away,
and a new leader epoch begins in all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from gateway.kafka import KafkaConfig, open_kafka
from mesh.lanes.checkpoint import load_lane
from mesh.lanes.losses import LossKind, LostRange
from mesh.ports import Cluster
from mesh.shares import OnLoss
from tests.support.brokers import Broker
from tests.support.damage import OLD_MS, Pairing, running
from tests.support.losing import stored, values_of

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


@dataclass
class Pairings:
    shorter: Pairing
    """Its source ends before what was copied."""
    regrown: Pairing
    """Its source was cut, and is longer now than what was copied."""
    destination: Pairing
    """Its destination was cut."""
    old: Pairing
    """Its records have old timestamps: the broker has forgotten who wrote the copies."""


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker.start() as broker:
        yield broker


@pytest.fixture(scope="module")
def pairings(broker: Broker) -> Pairings:
    return asyncio.run(_cut(broker))


@pytest.fixture
async def cluster(broker: Broker, pairings: Pairings) -> AsyncIterator[Cluster]:
    async with open_kafka(_config(broker)) as cluster:
        for each in (pairings.shorter, pairings.regrown, pairings.destination, pairings.old):
            each.cluster = cluster
        yield cluster


def _config(broker: Broker) -> KafkaConfig:
    return KafkaConfig(bootstrap=(broker.address,), request_timeout_s=20)


async def _cut(broker: Broker) -> Pairings:
    async with open_kafka(_config(broker)) as cluster:
        found = Pairings(*[await Pairing.make(cluster) for _ in range(4)])
        for each in (found.shorter, found.regrown, found.destination):
            await each.produce(5)
            await each.copy(each.mirror(joined_bytes=0))  # the copy is cut between batches, too
        await found.old.produce(5, timestamp_ms=OLD_MS)
        await found.old.copy()
        broker.kill()
    for partition in (found.shorter.source, found.regrown.source, found.destination.destination):
        _truncate(broker, partition.topic, records=3)
    found.shorter.account.truncated(3)
    found.regrown.account.truncated(3)
    broker.launch()
    await asyncio.to_thread(broker.wait_ready)
    return found


def _truncate(broker: Broker, topic: str, records: int) -> None:
    """Keep the first records, each of which is a batch; what the broker knew beside them it finds out anew."""
    directory = broker.directory / "data" / f"{topic}-0"
    log = directory / f"{0:020d}.log"
    data, at = log.read_bytes(), 0
    for _ in range(records):
        at += 12 + int.from_bytes(data[at + 8 : at + 12], "big")
    assert at < len(data)
    log.write_bytes(data[:at])
    for path in (*directory.glob("*.index"), *directory.glob("*.timeindex"), *directory.glob("*.snapshot")):
        path.unlink()


async def _new_producer(pairing: Pairing) -> None:
    pairing.producer, pairing.sequence = await pairing.cluster.destination.producer(), 0


async def test_a_source_that_ends_before_what_was_copied(cluster: Cluster, pairings: Pairings) -> None:
    pairing = pairings.shorter
    status = await pairing.stop()
    assert (status.code, status.lost) == ("source-truncated", LostRange(LossKind.TRUNCATED, 3, 5))
    await pairing.copy(pairing.mirror(on_loss=OnLoss.CONTINUE))
    await _new_producer(pairing)
    await pairing.produce(4)
    await pairing.copy()
    await pairing.check()
    _, (entry,) = await stored(cluster, pairing.mirror().lane)
    assert (entry.destination_offset, entry.next_destination_offset) == (3, 5)


async def test_a_source_that_lost_its_end_and_grew_beyond_it(cluster: Cluster, pairings: Pairings) -> None:
    pairing = pairings.regrown
    await _new_producer(pairing)
    await pairing.produce(6, copied=False)
    status = await pairing.stop()
    assert (status.code, status.lost) == ("source-truncated", LostRange(LossKind.TRUNCATED, 3, 5))
    await pairing.copy(pairing.mirror(on_loss=OnLoss.CONTINUE))
    for offset in sorted(pairing.account.lost):  # they were only not copied yet
        pairing.account.places[offset] = len(pairing.account.copies)
        pairing.account.copies.append(pairing.account.held[offset])
    pairing.account.lost.clear()
    await pairing.check()
    offset_map, (entry,) = await stored(cluster, pairing.mirror().lane)
    assert offset_map.position == 9
    assert (entry.destination_offset, entry.next_destination_offset) == (3, 5)


async def test_a_destination_that_lost_its_end(cluster: Cluster, pairings: Pairings) -> None:
    pairing = pairings.destination
    await _new_producer(pairing)
    await pairing.produce(1, copied=False)
    status = await pairing.stop()
    assert status.code == "lane-frozen"
    assert "truncated" in status.reason
    assert "the destination log ends at 3, the checkpoint stands at 5" in status.reason


async def test_a_broker_that_forgot_who_wrote_the_copies(cluster: Cluster, pairings: Pairings) -> None:
    pairing = pairings.old
    place = pairing.destination
    snapshot = await pairing.snapshot()
    lane = load_lane(pairing.mirror().lane, snapshot)
    assert lane is not None
    assert (await cluster.destination.witness(place, lane[0].producer, 0)).last_sequence is None
    # 1. the lane is idle, the broker knows nothing of its producer: it goes on from what the log says
    async with running(pairing) as mirror:
        await mirror.until(lambda status: status.source_position == 5)
        await _new_producer(pairing)
        await pairing.produce(4, timestamp_ms=OLD_MS)
        await mirror.until(lambda status: status.source_position == 9)
    await pairing.check()
    # 2. somebody takes the lane over from an older checkpoint: what is there is compared, nothing is written twice
    await cluster.lanes.put(snapshot)
    await pairing.produce(2, timestamp_ms=OLD_MS)
    await pairing.copy()
    await pairing.check()
    assert len(await values_of(cluster, place)) == 11
