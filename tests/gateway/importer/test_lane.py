"""A lane from end to end on fake clusters: whatever happens between, the copy and the map are exact."""

from __future__ import annotations

import asyncio
from itertools import repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.link.lanes import ExportLane
from gateway.link.session import Session
from mesh.batch.header import split
from mesh.cluster_errors import AppendUnknown, BatchRefused, ClusterUnreachable, DiskFull
from mesh.lanes.checkpoint import load_lane, prefix
from mesh.lanes.status import LaneState
from mesh.log import LogRange
from mesh.segment import Segment
from mesh.shares import OnForeignWrite, StartAt
from mesh.spans import Span
from mesh.testing.clock import run
from mesh.testing.cluster import Operation
from mesh.testing.streams import Faults
from tests.support.batches import plain_batch
from tests.support.failing import FailingCluster
from tests.support.mirror import (
    DESTINATION,
    FROM,
    LANE,
    SOURCE,
    TO,
    Mirror,
    dense,
    destination,
    holey,
    intruder,
    mirroring,
    records_of_partition,
    source_of,
)
from tests.support.source_log import SourceLog, source_logs

JOINS = pytest.mark.parametrize("joins_state", [True, False], ids=["joined", "separate"])
CUT = ClusterUnreachable("fake", "cut")
UNKNOWN = AppendUnknown(*TO, "no answer")


async def mirror_of(log: SourceLog, *, joins_state: bool = True, **options: object) -> Mirror:
    made = (await destination(joins_state=joins_state)).ports
    return Mirror(await source_of(log), made, log=log, **options)  # type: ignore[arg-type]


async def copied(mirror: Mirror, log: SourceLog) -> None:
    async with mirroring(mirror):
        await mirror.until_copied()
    await mirror.check(log)


@JOINS
@settings(max_examples=40, deadline=None)
@given(log=source_logs())
def test_any_log_is_copied_exactly(joins_state: bool, log: SourceLog) -> None:
    async def scenario() -> None:
        await copied(await mirror_of(log, joins_state=joins_state), log)

    run(scenario())


@JOINS
@pytest.mark.parametrize("checkpoint_bytes", [1, 64 << 20])
def test_a_long_log_with_many_breaks_is_copied_exactly(joins_state: bool, checkpoint_bytes: int) -> None:
    async def scenario() -> None:
        log = holey(250)
        mirror = await mirror_of(log, joins_state=joins_state, checkpoint_bytes=checkpoint_bytes)
        await copied(mirror, log)
        stored = load_lane(LANE, await mirror.destination.lanes.load(prefix(LANE)))
        assert stored is not None
        assert stored[0].stored_breaks > 256  # more than one page

    run(scenario())


FAILURES: list[tuple[Operation, Exception]] = [
    ("append", CUT),
    ("append", DiskFull("log")),
    ("append answer", UNKNOWN),
    ("put", CUT),
    ("load", CUT),
    ("witness", CUT),
    ("producer", CUT),
    ("range", CUT),
]


@JOINS
@pytest.mark.parametrize(("operation", "error"), FAILURES, ids=[f"{o}-{e.code}" for o, e in FAILURES])  # type: ignore[attr-defined]
def test_a_failure_of_any_call_to_the_destination_is_recovered(
    operation: Operation, error: Exception, joins_state: bool
) -> None:
    async def scenario(call: int) -> int:
        log = holey(12)
        fake = FailingCluster(joins_state=joins_state)
        await fake.ports.topics.create(DESTINATION, 1, {})
        fake.fail_at(operation, call, error)
        cut = iter([Faults(cut_after=9)])  # so that the log is asked even where nothing else fails
        mirror = Mirror(await source_of(log), fake.ports, log=log, checkpoint_bytes=150, fake=fake, faults=cut)
        await copied(mirror, log)
        return fake.failed

    assert run(scenario(0)) == 1, "nothing has failed"
    for call in range(1, 14):
        run(scenario(call))


@pytest.mark.parametrize("operation", ["fetch", "describe", "range"])
def test_a_failure_of_any_call_to_the_source_is_recovered(operation: Operation) -> None:
    async def scenario(call: int) -> None:
        log = dense(8)
        source = FailingCluster()
        await source.ports.topics.create(SOURCE, 1, {})
        for batch in log.batches:
            source.put_raw(FROM, batch.data)
        source.fail_at(operation, call, CUT)
        await copied(Mirror(source, (await destination()).ports), log)

    for call in range(6):
        run(scenario(call))


@JOINS
def test_a_link_may_be_cut_after_any_frame(joins_state: bool) -> None:
    async def scenario(frames: int) -> None:
        log = holey(10)
        mirror = await mirror_of(log, joins_state=joins_state, faults=iter([Faults(cut_after=frames)] * 2))
        await copied(mirror, log)

    for frames in range(70):
        run(scenario(frames))


@JOINS
def test_links_that_never_last_still_bring_the_lane_to_its_end(joins_state: bool) -> None:
    async def scenario() -> None:
        log = holey(30)
        mirror = await mirror_of(log, joins_state=joins_state, faults=repeat(Faults(cut_after=9)))
        await copied(mirror, log)
        assert mirror.links_made >= 2

    run(scenario())


@JOINS
def test_a_cancellation_at_any_moment_leaves_nothing_behind_and_loses_nothing(joins_state: bool) -> None:
    async def scenario(steps: int) -> bool:
        log = holey(9)
        mirror = await mirror_of(log, joins_state=joins_state, checkpoint_bytes=200)
        async with mirroring(mirror):
            for _ in range(steps):
                await asyncio.sleep(0)
        stored = load_lane(LANE, await mirror.destination.lanes.load(prefix(LANE)))
        held = await records_of_partition(mirror.destination, TO)
        assert len(held) == (stored[0].ordinal if stored else 0), "log and checkpoint differ after an orderly end"
        done = len(held) == len(log.visible)
        again = Mirror(mirror.source, mirror.destination, log=log)
        await copied(again, log)
        return done

    done = [run(scenario(0))]
    while not all(done[-50:]):  # beyond the last append, too: what is stored behind it
        done.append(run(scenario(len(done))))
        assert len(done) < 1000, "the lane does not come to its end"
    assert not done[0]


def test_a_cancellation_waits_for_appends_that_are_under_way() -> None:
    async def scenario() -> None:
        fake = await destination()
        mirror = Mirror(await source_of(dense(3)), fake.ports)
        fake.hold_answers()
        async with asyncio.TaskGroup() as group:
            linking = group.create_task(mirror.keep_linking())
            running = group.create_task(mirror.start_runner().run())
            await mirror.until(lambda _: fake.log(TO).end > 0)
            for _ in range(3):  # however often it is asked
                running.cancel()
                await asyncio.sleep(1)
            assert not running.done()
            fake.release_answers()
            await asyncio.wait([running])
            assert running.cancelled()
            linking.cancel()
        stored = load_lane(LANE, await fake.ports.lanes.load(prefix(LANE)))
        assert stored is not None
        assert stored[0].ordinal == fake.log(TO).end

    run(scenario())


@JOINS
def test_a_subscription_made_again_under_its_name_does_not_go_on_where_the_former_one_stood(joins_state: bool) -> None:
    """Its first checkpoint may come from a gateway that has not heard of the deletion yet."""

    async def scenario() -> None:
        log = dense(5)
        former = await mirror_of(log, joins_state=joins_state, start=StartAt("latest"), subscribed_ms=1)
        async with mirroring(former):
            await former.until(lambda status: status.source_position == log.end)
        assert await records_of_partition(former.destination, TO) == []
        for _ in range(2):  # begun, and gone on
            await copied(Mirror(former.source, former.destination, log=log, subscribed_ms=2), log)
        stored = load_lane(LANE, await former.destination.lanes.load(prefix(LANE)))
        assert stored is not None
        assert (stored[0].subscribed_ms, stored[0].map_start, stored[0].ordinal) == (2, 0, len(log.visible))

    run(scenario())


@pytest.mark.parametrize("policy", list(OnForeignWrite))
def test_a_foreign_write_is_noticed_and_policy_decides(policy: OnForeignWrite) -> None:
    async def scenario() -> None:
        log = dense(2)
        fake = await destination()
        mirror = Mirror(await source_of(log), fake.ports, on_foreign_write=policy)
        async with mirroring(mirror):
            await mirror.until_copied()
            offset = fake.foreign_write(TO, intruder())
            mirror.grow(log)
            if policy is OnForeignWrite.REPORT:
                status = await mirror.until_copied()
                assert status.foreign_writes == 1
            else:
                status = await mirror.until_stopped()
                assert (status.code, status.foreign_writes) == ("foreign-write", 1)
        if policy is OnForeignWrite.REPORT:
            await mirror.check(log, frozenset([offset]))

    run(scenario())


def test_a_stopped_lane_goes_on_when_told_and_stops_again_at_the_next_foreign_write() -> None:
    async def scenario() -> None:
        log = dense(6)
        fake = await destination()
        source = await source_of(log)
        async with mirroring(Mirror(source, fake.ports)) as mirror:
            await mirror.until_copied()
            first = fake.foreign_write(TO, intruder())
            mirror.grow(log)
            stopped = await mirror.until_stopped()
            assert f"{first + 1} where {first} was expected" in stopped.reason
        async with mirroring(Mirror(source, fake.ports)) as mirror:  # a restart of the gateway is no word of anybody
            await mirror.until_stopped()
        async with mirroring(Mirror(source, fake.ports, accept_foreign=True)) as mirror:
            await mirror.until_copied()
            fake.foreign_write(TO, intruder())
            mirror.grow(log)
            assert (await mirror.until_stopped()).code == "foreign-write"

    run(scenario())


def test_a_truncated_destination_freezes_the_lane() -> None:
    async def scenario() -> None:
        log = dense(6)
        fake = await destination()
        source = await source_of(log)
        await copied(Mirror(source, fake.ports), log)
        fake.truncate(TO, 9)
        async with mirroring(Mirror(source, fake.ports)) as mirror:
            status = await mirror.until_stopped()
        assert status.code == "lane-frozen"
        assert "ends at 9, the checkpoint stands at 18" in status.reason
        assert fake.log(TO).end == 9

    run(scenario())


@pytest.mark.parametrize("policy", list(OnForeignWrite))
def test_a_truncated_destination_that_others_made_as_long_again_freezes_the_lane(policy: OnForeignWrite) -> None:
    async def scenario() -> None:
        log = dense(6)
        fake = await destination()
        source = await source_of(log)
        await copied(Mirror(source, fake.ports), log)
        fake.truncate(TO, 9)
        fake.foreign_write(TO, plain_batch([b"foreign"] * 20))
        fake.forget_producers()  # else its last sequence disagrees
        async with mirroring(Mirror(source, fake.ports, on_foreign_write=policy)) as mirror:
            status = await mirror.until_stopped()
        assert status.code == "lane-frozen"
        assert "last copy before the checkpoint should be at 17" in status.reason
        assert fake.log(TO).end == 29

    run(scenario())


async def _after(log: SourceLog, change: str) -> tuple[str, str]:
    """What stops a lane that has copied `log` when its source changes, found by a new run."""
    fake = await destination()
    source = await source_of(log)
    await copied(Mirror(source, fake.ports), log)
    if change == "trimmed":
        source.put_raw(FROM, _later(log))
        source.set_last_stable(FROM, None)
        source.delete_before(FROM, source.log(FROM).end)
    elif change == "truncated":
        source.set_last_stable(FROM, None)
        source.truncate(FROM, 3)
    else:
        source.recreate(SOURCE)
    async with mirroring(Mirror(source, fake.ports)) as mirror:
        status = await mirror.until_stopped()
    assert fake.log(TO).end == len(log.visible), "something was appended"
    return status.code, status.remedy


def _later(log: SourceLog) -> bytes:
    log.append([0, 1, 2], 3)
    for offset in (log.end - 3, log.end - 2, log.end - 1):
        del log.visible[offset]
    return log.batches[-1].data


@pytest.mark.parametrize(
    ("change", "code"),
    [("trimmed", "source-trimmed"), ("truncated", "source-truncated"), ("recreated", "source-recreated")],
)
def test_a_source_that_lost_its_past_stops_the_lane(change: str, code: str) -> None:
    found, remedy = run(_after(dense(4), change))
    assert found == code
    assert remedy


def test_a_grant_that_ends_makes_the_lane_wait_and_one_that_returns_lets_it_go_on() -> None:
    async def scenario() -> None:
        log = dense(3)
        source = await source_of(log)
        async with mirroring(Mirror(source, (await destination()).ports)) as mirror:
            await mirror.until_copied()
            mirror.is_granted = False
            mirror.grow(log)
            status = await mirror.until(lambda status: status.state is LaneState.WAITING)
            assert status.code == "not-available"
            await asyncio.sleep(60)
            assert (await mirror.destination.source.range(TO)).end == 9
            mirror.is_granted = True
            await mirror.until_copied()
        await mirror.check(log)

    run(scenario())


async def _poison(session: Session, lane: ExportLane) -> None:
    batch = bytearray(dense(1).batches[0].data)
    batch[-1] ^= 1
    lane.open("0" * 32, 0, LogRange(0, 3, 3))
    await lane.send(Segment(0, 3, 0, (Span(0, 3),), (bytes(batch),)))
    await asyncio.Event().wait()


def test_a_batch_that_is_not_whole_stops_the_lane_with_evidence_and_nothing_is_appended() -> None:
    async def scenario() -> None:
        fake = await destination()
        async with mirroring(Mirror(await source_of(dense(1)), fake.ports, export=_poison)) as mirror:
            status = await mirror.until_stopped()
        assert status.code == "batch-corrupt"
        assert "CRC" in status.reason
        assert fake.log(TO).end == 0

    run(scenario())


def test_a_batch_that_the_destination_will_never_take_stops_the_lane() -> None:
    async def scenario() -> None:
        fake = await destination()
        fake.fail_next("append", BatchRefused(*TO, "too large"))
        async with mirroring(Mirror(await source_of(dense(3)), fake.ports, joined_bytes=0)) as mirror:
            assert (await mirror.until_stopped()).code == "batch-refused"
        assert fake.log(TO).end == 0

    run(scenario())


def test_where_joined_batches_are_refused_they_are_appended_as_the_source_has_them() -> None:
    async def scenario() -> None:
        fake, log = await destination(), dense(12)
        fake.fail_next("append", BatchRefused(*TO, "too large"))
        mirror = Mirror(await source_of(log), fake.ports, log=log, fetch_bytes=1 << 20, credit_bytes=1 << 20)
        async with mirroring(mirror):
            await mirror.until_copied()
        await mirror.check(log)
        kept = await fake.ports.source.fetch(TO, 0, None, 1 << 20, 0)
        assert len(list(split(kept.data))) == 12

    run(scenario())


def test_a_batch_that_is_refused_on_its_own_stops_the_lane_behind_those_before_it() -> None:
    async def scenario() -> None:
        fake, log = await destination(), dense(12)
        fake.fail_next("append", BatchRefused(*TO, "too large"))
        fake.fail_next("append", BatchRefused(*TO, "too large"))
        mirror = Mirror(await source_of(log), fake.ports, log=log, fetch_bytes=1 << 20, credit_bytes=1 << 20)
        async with mirroring(mirror):
            assert (await mirror.until_stopped()).code == "batch-refused"
        assert fake.log(TO).end == 0

    run(scenario())


def test_a_mistake_of_ours_stops_the_lane_visibly_and_ends_nothing_else() -> None:
    async def scenario() -> None:
        fake = await destination()
        fake.fail_next("append", ZeroDivisionError())
        async with mirroring(Mirror(await source_of(dense(3)), fake.ports)) as mirror:
            status = await mirror.until_stopped()
            assert status.code == "lane-internal-error"
            assert "ZeroDivisionError" in status.reason

    run(scenario())


def test_a_mistake_of_the_exporters_ends_its_lane_and_not_the_link() -> None:
    async def broken(session: Session, lane: ExportLane) -> None:
        raise ZeroDivisionError

    async def scenario() -> None:
        async with mirroring(Mirror(await source_of(dense(1)), (await destination()).ports, export=broken)) as mirror:
            assert (await mirror.until_stopped()).code == "internal-error"
            assert mirror.pair is not None
            assert mirror.pair.acceptor.session.is_open

    run(scenario())


def test_a_lane_is_catching_up_until_it_reaches_the_end_and_running_from_then_on() -> None:
    async def scenario() -> None:
        fake = await destination()
        fake.hold_answers()
        async with mirroring(Mirror(await source_of(dense(20)), fake.ports)) as mirror:
            await mirror.until(lambda status: status.state is LaneState.CATCHING_UP)
            fake.release_answers()
            await mirror.until(lambda status: status.state is LaneState.RUNNING)
            assert mirror.runner.status().lag_records == 0

    run(scenario())


def test_a_lane_tells_as_whom_it_writes_once_it_runs() -> None:
    async def scenario() -> None:
        fake = await destination()
        async with mirroring(Mirror(await source_of(dense(20)), fake.ports)) as mirror:
            status = await mirror.until(lambda status: status.state is LaneState.RUNNING)
            stored = load_lane(LANE, await fake.ports.lanes.load(prefix(LANE)))
            assert stored is not None
            assert stored[0].producer == (status.producer_id, status.producer_epoch)

    run(scenario())


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_mix_of_failures_and_cuts_ends_in_an_exact_copy(data: st.DataObject) -> None:
    async def scenario() -> None:
        log = data.draw(source_logs())
        fake = FailingCluster(joins_state=data.draw(st.booleans()), max_in_flight=data.draw(st.sampled_from([1, 2, 5])))
        await fake.ports.topics.create(DESTINATION, 1, {})
        for operation, error in data.draw(st.lists(st.sampled_from(FAILURES), max_size=6)):
            fake.fail_at(operation, data.draw(st.integers(0, 10)), error)
        cuts = data.draw(st.lists(st.integers(0, 30), max_size=4))
        mirror = Mirror(
            await source_of(log),
            fake.ports,
            log=log,
            fake=fake,
            faults=iter([Faults(cut_after=frames) for frames in cuts]),
            fetch_bytes=data.draw(st.sampled_from([1, 150, 1000])),
            credit_bytes=data.draw(st.sampled_from([1, 200, 100_000])),
            checkpoint_bytes=data.draw(st.sampled_from([1, 300, 1 << 20])),
        )
        await copied(mirror, log)

    run(scenario())


@JOINS
def test_what_is_stored_is_whole_at_every_moment_and_never_goes_back(joins_state: bool) -> None:
    async def scenario() -> None:
        log = holey(60)
        mirror = await mirror_of(log, joins_state=joins_state, fetch_bytes=1, credit_bytes=100_000)
        position = 0
        async with mirroring(mirror):
            while position < mirror.source.log(FROM).range.last_stable:
                stored = load_lane(LANE, await mirror.destination.lanes.load(prefix(LANE)))
                if stored is not None:
                    assert stored[0].source_position >= position
                    position = stored[0].source_position
                await asyncio.sleep(0)
                if mirror.runner.status().lag_records == 0:
                    break
        await mirror.check(log)

    run(scenario())


def test_a_provider_that_never_opens_the_lane_is_asked_again() -> None:
    async def scenario() -> None:
        log, asked = dense(3), 0
        mirror = await mirror_of(log)

        async def export(session: Session, lane: ExportLane) -> None:
            nonlocal asked
            asked += 1
            if asked == 3:
                mirror.export = None
            await asyncio.Event().wait()

        mirror.export = export
        async with mirroring(mirror):
            status = await mirror.until(lambda status: status.code == "lane-unanswered")
            assert status.state is LaneState.WAITING
            await mirror.until_copied()
        assert asked == 3
        await mirror.check(log)

    run(scenario())
