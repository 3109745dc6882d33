"""Two hubs over loopback gRPC with real certificates: who dials, what is shown, and how a link is cut."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gateway.peers.errors import PeerRefusedRequest, PeerUnreachable, UnexpectedReply
from mesh.errors import MeshError
from mesh.ids import OrgId, ShareName, TopicName
from mesh.link.errors import LaneEnded
from mesh.link.frames import LaneOpen
from mesh.shares import PeerState
from mesh.wire.v1 import catalog_pb2, link_pb2
from tests.support.hubs import TOPIC, Both, lane_of, now_ms, two, until


@pytest.mark.parametrize(("acme_dials", "globex_dials"), [(True, False), (False, True), (True, True)])
async def test_whoever_dials_lanes_go_both_ways(acme_dials: bool, globex_dials: bool) -> None:
    async with two(acme_dials, globex_dials) as both:
        session = await both.globex.hub.wait(both.acme.organization.org)
        lane = session.open_lane(lane_of())
        await lane.opened()
        assert (await lane.next()).record_count == 9
        roles = {status.role for status in both.globex.hub.status()}
        assert roles <= {"dialler", "acceptor"}
        assert ("dialler" in roles) or not globex_dials
        await both.acme.hub.wait(both.globex.organization.org)
        assert both.acme.hub.exports()[0]["peer"] == "globex.example"


async def test_the_catalog_shows_what_is_granted_and_nothing_else() -> None:
    async with two() as both:
        acme = both.acme.organization.org
        await both.acme.registry.create_share(ShareName("hidden"), [TopicName("secret")], now_ms())
        await both.globex.hub.wait(acme)
        catalog = await both.globex.hub.catalog(acme)
        assert [share.name for share in catalog.shares] == ["flights"]
        assert [topic.name for topic in catalog.shares[0].topics] == [TOPIC]


async def test_a_peer_that_answers_something_else_is_told_of_as_a_peer_that_breaks_the_rules() -> None:
    async def rubbish(peer: OrgId, body: object) -> object:
        return catalog_pb2.CatalogReply()

    async with two() as both:
        acme = both.acme.organization.org
        both.acme.hub.answer_with(link_pb2.DigestRequest, rubbish)
        await both.globex.hub.wait(acme)
        with pytest.raises(UnexpectedReply, match=r"acme\.example answered with CatalogReply"):
            await both.globex.hub.digests(acme, ShareName("flights"), TOPIC, 0, 0, 9, 9)


async def refused(both: Both, opening: Callable[[int], LaneOpen]) -> tuple[str, str]:
    session = await both.globex.hub.wait(both.acme.organization.org)
    with pytest.raises(LaneEnded) as caught:
        await session.open_lane(opening).opened()
    return caught.value.ended_code, caught.value.detail


async def test_what_is_not_granted_looks_like_what_does_not_exist() -> None:
    async with two() as both:
        await both.acme.registry.create_share(ShareName("hidden"), [TopicName("secret")], now_ms())
        hidden = await refused(both, lane_of("hidden", "secret"))
        absent = await refused(both, lane_of("absent", "secret"))
        assert hidden[0] == absent[0] == "not-available"
        assert hidden[1].replace("hidden", "absent") == absent[1]
        assert (await refused(both, lane_of("flights", "secret")))[0] == "not-available"
        acme = both.acme.organization.org
        answers = []
        for share in ("hidden", "absent"):
            with pytest.raises(PeerRefusedRequest) as caught:
                await both.globex.hub.digests(acme, ShareName(share), TopicName("secret"), 0, 0, 9, 9)
            answers.append((caught.value.refusal, caught.value.detail.replace("hidden", "absent")))
        assert answers[0] == answers[1]


async def test_an_illegal_name_ends_its_lane_and_nothing_else() -> None:
    async with two() as both:
        assert (await refused(both, lane_of("NOT A NAME")))[0] == "illegal-name"
        session = await both.globex.hub.wait(both.acme.organization.org)
        session.open_lane(lane_of("NOT A NAME"))
        await both.acme.registry.create_share(ShareName("another"), [TopicName("secret")], now_ms())
        lane = session.open_lane(lane_of())
        await lane.opened()


async def test_a_suspended_peer_is_cut_at_once_and_comes_back_when_it_is_resumed() -> None:
    async with two() as both:
        globex, acme = both.globex.organization.org, both.acme.organization.org
        session = await both.globex.hub.wait(acme)
        lane = session.open_lane(lane_of())
        await lane.next()
        async with asyncio.timeout(5):
            await both.acme.registry.set_peer_state(globex, PeerState.SUSPENDED)
            with pytest.raises(MeshError):
                await lane.next()
        await until(lambda: not both.acme.hub.status())
        with pytest.raises(PeerUnreachable):
            await both.globex.hub.catalog(acme)
        await both.acme.registry.set_peer_state(globex, PeerState.ACTIVE)
        again = await both.globex.hub.wait(acme)
        await again.open_lane(lane_of()).opened()


async def test_a_revoked_grant_ends_the_lane_at_once() -> None:
    async with two() as both:
        session = await both.globex.hub.wait(both.acme.organization.org)
        lane = session.open_lane(lane_of())
        await lane.next()
        await both.acme.registry.revoke_grant("flights", both.globex.organization.org)
        with pytest.raises(LaneEnded) as caught:
            await lane.next()
        assert caught.value.ended_code == "not-available"
        assert session.is_open


async def test_a_dialler_finds_a_peer_again_that_was_away() -> None:
    async with two() as both:
        acme = both.acme.organization.org
        session = await both.globex.hub.wait(acme)
        assert both.acme.listener is not None
        port = both.acme.listener.port
        await both.acme.listener.close(0)
        await until(lambda: not session.is_open)
        with pytest.raises(PeerUnreachable):
            await both.globex.hub.catalog(acme)
        await both.acme.listen(port)
        await both.globex.hub.wait(acme)
        await both.globex.hub.catalog(acme)


@pytest.mark.parametrize("leaver", ["acme", "globex"])
async def test_a_hub_that_drains_leaves_no_link_and_makes_none(leaver: str) -> None:
    async with two() as both:
        await both.globex.hub.wait(both.acme.organization.org)
        await both.acme.hub.wait(both.globex.organization.org)
        leaving = both.acme if leaver == "acme" else both.globex
        async with asyncio.timeout(5):
            await leaving.hub.drain()
        assert leaving.hub.status() == []
