"""The state on its topics: whose turn it is, what is refused, what survives, and what another opening finds."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from gateway.kafka import KafkaConfig, line, state_writer
from gateway.kafka.client import Client
from gateway.kafka.control_state import KafkaControl, open_control
from gateway.kafka.destination import KafkaDestination
from gateway.kafka.errors import StateMisplaced, StateNotCompacted
from gateway.kafka.lane_state import KafkaLanes, open_lanes
from gateway.kafka.offsets import log_range
from gateway.kafka.scan import scan
from gateway.kafka.source import KafkaSource
from gateway.kafka.state import CONFIG
from gateway.kafka.topics import KafkaTopics, create_topic
from mesh.batch.encode import encode
from mesh.batch.header import HEADER_BYTES
from mesh.batch.records import Record, records_of
from mesh.batch.stamp import restamp
from mesh.cluster_errors import BatchRefused, StateMoved
from mesh.ids import LaneId, Partition, SubscriptionName, TopicName
from tests.support import state_writer_process
from tests.support.brokers import Broker, shared_broker

pytestmark = pytest.mark.kafka

LANE = LaneId(SubscriptionName("flights"), TopicName("departures"), 7)
KEY = "lane/flights/departures/7/checkpoint"


@pytest.fixture(scope="module")
def broker() -> Broker:
    return shared_broker()


@asynccontextmanager
async def _client(broker: Broker) -> AsyncIterator[Client]:
    async with asyncio.TaskGroup() as tasks:
        client = Client(KafkaConfig(bootstrap=(broker.address,)), None, tasks)
        try:
            await client.start()
            yield client
        finally:
            client.close()


@pytest.fixture
async def client(broker: Broker) -> AsyncIterator[Client]:
    async with _client(broker) as client:
        yield client


@pytest.fixture
def topic() -> str:
    return f"_mesh.test-{uuid4().hex[:8]}"


async def _all_claimed(client: Client, topic: str, partitions: int = 3, gateway: str = "gw-1") -> KafkaLanes:
    lanes = await open_lanes(client, topic, partitions, gateway)
    await lanes.claim(range(lanes.partitions))
    return lanes


async def test_what_waits_is_stored_in_one_batch_and_found_again(broker: Broker, client: Client, topic: str) -> None:
    lanes = await _all_claimed(client, topic)
    puts = [lanes.put({f"lane/a/t/0/{number % 100}": b"%d" % number}) for number in range(2000)]
    await asyncio.gather(*puts)
    expected = {f"lane/a/t/0/{number % 100}": b"%d" % number for number in range(1900, 2000)}
    assert await lanes.load("lane/a/") == expected
    assert sum(await _batch_counts(client, topic)) <= 3 + 2, "a claim each, and the puts"
    async with _client(broker) as other:
        again = await _all_claimed(other, topic)
        assert await again.load("lane/") == expected
        await again.put({"lane/a/t/0/7": None, "lane/a/t/0/8": b""})
    async with _client(broker) as other:
        last = await (await open_lanes(other, topic, 3)).load("lane/a/")
        assert "lane/a/t/0/7" not in last
        assert last["lane/a/t/0/8"] == b""


async def _batch_counts(client: Client, topic: str) -> list[int]:
    counts = []
    for number in range(3):
        partition = Partition(topic, number)
        where = await log_range(client, partition, 5)
        counts.append(len([header async for header, _ in scan(client, partition, where.start, where.end)]))
    return counts


async def test_a_put_that_the_topic_will_not_take_fails_alone(client: Client, topic: str) -> None:
    lanes = await _all_claimed(client, topic, 1)
    huge = {"lane/a/t/0/huge": bytes(9 << 20)}
    puts = [lanes.put({"lane/a/t/0/1": b"1"}), lanes.put(huge), lanes.put({"lane/a/t/0/2": b"2"})]
    outcomes = await asyncio.gather(*puts, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), BatchRefused, type(None)]
    assert await lanes.load("lane/") == {"lane/a/t/0/1": b"1", "lane/a/t/0/2": b"2"}
    large = {f"lane/a/t/0/{number}": bytes(1 << 20) for number in range(6)}
    await lanes.put(large)
    assert await lanes.load("lane/") == large


async def test_a_topic_that_forgets_is_not_used(client: Client) -> None:
    name = f"state-{uuid4().hex[:8]}"
    await KafkaTopics(client).create(name, 1, {"cleanup.policy": "compact,delete"})
    with pytest.raises(StateNotCompacted, match=r"cleanup\.policy compact,delete"):
        await open_lanes(client, name, 1)


# Whose turn it is


async def test_nothing_is_put_before_it_is_claimed(client: Client, topic: str) -> None:
    lanes = await open_lanes(client, topic, 3)
    number = lanes.partition_of(LANE)
    assert number == lanes.partition_of(KEY) == lanes.partition_of("lane/flights/departures/7/map/0")
    with pytest.raises(StateMoved):
        await lanes.put({KEY: b"1"})
    await lanes.claim([number])
    await lanes.put({KEY: b"1"})
    assert lanes.claimed == {number}
    lanes.release([number])
    with pytest.raises(StateMoved):
        await lanes.put({KEY: b"2"})
    assert await lanes.load("lane/") == {KEY: b"1"}


async def test_a_claim_shuts_out_whoever_claimed_before_and_shows_what_he_put(client: Client, topic: str) -> None:
    old = await _all_claimed(client, topic, gateway="gw-old")
    new = await open_lanes(client, topic, 3, "gw-new")
    number = new.partition_of(LANE)
    await old.put({KEY: b"last words"})
    await new.claim([number])
    assert await new.load(KEY) == {KEY: b"last words"}
    for _ in range(2):
        with pytest.raises(StateMoved):
            await old.put({KEY: b"never"})
    assert old.claimed == {0, 1, 2} - {number}
    await new.put({KEY: b"new"})
    assert await old.load("lane/flights/") == {KEY: b"new"}, "of what others own the log is read on"
    assert await old.claimant(number) == "gw-new"
    await old.claim([number])
    await old.put({KEY: b"old again"})
    assert await new.load(KEY) != {KEY: b"old again"}, "he does not know yet"
    with pytest.raises(StateMoved):
        await new.put({KEY: b"never"})
    assert await new.load(KEY) == {KEY: b"old again"}


async def test_whoever_slept_asks_before_he_writes_or_answers(
    client: Client, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker might have forgotten whom it shut out, so it is not left to it: the sleeper sends nothing."""
    writer, reader, new = [await _all_claimed(client, topic, 1) for _ in range(3)]
    await new.put({KEY: b"new"})
    assert writer.claimed == reader.claimed == {0}, "nobody has told them"
    monkeypatch.setattr(state_writer, "CLAIM_FRESH_S", -1.0)
    before = (await log_range(client, Partition(topic, 0), 5)).end
    with pytest.raises(StateMoved):
        await writer.put({KEY: b"never"})
    assert await reader.load("lane/") == {KEY: b"new"}
    assert writer.claimed == reader.claimed == frozenset()
    assert (await log_range(client, Partition(topic, 0), 5)).end == before
    await new.put({KEY: b"newer"})
    assert await new.load("lane/") == {KEY: b"newer"}


async def test_of_gateways_that_claim_and_put_at_once_nobody_overwrites_the_last_owner(
    broker: Broker, client: Client, topic: str
) -> None:
    """Each put says which claim it was made under: values never go back to an earlier claim."""
    lanes = [await open_lanes(client, topic, 1, f"gw-{number}") for number in range(3)]
    claims = 0

    async def work(store: KafkaLanes) -> None:
        nonlocal claims
        for _ in range(6):
            await store.claim([0])
            seen = int((await store.load(KEY)).get(KEY, b"0"))
            claims += 1
            try:
                for number in range(1, 4):
                    await store.put({KEY: b"%d" % (seen + number)})
            except StateMoved:
                continue

    await asyncio.gather(*[work(store) for store in lanes])
    values = [int(value) for value in await _history(client, Partition(topic, 0), KEY)]
    assert values == list(range(1, len(values) + 1)), "each put followed on what the claim had read"
    assert len(values) >= claims // 3


async def _history(client: Client, partition: Partition, key: str) -> Sequence[bytes]:
    where = await log_range(client, partition, 5)
    found = []
    async for header, batch in scan(client, partition, where.start, where.end):
        records = records_of(header, batch[HEADER_BYTES:])
        found += [record.value or b"" for record in records if record.key == key.encode()]
    return found


async def test_when_the_epochs_are_used_up_the_line_goes_on_under_another_id(
    client: Client, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "LAST_EPOCH", 2)
    stores = [await open_lanes(client, topic, 1, f"gw-{number}") for number in range(2)]
    for number in range(8):
        store, other = stores[number % 2], stores[(number + 1) % 2]
        await store.claim([0])
        await store.put({KEY: b"%d" % number})
        if number:
            with pytest.raises(StateMoved):
                await other.put({KEY: b"never"})
    assert await (await open_lanes(client, topic, 1)).load("lane/") == {KEY: b"7"}
    assert len(await _history(client, Partition(topic, 0), KEY)) == 8


async def test_state_that_lies_where_nobody_looks_stops_the_start(client: Client, topic: str) -> None:
    lanes = await _all_claimed(client, topic)
    wrong = (lanes.partition_of(KEY) + 1) % 3
    batch = encode([Record(0, 1_700_000_000_000, KEY.encode(), b"1")])
    destination = KafkaDestination(client)
    await destination.append(Partition(topic, wrong), restamp(batch, await destination.producer(), 0))
    with pytest.raises(StateMisplaced, match=f"lies in partition {wrong}"):
        await open_lanes(client, topic, 3)


# Control


async def _controls(client: Client, topic: str, count: int) -> list[KafkaControl]:
    return [await open_control(client, KafkaSource(client), topic) for _ in range(count)]


async def test_a_change_that_somebody_was_quicker_than_is_not_in_the_log(client: Client, topic: str) -> None:
    one, two = await _controls(client, topic, 2)
    seen = one.version, two.version
    outcomes = await asyncio.gather(
        one.change({"share/a": b"1"}, seen[0]), two.change({"share/a": b"2"}, seen[1]), return_exceptions=True
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, StateMoved)]
    assert len(refused) == 1
    assert len(await _history(client, Partition(topic, 0), "share/a")) == 1


async def test_state_from_before_the_line_is_gone_on_with(client: Client, topic: str) -> None:
    """As earlier versions wrote it: under a producer of their own."""
    await create_topic(client, topic, 1, CONFIG)
    destination = KafkaDestination(client)
    producer = await destination.producer()
    for number in range(3):
        batch = encode([Record(0, 1_700_000_000_000, b"share/a", b"%d" % number)])
        await destination.append(Partition(topic, 0), restamp(batch, producer, number))
    one, two = await _controls(client, topic, 2)
    assert await one.load("share/") == {"share/a": b"2"}
    await one.change({"share/a": b"3"}, one.version)
    await two.put({"share/b": b"1"})
    assert await two.load("share/") == {"share/a": b"3", "share/b": b"1"}


async def test_a_foreign_write_is_seen_and_gone_on_behind(client: Client, topic: str) -> None:
    one, two = await _controls(client, topic, 2)
    version = await one.change({"share/a": b"1"}, one.version)
    destination = KafkaDestination(client)
    batch = encode([Record(0, 1_700_000_000_000, b"share/a", b"restored")])
    await destination.append(Partition(topic, 0), restamp(batch, await destination.producer(), 0))
    with pytest.raises(StateMoved):
        await one.change({"share/a": b"2"}, version)
    await two.put({"share/b": b"1"})
    assert await two.load("share/") == {"share/a": b"restored", "share/b": b"1"}


async def test_writers_that_are_killed_leave_nothing_half_done(broker: Broker, client: Client, topic: str) -> None:
    """Two processes take the partition from each other and are killed in the midst, one after the other."""
    await open_lanes(client, topic, 1)
    partition, place = Partition(topic, 0), state_writer_process.PLACE
    command = [sys.executable, "-m", state_writer_process.__name__, broker.address, topic]
    processes = [await asyncio.create_subprocess_exec(*command, f"gw-{at}", stdout=PIPE) for at in range(2)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
        for process in processes:
            end = (await log_range(client, partition, 5)).end
            async with asyncio.timeout(20):
                while (await log_range(client, partition, 5)).end < end + 20:
                    pass
            process.kill()
            await process.wait()
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.wait()
    lanes = await _all_claimed(client, topic, 1)
    found = await lanes.load(f"{place}/")
    assert found[f"{place}/a"] == found[f"{place}/b"]
    numbers = [int(value) for value in await _history(client, partition, f"{place}/a")]
    assert numbers == list(range(1, len(numbers) + 1)), "whoever took over went on from the last put of the one before"
    await lanes.put({f"{place}/a": None, f"{place}/b": None})
    assert await lanes.load("lane/") == {}
