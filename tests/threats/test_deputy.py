"""Threat 2: what a peer gets is decided by who it is and what was granted, whatever it asks for, and by which question.

The reference policy is a sentence of the pages in a few lines: a grant of the share to this very peer, and a topic of
the share that is there and is none of Kafka's or ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import product

import pytest

from gateway.peer import Peer
from gateway.peers.errors import PeerRefusedRequest
from mesh.ids import INTERNAL_TOPICS, IllegalName, OrgId, ShareName, TopicName
from mesh.link.errors import LaneEnded
from mesh.link.frames import LaneOpen
from mesh.shares import Grant, Share, StartAt
from mesh.wire.v1 import link_pb2
from tests.support.hubs import FLIGHTS, Both, Gateway, made, now_ms, two

INTERNAL = ("_mesh.control", "__consumer_offsets", "__transaction_state")
THERE = ("departures", "arrivals", "fares", "secret", *INTERNAL)
SHARES = {"flights": ("departures", "arrivals"), "fares": ("fares",), "all": THERE, "hidden": ("secret",)}
GRANTED = {("flights", "globex.example"), ("fares", "initech.example"), ("all", "initech.example")}
TOPICS = (*THERE, "absent", "..", "")


def reference(caller: str, share: str, topic: str) -> bool:
    is_internal = topic.startswith(("_mesh.", "__"))
    return (share, caller) in GRANTED and topic in SHARES.get(share, ()) and not is_internal


@asynccontextmanager
async def three() -> AsyncIterator[tuple[Gateway, dict[str, Gateway]]]:
    """ACME, and by their names those who are linked to it, each with something else granted."""
    async with two(deadline_s=30) as both:
        acme, initech = both.acme, await made("initech.example")
        try:
            await stocked(both, initech)
            initech.task = asyncio.get_running_loop().create_task(initech.hub.run())
            askers = {str(each.organization.org): each for each in (both.globex, initech)}
            for asker in askers.values():
                await asker.hub.wait(acme.organization.org)
            yield acme, askers
        finally:
            await initech.close()


async def stocked(both: Both, initech: Gateway) -> None:
    acme = both.acme
    assert acme.listener is not None
    await acme.know(initech)
    await initech.registry.add_peer(Peer(acme.organization.bundle, (acme.listener.address,)))
    for topic in THERE:
        if topic not in {"departures", "secret"}:
            acme.cluster._make(topic, 1, {})
    await acme.registry.add_to_share(FLIGHTS, [TopicName("arrivals")])
    await acme.registry.create_share(ShareName("fares"), [TopicName("fares")], now_ms())
    await acme.registry.create_share(ShareName("all"), [], now_ms(), ["*"])
    await acme.registry.create_share(ShareName("hidden"), [TopicName("secret")], now_ms())
    for share in ("fares", "all"):
        await acme.registry.create_grant(Grant(ShareName(share), initech.organization.org), now_ms())


Ask = Callable[[Gateway, OrgId, str, str], Awaitable[bool]]


async def lane(asker: Gateway, of: OrgId, share: str, topic: str) -> bool:
    session = await asker.hub.wait(of)
    opened = session.open_lane(lambda number: LaneOpen(number, share, topic, 0, StartAt(), credit_bytes=1 << 20))
    try:
        await opened.opened()
    except LaneEnded as error:
        return not_told(error.ended_code)
    opened.end("done", "it was only asked for")
    return True


async def digests(asker: Gateway, of: OrgId, share: str, topic: str) -> bool:
    body = link_pb2.DigestRequest(share=share, topic=topic, end_source_offset=9)
    return await answered(asker, of, body)


async def measures(asker: Gateway, of: OrgId, share: str, topic: str) -> bool:
    """Of a share that is granted it names the topics that may be read, and is silent about others."""
    try:
        reply = await asker.hub.ask(of, link_pb2.MeasureRequest(share=share, topics=[topic]))
    except PeerRefusedRequest:
        return False
    assert isinstance(reply, link_pb2.MeasureReply)
    return [each.topic for each in reply.topics] == [topic]


async def answered(asker: Gateway, of: OrgId, body: object) -> bool:
    try:
        await asker.hub.ask(of, body)
    except PeerRefusedRequest as error:
        return not_told(error.refusal)
    return True


def not_told(code: str) -> bool:
    """Nothing was got, nor was it said why."""
    assert code in {"not-available", "illegal-name"}
    return False


@pytest.mark.parametrize("ask", [lane, digests, measures])
async def test_every_caller_share_and_topic_is_judged_as_the_reference_does(ask: Ask) -> None:
    async with three() as (acme, askers):
        wrong = []
        for caller, share, topic in product(askers, (*SHARES, "absent", "../flights"), TOPICS):
            got = await ask(askers[caller], acme.organization.org, share, topic)
            if got != reference(caller, share, topic):
                wrong.append((caller, share, topic, got))
        assert wrong == []


async def test_a_catalog_names_what_the_reference_allows_and_nothing_else() -> None:
    async with three() as (acme, askers):
        for caller, asker in askers.items():
            catalog = await asker.hub.catalog(acme.organization.org)
            found = {(share.name, topic.name) for share in catalog.shares for topic in share.topics}
            assert found == {(share, topic) for share in SHARES for topic in THERE if reference(caller, share, topic)}


@pytest.mark.parametrize("name", [*sorted(INTERNAL_TOPICS), "_mesh.control", "_mesh.lanes", "_mesh.audit"])
def test_an_internal_topic_has_no_name_by_which_it_could_be_shared_asked_for_or_written(name: str) -> None:
    """A broker lets some clients write its internal topics, so that they are refused is our affair."""
    with pytest.raises(IllegalName):
        TopicName(name)
    assert not Share(ShareName("all"), (), patterns=("*",)).holds(name)
