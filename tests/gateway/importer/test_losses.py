"""What a lane does when its source has lost records: it stops, or goes on with the range in the ledger."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.importer.losses import was_before
from mesh.cluster_errors import AppendUnknown, ClusterUnreachable, PermissionMissing
from mesh.lanes.checkpoint import prefix
from mesh.lanes.losses import LossKind, LostRange
from mesh.lanes.status import LaneState, LaneStatus
from mesh.log import Topic
from mesh.shares import OnLoss, StartAt
from mesh.testing.clock import run
from mesh.testing.cluster import FakeCluster, Operation
from mesh.testing.streams import Faults
from tests.support.batches import plain_batch
from tests.support.failing import FailingCluster
from tests.support.losing import Account, check_account, stored
from tests.support.mirror import DESTINATION, FROM, LANE, SOURCE, TO, Mirror, destination, mirroring

JOINS = pytest.mark.parametrize("joins_state", [True, False], ids=["joined", "separate"])
CUT = ClusterUnreachable("fake", "cut")


@dataclass
class World:
    source: FakeCluster
    destination: FakeCluster
    account: Account = field(default_factory=Account)
    incarnations: int = 1

    @classmethod
    async def make(cls, *, joins_state: bool = True) -> World:
        source = FakeCluster(cluster_id="source")
        await source.ports.topics.create(SOURCE, 1, {})
        return cls(source, await destination(joins_state=joins_state))

    def mirror(self, on_loss: OnLoss = OnLoss.CONTINUE, **options: object) -> Mirror:
        return Mirror(self.source, self.destination.ports, on_loss=on_loss, **options)  # type: ignore[arg-type]

    def produce(self, count: int, *, copied: bool = True) -> None:
        """In batches of one: a log is truncated where a batch ends."""
        for value in self.account.values(count):
            self.account.produced(self.source.foreign_write(FROM, plain_batch([value])), [value], copied=copied)

    def trim(self) -> None:
        """Retention takes everything; what was not copied yet is lost."""
        self.source.delete_before(FROM, self.source.log(FROM).end)

    def truncate(self, end: int) -> None:
        self.source.truncate(FROM, end)
        self.account.truncated(self.source.log(FROM).end)

    def recreate(self) -> None:
        self.source.recreate(SOURCE)
        self.account.recreated()

    async def check(self) -> None:
        await check_account(self.account, self.destination.ports, LANE, TO)

    async def copy(self, mirror: Mirror) -> LaneStatus:
        """Run the lane until it is at the end of the source, with what is there now."""
        async with mirroring(mirror):
            return await mirror.until(self._is_copied)

    def _is_copied(self, status: LaneStatus) -> bool:
        here = status.source_position == self.source.log(FROM).end and status.state is LaneState.RUNNING
        return here and status.destination_end == len(self.account.copies)

    async def stop(self, mirror: Mirror) -> LaneStatus:
        before = self.destination.log(TO).end
        async with mirroring(mirror):
            status = await mirror.until_stopped()
        assert self.destination.log(TO).end == before, "something was appended"
        return status


def test_retention_that_passes_a_paused_lane_stops_it_with_the_range_and_the_operator_may_go_on() -> None:
    async def scenario() -> None:
        world = await World.make()
        # 1. four records are copied; while the lane is away, three more come and go
        world.produce(4)
        await world.copy(world.mirror(OnLoss.STOP))
        world.produce(3, copied=False)
        world.trim()
        world.produce(2, copied=True)
        # 2. the lane stops, at a restart too, and says what is gone
        for _ in range(2):
            status = await world.stop(world.mirror(OnLoss.STOP))
            assert (status.code, status.lost) == ("source-trimmed", LostRange(LossKind.TRIMMED, 4, 7))
            assert "records 4 to 7 (exclusive) of departures[0]" in status.reason
            assert "--on-loss continue" in status.remedy
        # 3. told to, it goes on behind the gap, which is kept
        status = await world.copy(world.mirror())
        assert (status.gaps, status.records, status.lost) == (3, 6, None)
        await world.check()
        _, ledger = await stored(world.destination.ports, LANE)
        assert [(e.kind, e.source_offset, e.next_source_offset) for e in ledger] == [(LossKind.TRIMMED, 4, 7)]

    run(scenario())


def test_retention_that_passes_a_lane_without_credit_is_noticed_before_the_next_append() -> None:
    async def scenario() -> None:
        world = await World.make()
        for _ in range(6):
            world.produce(2)
        world.destination.hold_answers()
        async with mirroring(world.mirror(OnLoss.STOP, credit_bytes=1)) as mirror:
            await mirror.until(lambda _: world.destination.log(TO).end > 0)
            world.produce(2)
            world.trim()
            world.destination.release_answers()
            status = await mirror.until_stopped()
        copied = world.destination.log(TO).end
        assert status.lost == LostRange(LossKind.TRIMMED, copied, 14)

    run(scenario())


@pytest.mark.parametrize("regrown", [0, 1, 9], ids=["shorter", "regrown", "longer"])
def test_a_source_that_was_truncated_stops_the_lane_with_the_range_and_the_operator_may_go_on(regrown: int) -> None:
    async def scenario() -> None:
        world = await World.make()
        world.produce(4)
        world.produce(4)
        await world.copy(world.mirror(OnLoss.STOP))
        world.truncate(4)
        status = await world.stop(world.mirror(OnLoss.STOP)) if not regrown else None
        if regrown:
            world.produce(regrown)
            world.account.copies[-regrown:], again = [], world.account.copies[-regrown:]
            status = await world.stop(world.mirror(OnLoss.STOP))
            world.account.copies += again
        assert status is not None
        assert (status.code, status.lost) == ("source-truncated", LostRange(LossKind.TRUNCATED, 4, 8))
        await world.copy(world.mirror())
        await world.check()
        offset_map, ledger = await stored(world.destination.ports, LANE)
        assert offset_map.position == 4 + regrown
        assert [(e.kind, e.source_offset, e.next_source_offset) for e in ledger] == [(LossKind.TRUNCATED, 4, 8)]
        assert [(e.destination_offset, e.next_destination_offset) for e in ledger] == [(4, 8)]

    run(scenario())


def test_a_truncation_under_a_lane_that_runs_is_noticed_before_the_next_append() -> None:
    async def scenario() -> None:
        world = await World.make()
        world.produce(4)
        world.produce(4)
        async with mirroring(world.mirror(OnLoss.STOP)) as mirror:
            await mirror.until_copied()
            world.truncate(4)
            world.produce(6)
            status = await mirror.until_stopped()
        assert status.lost == LostRange(LossKind.TRUNCATED, 4, 8)
        assert world.destination.log(TO).end == 8

    run(scenario())


def test_a_topic_that_was_created_again_has_a_map_of_its_own_and_the_former_one_is_kept() -> None:
    async def scenario() -> None:
        world = await World.make()
        world.produce(5)
        await world.copy(world.mirror(OnLoss.STOP))
        former = world.source.topic(SOURCE).topic_id
        world.recreate()
        world.produce(2)
        status = await world.stop(world.mirror(OnLoss.STOP))
        assert (status.code, status.lost) == ("source-recreated", LostRange(LossKind.RECREATED, 0, 5))
        status = await world.copy(world.mirror())
        assert status.records == 2
        await world.check()
        offset_map, (entry,) = await stored(world.destination.ports, LANE)
        assert (offset_map.start, offset_map.destination_start) == (0, 5)
        assert (entry.kind, entry.topic_id, entry.incarnation) == (LossKind.RECREATED, former, 0)
        assert (entry.source_offset, entry.next_source_offset) == (0, 5)
        assert (entry.destination_offset, entry.next_destination_offset) == (0, 5)
        assert await was_before(world.destination.ports, LANE, former), "a broker that is behind is not believed"
        assert not await was_before(world.destination.ports, LANE, world.source.topic(SOURCE).topic_id)

    run(scenario())


def test_a_topic_that_is_created_again_under_a_lane_that_runs_is_noticed_before_the_next_append() -> None:
    async def scenario() -> None:
        world = await World.make()
        world.produce(5)
        async with mirroring(world.mirror(OnLoss.STOP)) as mirror:
            await mirror.until_copied()
            world.recreate()
            world.produce(7)
            status = await mirror.until_stopped()
        assert status.code == "source-recreated"
        assert world.destination.log(TO).end == 5

    run(scenario())


def test_a_topic_that_was_deleted_makes_the_lane_wait_and_tells_no_more_than_not_available() -> None:
    async def scenario() -> None:
        world = await World.make()
        world.produce(2)
        async with mirroring(world.mirror(OnLoss.STOP)) as mirror:
            await mirror.until_copied()
            await world.source.ports.topics.delete(SOURCE)
            status = await mirror.until(lambda status: status.state is LaneState.WAITING)
            assert status.code == "not-available"

    run(scenario())


def test_a_permission_that_the_source_lost_makes_the_lane_wait_and_its_return_lets_it_go_on() -> None:
    async def scenario() -> None:
        world = await World.make()
        world.produce(2)
        async with mirroring(world.mirror(OnLoss.STOP)) as mirror:
            await mirror.until_copied()
            for _ in range(3):
                world.source.fail_next("fetch", PermissionMissing("read", "topic 'departures'"))
            world.produce(2)
            await mirror.until(lambda status: status.source_position == 4)
        await world.check()

    run(scenario())


@JOINS
def test_a_subscription_that_begins_before_the_log_does_may_go_on_at_its_beginning(joins_state: bool) -> None:
    async def scenario() -> None:
        world = await World.make(joins_state=joins_state)
        world.produce(6, copied=False)
        world.trim()
        world.produce(2)
        status = await world.stop(world.mirror(OnLoss.STOP, start=StartAt("offset", 3)))
        assert status.lost == LostRange(LossKind.TRIMMED, 3, 6)
        await world.copy(world.mirror(start=StartAt("offset", 3)))
        await world.check()
        offset_map, _ = await stored(world.destination.ports, LANE)
        assert offset_map.start == 3

    run(scenario())


def test_a_subscription_that_begins_beyond_the_log_stops_whatever_the_policy() -> None:
    async def scenario() -> None:
        world = await World.make()
        world.produce(6)
        status = await world.stop(world.mirror(start=StartAt("offset", 9)))
        assert status.code == "source-truncated"

    run(scenario())


async def change(world: World, what: str, count: int) -> None:
    """Something happens to the source while the lane is away; what is left there is copied at the next run."""
    if what == "trim":
        world.produce(count, copied=False)
        world.trim()
        world.produce(count)
    elif what == "truncate":
        log = world.source.log(FROM)
        world.truncate(max(log.start, log.end - count))
        world.produce(count + 1)
    elif what == "recreate":
        world.recreate()
        world.produce(count)
    else:
        world.produce(count)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_row_of_losses_with_failures_and_cuts_between_leaves_an_exact_copy_and_map(data: st.DataObject) -> None:
    async def scenario() -> None:
        world = await World.make(joins_state=data.draw(st.booleans()))
        world.produce(3)
        await world.copy(world.mirror())
        kinds = st.tuples(st.sampled_from(["grow", "trim", "truncate", "recreate"]), st.integers(1, 5))
        for what, count in data.draw(st.lists(kinds, min_size=1, max_size=6)):
            await change(world, what, count)
            cuts = iter([Faults(cut_after=frames) for frames in data.draw(st.lists(st.integers(3, 12), max_size=2))])
            await world.copy(world.mirror(faults=cuts, fetch_bytes=data.draw(st.sampled_from([1, 150, 1000]))))
            await world.check()

    run(scenario())


OPERATIONS: list[tuple[Operation, Exception]] = [
    ("put", CUT), ("load", CUT), ("witness", CUT), ("producer", CUT), ("range", CUT), ("describe", CUT),
    ("append", CUT), ("append answer", AppendUnknown(*TO, "no answer")),
]  # fmt: skip


@JOINS
@pytest.mark.parametrize("what", ["trim", "truncate", "recreate"])
@pytest.mark.parametrize(("operation", "error"), OPERATIONS, ids=[o for o, _ in OPERATIONS])
def test_a_failure_of_any_call_while_the_lane_goes_on_changes_nothing(
    what: str, operation: Operation, error: Exception, joins_state: bool
) -> None:
    async def scenario(call: int) -> None:
        world = await World.make(joins_state=joins_state)
        fake = FailingCluster(joins_state=joins_state)
        await fake.ports.topics.create(DESTINATION, 1, {})
        world.destination = fake
        world.produce(3)
        world.produce(3)
        await world.copy(world.mirror())
        await change(world, what, 2)
        fake.fail_from_now(operation, call, error)
        await world.copy(world.mirror())
        fake.fail_no_more()
        await world.copy(world.mirror())  # what failed may have been the last word on its position
        await world.check()

    for call in range(4):
        run(scenario(call))


@JOINS
@pytest.mark.parametrize("what", ["trim", "truncate", "recreate"])
def test_a_kill_at_any_moment_while_the_lane_goes_on_changes_nothing(what: str, joins_state: bool) -> None:
    async def scenario(steps: int) -> None:
        world = await World.make(joins_state=joins_state)
        world.produce(3)
        world.produce(3)
        await world.copy(world.mirror())
        await change(world, what, 2)
        async with mirroring(world.mirror()):
            for _ in range(steps):
                await asyncio.sleep(0)
        await world.copy(world.mirror())
        await world.check()

    for steps in range(0, 200, 8):
        run(scenario(steps))


async def behind(what: str = "") -> World:
    """The copy has two records more than the checkpoint says, as after a kill; then something happens at the source."""
    world = await World.make(joins_state=False)
    world.produce(4)
    await world.copy(world.mirror())
    before = await world.destination.ports.lanes.load(prefix(LANE))
    world.produce(2)
    await world.copy(world.mirror())
    await world.destination.ports.lanes.put(dict(before))
    if what:
        await change(world, what, 3)
    return world


def test_a_truncation_before_the_checkpoint_counts_what_no_checkpoint_covers_among_the_lost() -> None:
    async def scenario() -> None:
        world = await behind()
        world.truncate(2)
        world.produce(3)
        await world.copy(world.mirror())
        await world.check()
        _, (entry,) = await stored(world.destination.ports, LANE)
        assert (entry.source_offset, entry.next_source_offset) == (2, 4)
        assert (entry.destination_offset, entry.next_destination_offset, entry.unmapped) == (2, 6, 2)

    run(scenario())


def test_a_new_incarnation_counts_what_no_checkpoint_covers_among_the_former_ones_copies() -> None:
    async def scenario() -> None:
        world = await behind("recreate")
        await world.copy(world.mirror())
        await world.check()
        _, (entry,) = await stored(world.destination.ports, LANE)
        assert (entry.source_offset, entry.next_source_offset) == (0, 4)
        assert (entry.destination_offset, entry.next_destination_offset, entry.unmapped) == (0, 6, 2)

    run(scenario())


@pytest.mark.parametrize("left", [2, 0], ids=["something left", "nothing left"])
def test_retention_that_passes_all_copies_of_no_checkpoint_leaves_them_behind(left: int) -> None:
    async def scenario() -> None:
        world = await behind()
        world.produce(3, copied=False)
        world.trim()
        world.produce(left)
        assert (await world.stop(world.mirror(OnLoss.STOP))).lost == LostRange(LossKind.TRIMMED, 4, 9)
        await world.copy(world.mirror())
        world.account.orphans |= {world.account.places.pop(offset) for offset in (4, 5)}  # it cannot be said of which
        await world.check()
        _, (entry,) = await stored(world.destination.ports, LANE)
        assert (entry.source_offset, entry.next_source_offset, entry.unmapped) == (4, 9, 2)
        assert (entry.destination_offset, entry.next_destination_offset) == (4, 6)
        world.produce(2)
        await world.copy(world.mirror())
        await world.check()

    run(scenario())


def test_retention_that_passes_some_copies_of_no_checkpoint_freezes_the_lane_rather_than_copy_one_twice() -> None:
    async def scenario() -> None:
        world = await behind()
        world.produce(2)
        world.source.delete_before(FROM, 5)
        for policy, code in ((OnLoss.STOP, "source-trimmed"), (OnLoss.CONTINUE, "lane-frozen")):
            status = await world.stop(world.mirror(policy))
            assert status.code == code
        assert "holds 2 records after the checkpoint (source offset 4)" in status.reason
        assert "its first record may be the one copied to 5" in status.reason

    run(scenario())


def test_a_source_that_lost_just_what_no_checkpoint_covers_is_found_truncated_before_anything_is_appended() -> None:
    async def scenario() -> None:
        world = await behind()
        world.truncate(4)
        status = await world.stop(world.mirror(OnLoss.STOP))
        assert (status.code, status.lost) == ("source-truncated", LostRange(LossKind.TRUNCATED, 4, 6))
        await world.copy(world.mirror())
        world.produce(3)
        await world.copy(world.mirror())
        await world.check()
        _, (entry,) = await stored(world.destination.ports, LANE)
        assert (entry.destination_offset, entry.next_destination_offset, entry.unmapped) == (4, 6, 2)

    run(scenario())


def test_a_source_that_lost_some_of_what_no_checkpoint_covers_and_grew_again_freezes_the_lane() -> None:
    async def scenario() -> None:
        world = await behind()
        world.truncate(5)
        world.produce(4, copied=False)
        assert (await world.stop(world.mirror())).code == "lane-frozen"

    run(scenario())


def test_a_topic_created_again_while_a_lane_is_opened_is_not_taken_for_a_truncated_one() -> None:
    """Its id was asked for before, the range of its log after: together they speak of no log that there ever was."""

    async def scenario() -> None:
        world = await behind()
        topics = world.source.ports.topics
        describe = topics.describe
        began: list[Topic] = []

        async def outdated(name: str) -> Topic:
            topic = await describe(name)
            if not began:
                began.append(topic)
                world.recreate()
            return topic

        topics.describe = outdated  # type: ignore[method-assign]
        status = await world.stop(world.mirror(OnLoss.STOP))
        assert status.lost == LostRange(LossKind.RECREATED, 0, 4)
        await world.copy(world.mirror())
        _, (entry,) = await stored(world.destination.ports, LANE)
        assert (entry.kind, entry.destination_offset, entry.next_destination_offset) == (LossKind.RECREATED, 0, 6)

    run(scenario())
