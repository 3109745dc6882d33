"""What batches cost on their way from log to log, in calls: a guard against a data path that grows dearer unnoticed.

Records of one topic are mirrored in memory: exporter, link, wire, importer and coalescing are the real ones, logs and
streams are fakes; the appends of Kafka, whose log no fake stands for, are counted by themselves. Calls are told by
stage, per batch of the source. The limits lie about a tenth above what was counted when they were written: who lowers
a cost lowers its limit, who raises one says why. Where there is no compiled part there is more to run.

    pytest -rP tests/test_calls.py      the figures beside their limits
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.kafka.append_queue import Append, AppendQueue
from gateway.kafka.appends import LeaderAppends
from gateway.kafka.connection import Api
from gateway.kafka.produce_message import ANSWERED
from gateway.kafka.wire import compact
from mesh.batch.header import Codec
from mesh.batch.native import IS_COMPILED
from mesh.batch.stamp import Buffer, Producer, StampedBatch
from mesh.ids import Partition
from mesh.link.features import JOINED
from mesh.link.seal import SEALED
from mesh.testing.clock import run
from mesh.testing.cluster import FakeCluster
from tests.support.batches import numbered, plain_batch, stamped
from tests.support.calls import Calls
from tests.support.mirror import DESTINATION, FROM, SOURCE, TO, Mirror, mirroring
from tests.support.sessions import Side, joined

STAGES: Mapping[str, tuple[str, ...]] = {
    "export": ("gateway/exporter.py", "gateway/shared_fetches.py", "mesh/lanes/export.py"),
    "encode and decode": ("mesh/wire/",),
    "seal": ("mesh/link/seal.py",),
    "link": ("gateway/link/", "mesh/link/"),
    "validate": ("mesh/batch/validate.py",),
    "coalesce": ("mesh/lanes/coalesce.py",),
    "stamp": ("mesh/batch/stamp.py",),
    "import": ("gateway/importer/", "mesh/lanes/", "mesh/offsets/"),
    "append to Kafka": ("gateway/kafka/",),
}
WORKLOADS: Mapping[str, tuple[int, int, Codec]] = {
    # how many batches, of how many records of 1 KB each
    "256 KB batches, lz4": (4, 250, Codec.LZ4),
    "16 KB batches, lz4": (64, 16, Codec.LZ4),
    "one-record batches": (512, 1, Codec.NONE),
}
COMPILED: Mapping[str, Sequence[float]] = {  # in the order of the stages
    "256 KB batches, lz4": (33, 65, 5.3, 74, 93, 19, 16, 152, 0),
    "16 KB batches, lz4": (4.2, 7.5, 0.6, 8.1, 45, 6.2, 0.5, 7.1, 0),
    "one-record batches": (0.3, 0.6, 0.2, 0.8, 5.5, 4.6, 0.2, 2.9, 0),
    "appends": (0, 0, 0, 0, 0, 0, 7, 0, 112),
}
IN_PYTHON: Mapping[str, Sequence[float]] = {
    "256 KB batches, lz4": (67, 65, 5.3, 74, 610, 19, 16, 152, 0),
    "16 KB batches, lz4": (37.5, 7.5, 0.6, 8.1, 99, 208, 0.5, 7.1, 0),
    "one-record batches": (33.5, 0.6, 0.2, 0.8, 48, 24.5, 0.2, 2.9, 0),
    "appends": (0, 0, 0, 0, 0, 0, 7, 0, 112),
}
LIMITS = COMPILED if IS_COMPILED else IN_PYTHON


@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_batch_costs_no_more_calls_than_it_did(workload: str) -> None:
    batches, records, codec = WORKLOADS[workload]
    # of so many batches more: what happens once does not count
    fewer, more = (calls_of(mirrored(filled(times * batches, records, codec))) for times in (1, 2))
    judge(workload, {stage: (more[stage] - fewer[stage]) / batches for stage in STAGES})


def test_an_append_to_kafka_costs_no_more_calls_than_it_did() -> None:
    batches = [stamped(Producer(7, 0), sequence, numbered(sequence)) for sequence in range(200)]
    fewer, more = (calls_of(appended(some)) for some in (batches[:100], batches))
    judge("appends", {stage: (more[stage] - fewer[stage]) / 100 for stage in STAGES})


def judge(workload: str, found: Mapping[str, float]) -> None:
    limits = dict(zip(STAGES, LIMITS[workload], strict=True))
    table = [
        f"{stage:18} {found[stage]:7.1f} of {limits[stage]:6.1f}" for stage in STAGES if limits[stage] or found[stage]
    ]
    print(f"calls per batch, {workload}", *table, sep="\n")
    grown = [stage for stage in STAGES if found[stage] > limits[stage]]
    assert not grown, "\n".join([f"dearer than before: {', '.join(grown)}", *table])


def calls_of(scenario: Any) -> Counter[str]:
    calls = Calls(STAGES)

    async def counting() -> None:
        with calls.counting():
            await scenario

    run(counting())
    return calls.by_stage


# --- a mirror


class Border(Mirror):
    """Links whose ends speak as two gateways of today do."""

    async def keep_linking(self) -> None:
        hello: dict[str, object] = {"features": (SEALED, JOINED)}
        exporter, importer = Side(True, export=self._export, hello=hello), Side(False, hello=hello)
        async with joined(exporter, importer) as self.pair:
            await self.pair.open()
            self.change()
            await self.pair.over()


def filled(batches: int, records: int, codec: Codec) -> FakeCluster:
    source, chance = FakeCluster(), random.Random(7)
    run(source.ports.topics.create(SOURCE, 1, {}))
    for at in range(batches):
        values = [chance.randbytes(1000) for _ in range(records)]
        source.put_raw(FROM, plain_batch(values, codec=codec, base_offset=at * records))
    return source


async def mirrored(source: FakeCluster) -> None:
    destination = FakeCluster(joins_state=False)  # as Kafka: state follows appends
    await destination.ports.topics.create(DESTINATION, 1, {})
    end = source.log(FROM).range.end
    async with mirroring(Border(source, destination.ports, fetch_bytes=1 << 20, credit_bytes=8 << 20)):
        while destination.log(TO).range.end < end:  # noqa: ASYNC110 - the clock skips
            await asyncio.sleep(0.01)


# --- appends


class Answering:
    """A connection to a broker that takes everything at once."""

    closed, usable, writable, takes_topic_ids = False, True, True, False
    address = "broker-1:9092"

    def __init__(self) -> None:
        self._end = 0

    def abort(self, why: str) -> None: ...

    def when_writable(self, call: Callable[[], None]) -> None: ...

    def send(self, api: Api, parts: list[Buffer]) -> asyncio.Future[memoryview]:
        taken = ANSWERED.pack(0, 0, self._end, -1, 0) + b"\1\0\0"
        self._end += 1
        answer: asyncio.Future[memoryview] = asyncio.get_running_loop().create_future()
        answer.set_result(memoryview(b"\0\2" + compact("t") + b"\2" + taken + b"\0" + bytes(4) + b"\0"))
        return answer


def unexpected(*_: object) -> None:
    raise AssertionError


async def appended(batches: Sequence[StampedBatch]) -> None:
    there: Any = Answering()
    client: Any = SimpleNamespace(config=SimpleNamespace(request_timeout_s=1.0))
    leader = LeaderAppends(
        client, there, lambda append, offset: append.answer.set_result(offset), unexpected, unexpected, lambda: True
    )
    queue = AppendQueue(Partition("t", 0), leader=leader)
    answers: list[asyncio.Future[int]] = []
    for batch in batches:
        answers.append(asyncio.get_running_loop().create_future())
        queue.add(Append(queue.partition, batch, None, answers[-1], deadline=1e9))
        leader.wake(queue)
    assert await asyncio.gather(*answers) == list(range(len(batches)))
