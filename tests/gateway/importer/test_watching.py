"""What a lane tells of its source beside lag, from the words that come over the link."""

from __future__ import annotations

import asyncio

from mesh.cluster_errors import BatchRefused
from mesh.lanes.status import LaneState
from mesh.lanes.warnings import warnings
from mesh.testing.clock import run
from tests.support.failing import FailingCluster
from tests.support.mirror import DESTINATION, FROM, Mirror, dense, destination, mirroring, source_of
from tests.support.source_log import COMMIT


def clock_ms() -> int:
    return int(asyncio.get_running_loop().time() * 1000)


def test_a_hanging_transaction_is_told_apart_from_lag() -> None:
    async def scenario() -> None:
        log = dense(5)
        mirror = Mirror(await source_of(log), (await destination()).ports, now_ms=clock_ms)
        async with mirroring(mirror):
            await mirror.until_copied()
            assert mirror.runner.status().stalled_s == 0
            log.append([0], 1, producer_id=1)
            mirror.source.put_raw(FROM, log.batches[-1].data)
            mirror.source.set_last_stable(FROM, 15)
            status = await mirror.until(lambda found: found.stalled_s > 30)
            assert (status.state, status.lag_records, status.stalled_records) == (LaneState.RUNNING, 0, 1)
            log.append([0, 1], 2)
            mirror.source.put_raw(FROM, log.batches[-1].data)
            status = await mirror.until(lambda found: found.stalled_records == 3)
            assert status.stalled_s > 30, "records behind it do not begin the time anew"
            (warning,) = warnings([await mirror.until(lambda found: found.stalled_s > 60)])
            assert warning.code == "source-stalled"
            log.mark(1, COMMIT)
            mirror.source.put_raw(FROM, log.batches[-1].data)
            mirror.source.set_last_stable(FROM, None)
            status = await mirror.until_copied()
            assert (status.stalled_records, status.stalled_s) == (0, 0)

    run(scenario())


def test_retention_that_comes_nearer_is_told_while_the_destination_takes_nothing() -> None:
    """An importer that gives no credit still hears of the source's log."""

    async def scenario() -> None:
        log = dense(400)
        fake = FailingCluster()
        await fake.ports.topics.create(DESTINATION, 1, {})
        mirror = Mirror(await source_of(log), fake.ports, now_ms=clock_ms, credit_bytes=1900)
        fake.hold_answers()
        async with mirroring(mirror):
            await mirror.until(lambda found: found.lag_records is not None)
            for start in range(300, 900, 30):
                mirror.source.delete_before(FROM, start)
                await asyncio.sleep(10)
            status = mirror.runner.status()
            assert mirror.runner.watch.range is not None
            assert mirror.runner.watch.range.start >= 840
            assert status.retention_s == 0
            fake.release_answers()

    run(scenario())


def test_a_stopped_lane_goes_on_telling_when_it_is_reached() -> None:
    async def scenario() -> None:
        log = dense(100)
        fake = FailingCluster()
        await fake.ports.topics.create(DESTINATION, 1, {})
        mirror = Mirror(await source_of(log), fake.ports, now_ms=clock_ms, credit_bytes=600)
        async with mirroring(mirror):
            fake.hold_answers()
            await mirror.until(lambda found: found.lag_records is not None)
            mirror.source.delete_before(FROM, 3)
            for start in range(3, 33, 3):
                mirror.source.delete_before(FROM, start)
                await asyncio.sleep(5)
            fake.fail_from_now("append", 0, BatchRefused(DESTINATION, 0, "no"))
            fake.release_answers()
            first = await mirror.until_stopped()
            assert first.retention_s is not None
            await asyncio.sleep(20)
            later = mirror.runner.status()
            assert later.retention_s is not None
            assert later.source_heard_s is not None
            assert first.source_heard_s is not None
            assert later.source_heard_s >= first.source_heard_s + 19
            assert later.retention_s <= first.retention_s

    run(scenario())
