"""Pending peers at the hub: who may greet, what makes a peer active, and that nothing is served before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.invites import InviteBook
from gateway.peer import Peer
from gateway.peers.errors import PeerUnreachable
from mesh.ids import OrgId
from mesh.link.errors import LaneEnded
from mesh.shares import Grant, PeerState
from mesh.trust.enrolment import confirmation_phrase
from tests.support.hubs import DEADLINE_S, FLIGHTS, TOPIC, Both, Gateway, lane_of, made, now_ms, until

TRANSCRIPT = bytes(range(32))


@asynccontextmanager
async def meeting() -> AsyncIterator[Both]:
    """Two organizations that hold each other pending; both can dial, and acme has a grant ready for globex."""
    acme, globex = await made("acme.example"), await made("globex.example")
    addresses = [await each.listen() for each in (acme, globex)]
    await acme.registry.propose_peer(pending(globex, addresses[1]))
    await globex.registry.propose_peer(pending(acme, addresses[0]))
    await acme.registry.create_share(FLIGHTS, [TOPIC], now_ms())
    await acme.registry._put(Grant(FLIGHTS, globex.organization.org))  # none is made for a pending peer
    both = Both(acme, globex)
    try:
        async with asyncio.TaskGroup() as group, asyncio.timeout(DEADLINE_S):
            for each in (acme, globex):
                each.task = group.create_task(each.hub.run())
            try:
                yield both
            finally:
                await asyncio.gather(acme.close(), globex.close())
    finally:
        await asyncio.gather(acme.close(), globex.close())


def pending(other: Gateway, address: str) -> Peer:
    return Peer(other.organization.bundle, (address,), PeerState.PENDING, transcript=TRANSCRIPT.hex())


async def approve(at: Gateway, other: Gateway) -> None:
    await at.registry.approve_peer(other.organization.org, confirmation_phrase(TRANSCRIPT))


def state(at: Gateway, other: Gateway) -> PeerState:
    return at.registry.peer(other.organization.org).state


async def test_both_approve_meet_and_are_active() -> None:
    async with meeting() as both:
        await approve(both.acme, both.globex)
        await approve(both.globex, both.acme)
        session = await both.globex.hub.wait(both.acme.organization.org)
        await until(lambda: state(both.acme, both.globex) is state(both.globex, both.acme) is PeerState.ACTIVE)
        lane = session.open_lane(lane_of())
        await lane.opened()


@pytest.mark.parametrize("approver", ["acme", "globex"])
async def test_one_approval_makes_no_link(approver: str) -> None:
    async with meeting() as both:
        eager, other = (both.acme, both.globex) if approver == "acme" else (both.globex, both.acme)
        await approve(eager, other)
        # It dials and is refused: what it says of that is the sign that it has tried.
        await until(lambda: bool(eager.hub.sight(other.organization.org).failure))
        assert eager.hub.status() == other.hub.status() == []
        assert state(eager, other) is state(other, eager) is PeerState.PENDING


async def test_a_pending_peer_gets_nothing_even_over_an_open_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the meeting not recorded, the link would serve nothing: each request is decided by the state."""

    async def forget(book: InviteBook, org: OrgId) -> None:
        return None

    monkeypatch.setattr(InviteBook, "meet_peer", forget)
    async with meeting() as both:
        await approve(both.acme, both.globex)
        await approve(both.globex, both.acme)
        acme = both.acme.organization.org
        session = await both.globex.hub.wait(acme)
        assert state(both.acme, both.globex) is PeerState.PENDING
        with pytest.raises(LaneEnded) as caught:
            await session.open_lane(lane_of()).opened()
        assert caught.value.ended_code == "not-available"
        assert list((await both.globex.hub.catalog(acme)).shares) == []


async def test_a_peer_rejected_after_its_approval_was_refused_has_no_link() -> None:
    async with meeting() as both:
        await both.acme.registry.reject_peer(both.globex.organization.org)
        await approve(both.globex, both.acme)
        await until(lambda: bool(both.globex.hub.sight(both.acme.organization.org).failure))
        with pytest.raises(PeerUnreachable):
            await both.globex.hub.catalog(both.acme.organization.org)
