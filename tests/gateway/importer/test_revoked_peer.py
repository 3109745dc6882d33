"""After a revocation was answered nothing of the peer is appended, however much was under way."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.peer import Peer
from mesh.ids import LaneId, OrgId, Partition, SubscriptionName, TopicName
from mesh.lanes.status import LaneState
from mesh.shares import PeerState, TopicMapping
from tests.support.hubs import TOPIC, Both, until
from tests.support.importing import BATCHES, NAME, importing
from tests.support.mirror import dense
from tests.support.trust import organization


@pytest.mark.parametrize("state", [PeerState.REVOKED, PeerState.SUSPENDED])
async def test_nothing_is_appended_after_the_answer_while_many_batches_are_under_way(state: PeerState) -> None:
    async with importing() as run:
        await until(lambda: run.slow.taken - run.slow.written > 20)
        await run.revoke(state)
        taken, end = run.slow.taken, run.end
        assert 0 < end < BATCHES * 3
        assert run.slow.written == taken, "the answer came before the cluster's"
        # The exporter has much more, and is told to go on: none of it arrives.
        acme = run.both.acme
        acme.cluster.put_raw(Partition(TOPIC, 0), dense(BATCHES + 1).batches[-1].data)
        await until(lambda: not acme.hub.status())
        for _ in range(100):
            await asyncio.sleep(0.001)
        assert (run.slow.taken, run.end) == (taken, end)
        (lane,) = run.imports.statuses()
        assert (lane.state, lane.code) == (LaneState.WAITING, "peer-cut")
        assert state in lane.reason


async def test_the_check_at_each_append_holds_before_anything_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry has changed, but no link is cut and no lane is cancelled: the very next append is refused."""
    async with importing() as run:
        await until(lambda: run.slow.written > 5)
        registry, acme = run.both.globex.registry, run.both.acme.organization.org
        assert run.both.globex.task is not None
        run.both.globex.task.cancel()
        monkeypatch.setattr(run.imports, "_stop_unwanted", list)
        taken_then: list[int] = []
        announce = registry._announce

        def announced() -> None:
            taken_then.append(run.slow.taken)
            announce()

        monkeypatch.setattr(registry, "_announce", announced)
        await registry.set_peer_state(acme, PeerState.SUSPENDED)
        await until(lambda: run.imports.statuses()[0].code == "peer-cut")
        assert taken_then == [run.slow.taken]
        assert run.slow.written == run.slow.taken < BATCHES


async def test_a_peer_that_is_resumed_goes_on_exactly_where_it_was() -> None:
    async with importing(120) as run:
        await until(lambda: run.slow.written > 10)
        await run.revoke(PeerState.SUSPENDED)
        end = run.end
        await run.both.globex.registry.set_peer_state(run.both.acme.organization.org, PeerState.ACTIVE)
        await until(lambda: run.end == 120 * 3)
        assert 0 < end < run.end
        view = await run.imports.offset_map(LaneId(NAME, TOPIC, 0))
        assert view is not None
        # every batch was written once
        assert run.slow.written == run.slow.taken == 120


async def test_a_lane_of_another_peer_need_not_wait_for_one_that_settles_slowly() -> None:
    async with importing() as run:
        await until(lambda: run.slow.taken - run.slow.written > 20)
        globex = run.both.globex
        globex.cluster.hold_answers()
        await globex.registry.set_peer_state(run.both.acme.organization.org, PeerState.SUSPENDED)
        other = replace(globex.registry.subscription(NAME), name=SubscriptionName("other"))
        mapping = TopicMapping(TOPIC, TopicName("other.copy"))
        other_peer = await _peer(run.both)
        await globex.registry.subscribe(replace(other, peer=other_peer, topics=(mapping,)))
        await until(lambda: any(lane.lane.subscription == "other" for lane in run.imports.statuses()))
        globex.cluster.release_answers()


async def _peer(both: Both) -> OrgId:
    initech = organization("initech.example", both.globex.organization.now)
    await both.globex.registry.add_peer(Peer(initech.bundle))
    return initech.org
