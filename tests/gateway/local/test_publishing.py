"""Publishing where appends fail, answers are lost, gateways die and several write at once: nothing twice or lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.local.publishing import Publisher, PublishSettings
from gateway.local.topics import KnownTopics, WriterSettings
from gateway.local.values import NewRecord, Published, PublishRequest
from mesh.batch.header import HEADER_BYTES, split
from mesh.batch.limits import DEFAULT_LIMITS
from mesh.batch.records import records_of
from mesh.batch.stamp import StampedBatch
from mesh.cluster_errors import (
    AppendUnknown,
    BatchRefused,
    ClusterUnreachable,
    DiskFull,
    PermissionMissing,
    SequenceRefused,
    StateMoved,
)
from mesh.errors import MeshError
from mesh.ids import Partition
from mesh.local.errors import KeysNotKept, PublishBusy, PublishIncomplete, PublishUnknown, RecordTooLarge
from mesh.local.room import Room
from mesh.ports import Cluster, StateOf
from mesh.testing.cluster import FakeCluster

TOPIC = "orders"
HOUR_MS = 3_600_000
QUICK = WriterSettings("gw-0", HOUR_MS, DEFAULT_LIMITS, pace_s=0.001, pause_s=0.0005)


class Clock:
    now_ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms


class OneGateway:
    """What publishes in one gateway; `kill` ends it as SIGKILL does."""

    def __init__(
        self, ports: Cluster, clock: Callable[[], int], patience_s: float, waiting_bytes: int, name: str = "gw-0"
    ) -> None:
        self.known = KnownTopics(ports, clock, lambda topic: "", replace(QUICK, gateway=name))
        self.publisher = Publisher(self.known, Room(waiting_bytes), clock, PublishSettings(patience_s, HOUR_MS))

    async def publish(
        self, values: Sequence[str], key: str = "", partition: int | None = None, *, is_local: bool = False
    ) -> Published:
        return await self.publisher.publish(asked(values, key, partition, is_local=is_local))

    async def kill(self) -> None:
        await self.known.close(0)


def asked(
    values: Sequence[str], key: str = "", partition: int | None = None, *, is_local: bool = False
) -> PublishRequest:
    return PublishRequest(
        TOPIC, [NewRecord(value.encode(), value.encode()) for value in values], partition, key, is_local
    )


@asynccontextmanager
async def gateways(
    fake: FakeCluster,
    count: int = 1,
    *,
    ports: Cluster | None = None,
    patience_s: float = 5,
    waiting_bytes: int = 1 << 20,
) -> AsyncIterator[list[OneGateway]]:
    made = [
        OneGateway(ports or fake.ports, Clock(), patience_s, waiting_bytes, f"gw-{number}") for number in range(count)
    ]
    try:
        yield made
    finally:
        for each in made:
            await each.kill()


@asynccontextmanager
async def one(fake: FakeCluster, **options: object) -> AsyncIterator[OneGateway]:
    async with gateways(fake, **options) as (found,):  # type: ignore[arg-type]
        yield found


async def cluster_with(partitions: int = 1, **config: str) -> FakeCluster:
    fake = FakeCluster()
    await fake.ports.topics.create(TOPIC, partitions, {key.replace("_", "."): value for key, value in config.items()})
    return fake


async def held(fake: FakeCluster) -> dict[tuple[int, int], str]:
    """The values in the topic by partition and offset."""
    found: dict[tuple[int, int], str] = {}
    for number in range(fake.topic(TOPIC).partitions):
        where = fake.log(Partition(TOPIC, number)).range
        fetched = await fake.ports.source.fetch(Partition(TOPIC, number), where.start, None, 1 << 30, 0)
        for header, batch in split(fetched.data):
            for record in records_of(header, batch[HEADER_BYTES:]):
                found[number, header.base_offset + record.offset_delta] = (record.value or b"").decode()
    return found


def places(published: Published) -> list[tuple[int, int]]:
    return [(each.partition, each.first_offset + n) for each in published.placed for n in range(each.count)]


UNKNOWN = AppendUnknown(TOPIC, 0, "the connection broke")
UNREACHABLE = ClusterUnreachable("fake", "it is away")


@pytest.mark.parametrize("key", ["", "k"])
@pytest.mark.parametrize("operation", ["append", "append answer"])
@pytest.mark.parametrize("times", [1, 3])
async def test_an_append_without_an_answer_is_looked_for_in_the_log(key: str, operation: str, times: int) -> None:
    fake = await cluster_with()
    async with one(fake) as gateway:
        await gateway.publish(["first"], "first" if key else "")
        for _ in range(times):
            fake.fail_next(operation, UNKNOWN)  # type: ignore[arg-type]
        published = await gateway.publish(["a", "b"], key)
        found = await held(fake)
        assert [found[place] for place in places(published)] == ["a", "b"]
        assert sorted(found.values()) == ["a", "b", "first"]


@pytest.mark.parametrize("key", ["", "k"])
@pytest.mark.parametrize("error", [SequenceRefused(TOPIC, 0, 0), UNREACHABLE, UNKNOWN], ids=str)
async def test_what_was_not_written_is_sent_again(key: str, error: MeshError) -> None:
    fake = await cluster_with()
    async with one(fake) as gateway:
        await gateway.publish(["first"], "first" if key else "")
        fake.fail_next("append", error)
        fake.fail_next("witness", UNREACHABLE)
        many = [gateway.publish([f"v{number}"], key and f"{key}{number}") for number in range(8)]
        await asyncio.gather(*many)
        assert list((await held(fake)).values()) == ["first", *(f"v{number}" for number in range(8))]


async def test_a_refused_batch_is_its_own_request_s_trouble() -> None:
    fake = await cluster_with(max_message_bytes="2000")
    async with one(fake) as gateway:
        fake.fail_next("append", BatchRefused(TOPIC, 0, "it is not liked"))
        outcomes = await asyncio.gather(
            *(gateway.publish([f"v{number}"]) for number in range(5)), return_exceptions=True
        )
        refused = [each for each in outcomes if isinstance(each, BatchRefused)]
        assert len(refused) <= 1
        assert len(await held(fake)) == 5 - len(refused)
        with pytest.raises(RecordTooLarge):
            await gateway.publish(["x" * 3000])


@pytest.mark.parametrize("error", [DiskFull("/data"), PermissionMissing("write", "orders")], ids=str)
async def test_what_a_person_must_mend_is_said_at_once(error: MeshError) -> None:
    fake = await cluster_with()
    async with one(fake) as gateway:
        fake.fail_next("append", error)
        with pytest.raises(type(error)):
            await gateway.publish(["a"])
        await gateway.publish(["b"])
        assert list((await held(fake)).values()) == ["b"]


async def test_while_nobody_knows_the_request_says_so_and_its_repeat_finds_it() -> None:
    fake = await cluster_with()
    async with one(fake, patience_s=0.05) as gateway:
        await gateway.publish(["first"], "first")
        fake.hold_answers()
        with pytest.raises(PublishUnknown):
            await gateway.publish(["a"], "k")
        with pytest.raises(PublishUnknown):
            await gateway.publish(["a"], "k")
        fake.release_answers()
        again = await gateway.publish(["a"], "k")
        assert again.repeated_request
        assert list((await held(fake)).values()) == ["first", "a"]


async def test_what_cannot_begin_is_not_appended_later() -> None:
    fake = await cluster_with()
    async with one(fake, patience_s=0.05) as gateway:
        for _ in range(1000):
            fake.fail_next("producer", UNREACHABLE)
        with pytest.raises(PublishBusy, match="it is away"):
            await gateway.publish(["a"])
        fake._failures["producer"].clear()
        await gateway.publish(["b"])
        assert list((await held(fake)).values()) == ["b"]


async def test_a_request_that_is_half_done_says_so_and_its_repeat_completes_it() -> None:
    fake = await cluster_with(4)
    values = [f"v{number}" for number in range(12)]
    async with one(fake) as gateway:
        await gateway.publish(values, "warm")
        fake.fail_next("append", DiskFull("/data"))
        with pytest.raises(PublishIncomplete) as incomplete:
            await gateway.publish(values, "k")
        assert 0 < incomplete.value.appended < 12
    async with one(fake) as restarted:
        again = await restarted.publish(values, "k")
        assert again.repeated_request
    found = await held(fake)
    assert [found[place] for place in places(again)] == values
    assert set(Counter(found.values()).values()) == {2}  # once by each key


async def test_room_that_is_taken_makes_the_next_wait() -> None:
    fake = await cluster_with()
    async with one(fake, patience_s=0.2, waiting_bytes=300) as gateway:
        await gateway.publish(["first"])
        fake.hold_answers()
        first = asyncio.ensure_future(gateway.publish(["a" * 100]))
        await asyncio.sleep(0.01)
        with pytest.raises(PublishBusy, match="takes nothing more"):
            await gateway.publish(["b" * 100])
        fake.release_answers()
        with pytest.raises(PublishUnknown):
            await first
        await gateway.publish(["c" * 100])
        assert sorted(value[0] for value in (await held(fake)).values()) == ["a", "c", "f"]


async def test_a_compacted_topic_takes_keys_only_where_it_keeps_them() -> None:
    fake = await cluster_with(cleanup_policy="compact")
    async with one(fake) as gateway:
        with pytest.raises(KeysNotKept, match="compacted"):
            await gateway.publish(["a"], "k")
        await gateway.publish(["a"])
        await fake.ports.topics.configure(TOPIC, {"min.compaction.lag.ms": str(HOUR_MS)})
    async with one(fake) as restarted:
        await restarted.publish(["a"], "k")


async def test_retention_of_what_was_published_under_keys_does_not_stop_publishing() -> None:
    fake = await cluster_with()
    async with one(fake) as gateway:
        for number in range(5):
            await gateway.publish([f"v{number}"], f"k{number}")
    fake.delete_before(Partition(TOPIC, 0), 3)
    async with one(fake) as restarted:
        assert (await restarted.publish(["v4"], "k4")).repeated_request
        assert not (await restarted.publish(["v9"], "k9")).repeated_request


class Late:
    """A destination whose appends, while it `loses`, stay on their way until `arrive`: unanswered, or with `error`."""

    def __init__(self, fake: FakeCluster, error: MeshError | None = None) -> None:
        self._error = error
        self._real = fake.ports.destination
        self.lost: list[tuple[Partition, StampedBatch]] = []
        self.loses = False
        self.something = asyncio.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def append(self, partition: Partition, batch: StampedBatch, state: StateOf | None = None) -> Awaitable[int]:
        if not self.loses:
            return self._real.append(partition, batch, state)
        self.lost.append((partition, batch))
        self.something.set()
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self._error is not None:
            answer.set_exception(self._error)
            self.loses = False
        return answer

    async def arrive(self) -> list[BaseException | int]:
        appends = [self._real.append(*each) for each in self.lost]
        return await asyncio.gather(*appends, return_exceptions=True)


async def test_a_batch_of_a_killed_gateway_that_arrives_late_is_shut_out() -> None:
    fake = await cluster_with()
    late = Late(fake)
    ports = replace(fake.ports, destination=late)  # type: ignore[arg-type]
    async with gateways(fake, ports=ports) as (killed,):
        await killed.publish(["first"], "first")
        late.loses = True
        dying = asyncio.ensure_future(killed.publish(["a"], "k"))
        await late.something.wait()
        dying.cancel()
    async with one(fake) as restarted:
        assert not (await restarted.publish(["a"], "k")).repeated_request
    assert all(isinstance(each, MeshError) for each in await late.arrive())
    assert list((await held(fake)).values()) == ["first", "a"]


@pytest.mark.parametrize("key", ["", "k"])
async def test_what_was_sent_again_and_arrives_late_as_well_is_there_once(key: str) -> None:
    fake = await cluster_with()
    late = Late(fake, UNKNOWN)
    ports = replace(fake.ports, destination=late)  # type: ignore[arg-type]
    async with gateways(fake, ports=ports) as (gateway,):
        await gateway.publish(["first"], key and "first")
        late.loses = True
        await gateway.publish(["a"], key)
        await gateway.publish(["b"], key and "k2")
        await late.arrive()
    assert list((await held(fake)).values()) == ["first", "a", "b"]


class Forgetful:
    """A destination whose log takes an append, forgets who made it, and does not say that it has it."""

    def __init__(self, fake: FakeCluster) -> None:
        self._fake, self._real = fake, fake.ports.destination
        self.forgets = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def append(self, partition: Partition, batch: StampedBatch, state: StateOf | None = None) -> Awaitable[int]:
        if self.forgets:
            self.forgets = False
            self._fake.fail_next("append answer", UNKNOWN)
            answer = self._real.append(partition, batch, state)
            self._fake.forget_producers()
            return answer
        return self._real.append(partition, batch, state)


@pytest.mark.parametrize("key", ["", "k"])
async def test_a_log_that_has_forgotten_the_producer_is_asked_before_anything_is_sent_again(key: str) -> None:
    fake = await cluster_with()
    forgetful = Forgetful(fake)
    ports = replace(fake.ports, destination=forgetful)  # type: ignore[arg-type]
    async with gateways(fake, ports=ports) as (gateway,):
        await gateway.publish(["first"], key and "first")
        forgetful.forgets = True
        await gateway.publish(["a"], key)
        await gateway.publish(["b"], key and "k2")
    assert list((await held(fake)).values()) == ["first", "a", "b"]


async def test_two_gateways_append_a_key_once() -> None:
    fake = await cluster_with(3)
    values = [f"v{number}" for number in range(9)]
    async with gateways(fake, 2) as (one, two):
        for key in ("a", "b", "c"):
            first, second = await asyncio.gather(one.publish(values, key), two.publish(values, key))
            assert places(first) == places(second)
            assert first.repeated_request != second.repeated_request or {first.repeated_request} == {False}
    assert set(Counter((await held(fake)).values()).values()) == {3}


async def test_gateways_that_publish_under_keys_of_their_own_do_not_wait_for_each_other() -> None:
    fake = await cluster_with()
    async with gateways(fake, 2) as made:
        for _ in range(3):
            for number, gateway in enumerate(made):
                again = await gateway.publish([f"v{number}"], "k", is_local=True)
                assert len(again.placed) == 1
        epochs = {state.epoch for state in fake.log(Partition(TOPIC, 0)).producers.values()}
        assert epochs == {0}
    async with gateways(fake, 2) as restarted:
        for number, gateway in enumerate(restarted):
            assert (await gateway.publish([f"v{number}"], "k", is_local=True)).repeated_request
    assert list((await held(fake)).values()) == ["v0", "v1"]


async def test_a_stream_keeps_its_order_whatever_its_keys() -> None:
    fake = await cluster_with()

    async def requests() -> AsyncIterator[PublishRequest]:
        for number in range(12):
            key = f"k{number}" if number % 3 else ""
            yield asked([f"v{number:02}"], key, is_local=number % 2 == 0)

    async with one(fake) as gateway:
        outcomes = [outcome async for outcome in gateway.publisher.publish_many(requests())]
    assert [outcome.error for outcome in outcomes] == [None] * 12
    assert list((await held(fake)).values()) == [f"v{number:02}" for number in range(12)]


async def test_a_stream_ends_with_the_first_that_fails_and_says_what_became_of_the_others() -> None:
    fake = await cluster_with()

    async def requests() -> AsyncIterator[PublishRequest]:
        yield asked(["a"])
        yield asked(["b"], partition=7)
        yield asked(["c"])

    async with one(fake) as gateway:
        outcomes = [outcome async for outcome in gateway.publisher.publish_many(requests())]
    assert [type(outcome.error).__name__ for outcome in outcomes] == ["NoneType", "PartitionAbsent"]
    assert list((await held(fake)).values()) == ["a"]


async def test_who_was_shut_out_by_another_gateway_knows_it_though_the_log_has_forgotten() -> None:
    fake = await cluster_with()
    async with gateways(fake, 2) as (one, two):
        await one.publish(["first"], "first")
        await two.publish(["a"], "k")
        fake.forget_producers()
        assert (await one.publish(["a"], "k")).placed == (await two.publish(["a"], "k")).placed
    assert list((await held(fake)).values()) == ["first", "a"]


FAILURES: Sequence[tuple[str, MeshError]] = (
    ("append", UNKNOWN),
    ("append answer", UNKNOWN),
    ("append", SequenceRefused(TOPIC, 0, 0)),
    ("append", DiskFull("/data")),
    ("witness", UNREACHABLE),
    ("producer", UNREACHABLE),
    ("cut", UNREACHABLE),
    ("fetch", UNREACHABLE),
    ("range", UNREACHABLE),
    ("put", StateMoved("control")),
    ("put", UNREACHABLE),
    ("load", UNREACHABLE),
)
STEPS = st.one_of(
    st.tuples(st.just("publish"), st.integers(0, 1), st.integers(0, 5), st.integers(1, 4), st.booleans()),
    st.tuples(st.just("fail"), st.sampled_from(FAILURES)),
    st.tuples(st.just("kill"), st.integers(0, 1)),
    st.tuples(st.just("settle")),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=25))
async def test_whatever_happens_nothing_is_there_twice_and_what_was_answered_is_there(
    steps: list[tuple[object, ...]],
) -> None:
    fake = await cluster_with(3)
    clock = Clock()
    made = [OneGateway(fake.ports, clock, 2, 1 << 20, f"gw-{number}") for number in range(2)]
    published: list[tuple[list[str], asyncio.Task[Published]]] = []
    for number, step in enumerate(steps):
        match step:
            case "publish", int(which), int(key), int(count), bool(is_local):
                name = f"k{key}-{count}{f'-of-{which}' if is_local else ''}" if key else ""
                values = [f"{name or number}:{index}" for index in range(count)]
                task = asyncio.ensure_future(made[which].publish(values, name, is_local=is_local))
                published.append((values, task))
            case "fail", (operation, error):
                fake.fail_next(operation, error)  # type: ignore[arg-type]
            case "kill", int(which):
                await made[which].kill()
                made[which] = OneGateway(fake.ports, clock, 2, 1 << 20, f"gw-{which}")
            case _:
                await asyncio.wait([task for _, task in published]) if published else None
        await asyncio.sleep(0)
    outcomes = await asyncio.gather(*(task for _, task in published), return_exceptions=True)
    for each in made:
        await each.kill()
    fake._failures.clear()
    found = await held(fake)
    assert not [value for value, times in Counter(found.values()).items() if times > 1]
    for (values, _), outcome in zip(published, outcomes, strict=True):
        if isinstance(outcome, Published):
            assert [found[place] for place in places(outcome)] == values
        else:
            assert isinstance(outcome, MeshError), outcome
