"""The first of several appends under way fails, and the log takes the later ones all the same: none of them counts.

The log has forgotten the producer at that moment, so nothing refuses what lands in the wrong place. That the queue
towards a broker stops by itself is tests/kafka/test_append_queue.py; here it does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import pytest

from mesh.batch.stamp import StampedBatch
from mesh.cluster_errors import AppendUnknown, DiskFull
from mesh.ids import Partition
from mesh.lanes.checkpoint import load_lane, prefix
from mesh.ports import StateOf
from mesh.testing.clock import run
from mesh.testing.cluster import FakeCluster
from tests.support.batches import plain_batch
from tests.support.mirror import LANE, TO, Mirror, dense, destination, mirroring, records_of_partition, source_of

BATCHES, RECORDS = 12, 3


class HeadFails:
    """A destination whose `failing`-th append is not written, and whose log then takes any sequence."""

    def __init__(self, fake: FakeCluster, failing: int, error: Exception) -> None:
        self._fake = fake
        self._inner = fake.ports.destination
        self._failing = failing
        self._error = error
        self.later = 0
        """Appends that were written though an earlier one had failed."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def append(self, partition: Partition, batch: StampedBatch, state: StateOf | None = None) -> Awaitable[int]:
        self._failing -= 1
        if self._failing == 0:
            self._fake.forget_producers()
            failed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(0.05, failed.set_exception, self._error)
            return failed
        self.later += self._failing < 0
        return self._inner.append(partition, batch, state)


ERRORS = [AppendUnknown(*TO, "no answer"), DiskFull("log")]


async def _mirror(failing: int, error: Exception) -> tuple[Mirror, HeadFails]:
    fake = await destination()
    head = HeadFails(fake, failing, error)
    log = dense(BATCHES)
    return Mirror(await source_of(log), replace(fake.ports, destination=head), log=log, joined_bytes=0), head


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
@pytest.mark.parametrize("failing", [2, 6])
def test_later_appends_that_pass_are_not_acknowledged(failing: int, error: Exception) -> None:
    async def scenario() -> None:
        mirror, head = await _mirror(failing, error)
        async with mirroring(mirror):
            status = await mirror.until_stopped()
        assert head.later > 0, "nothing was written behind the one that failed"
        before = (failing - 1) * RECORDS
        assert status.code == "lane-frozen"
        assert f"the batch at {before} has sequence {before + RECORDS}" in status.reason
        assert status.source_position == before
        stored = load_lane(LANE, await mirror.destination.lanes.load(prefix(LANE)))
        assert stored is not None
        assert stored[0].source_position == before

    run(scenario())


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
def test_the_first_append_of_all_goes_alone_so_that_nothing_is_behind_it(error: Exception) -> None:
    async def scenario() -> None:
        mirror, head = await _mirror(1, error)
        async with mirroring(mirror):
            await mirror.until_copied()
        copied = [record[1:] for _, record in await records_of_partition(mirror.destination, TO)]
        assert mirror.log is not None
        assert copied == [record[1:] for _, record in sorted(mirror.log.visible.items())]
        assert head.later == BATCHES

    run(scenario())


class LogReplaced:
    """A destination whose log loses everything before the `failing`-th append, which lands at its beginning.

    Others then write just as much as makes the appends behind it land where they had to.
    """

    def __init__(self, fake: FakeCluster, failing: int) -> None:
        self._fake = fake
        self._inner = fake.ports.destination
        self._failing = failing
        self._others = (failing - 1) * RECORDS

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def append(self, partition: Partition, batch: StampedBatch, state: StateOf | None = None) -> Awaitable[int]:
        self._failing -= 1
        if self._failing:
            return self._inner.append(partition, batch, state)
        self._fake.truncate(partition, 0)
        self._fake.forget_producers()
        answer = self._inner.append(partition, batch, state)
        self._fake.foreign_write(partition, plain_batch([b"foreign"] * self._others))
        return answer


@pytest.mark.parametrize("joins_state", [True, False])
def test_what_lands_in_its_place_behind_one_that_did_not_stores_nothing(joins_state: bool) -> None:
    async def scenario() -> None:
        fake = await destination(joins_state=joins_state)
        log = dense(BATCHES)
        replaced = replace(fake.ports, destination=LogReplaced(fake, 4))
        mirror = Mirror(await source_of(log), replaced, log=log, joined_bytes=0, checkpoint_bytes=1)
        async with mirroring(mirror):
            status = await mirror.until_stopped()
        assert status.code == "lane-frozen"
        assert fake.log(TO).end > 4 * RECORDS, "nothing was written behind the one that went astray"
        stored = load_lane(LANE, await mirror.destination.lanes.load(prefix(LANE)))
        assert stored is not None
        assert stored[0].source_position == 3 * RECORDS

    run(scenario())
