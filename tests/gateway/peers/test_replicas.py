"""Links to a peer that has several gateways: each is linked, lanes are spread over them and go on over another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random

import pytest

from gateway.peer import Peer
from gateway.peers.errors import PeerUnreachable
from gateway.peers.hub import Hub
from mesh.ids import GatewayId, GatewayName
from tests.support.hubs import DEADLINE_S, SETTINGS, Gateway, lane_of, made, now_ms, until
from tests.support.trust import identity_of


def second(first: Gateway, name: str) -> Gateway:
    """Another gateway of the same organization, with the same cluster and registry."""
    leaf = first.organization.authority.issue(GatewayName(name), datetime.now(UTC))
    identity = identity_of(leaf, GatewayId(first.organization.org, GatewayName(name)))
    hub = Hub(identity, first.cluster.ports, first.registry, SETTINGS, now_ms=now_ms, random=Random(2))
    return Gateway(first.organization, first.cluster, first.registry, hub)


@asynccontextmanager
async def running(*gateways: Gateway) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group, asyncio.timeout(DEADLINE_S):
        for gateway in gateways:
            gateway.task = group.create_task(gateway.hub.run())
        try:
            yield
        finally:
            for gateway in gateways:
                await gateway.close()


def linked(gateway: Gateway) -> list[str]:
    return sorted(link.gateway for link in gateway.hub.status())


async def test_each_gateway_of_a_peer_is_linked_and_lanes_go_on_over_another() -> None:
    acme, globex = await made("acme.example"), await made("globex.example")
    other = second(acme, "gw-other")
    await acme.know(globex)
    addresses = (await acme.listen(), await other.listen())
    await globex.registry.add_peer(Peer(acme.organization.bundle, addresses))
    await acme.share(globex)
    async with running(acme, other, globex):
        await until(lambda: len(linked(globex)) == 2)
        assert len(set(linked(globex))) == 2
        keys = [f"lane-{number}" for number in range(40)]
        org = acme.organization.org
        serving = {key: await globex.hub.wait(org, key) for key in keys}
        assert len({id(session) for session in serving.values()}) == 2, "lanes are spread"
        assert serving == {key: await globex.hub.wait(org, key) for key in keys}, "and stay where they are"

        await other.close()
        await until(lambda: len(linked(globex)) == 1)
        after = {key: await globex.hub.wait(org, key) for key in keys}
        kept = [key for key in keys if serving[key].is_open]
        assert {key: after[key] for key in kept} == {key: serving[key] for key in kept}
        lane = after[keys[0]].open_lane(lane_of())
        await lane.opened()
        assert (await lane.next()).record_count == 9


async def test_a_provider_dials_every_gateway_of_a_subscriber_that_only_listens() -> None:
    acme, globex = await made("acme.example"), await made("globex.example")
    other = second(globex, "gw-other")
    addresses = (await globex.listen(), await other.listen())
    await acme.registry.add_peer(Peer(globex.organization.bundle, addresses))
    await globex.know(acme)
    await acme.share(globex)
    async with running(acme, other, globex):
        for gateway in (globex, other):
            session = await gateway.hub.wait(acme.organization.org)
            lane = session.open_lane(lane_of())
            await lane.opened()
            assert (await lane.next()).record_count == 9


async def test_two_addresses_of_one_gateway_make_one_link() -> None:
    acme, globex = await made("acme.example"), await made("globex.example")
    await acme.know(globex)
    address = await acme.listen()
    again = address.replace("127.0.0.1", "localhost")
    await globex.registry.add_peer(Peer(acme.organization.bundle, (address, again)))
    async with running(acme, globex):
        await until(lambda: len(globex.hub._dialling._met) == 2)
        await until(lambda: len(linked(globex)) == 1)
        await globex.hub.catalog(acme.organization.org)


async def test_one_gateway_that_is_away_does_not_keep_us_from_the_other() -> None:
    acme, globex = await made("acme.example"), await made("globex.example")
    await acme.know(globex)
    address = await acme.listen()
    await globex.registry.add_peer(Peer(acme.organization.bundle, ("127.0.0.1:9", address)))
    async with running(acme, globex):
        await globex.hub.wait(acme.organization.org)
        assert [link.address for link in globex.hub.status()] == [address]
        sight = globex.hub.sight
        org = acme.organization.org
        await until(lambda: [each.address for each in sight(org).down] == ["127.0.0.1:9"])
        assert sight(org).failure is None, "the peer itself is linked"
        await globex.registry.set_peer_addresses(org, (address,))
        await until(lambda: not sight(org).down)


async def test_an_address_is_not_down_while_its_gateway_is_linked_by_itself() -> None:
    acme, globex = await made("acme.example"), await made("globex.example")
    await acme.know(globex, await globex.listen())
    await globex.registry.add_peer(Peer(acme.organization.bundle, ("127.0.0.1:9",)))
    org = acme.organization.org
    async with running(globex):
        await until(lambda: globex.hub.sight(org).failure is not None)
        failure = globex.hub.sight(org).failure
        assert failure is not None
        with pytest.raises(PeerUnreachable, match=r"127\.0\.0\.1:9: "):
            await globex.hub.catalog(org)
        async with running(acme):
            await globex.hub.wait(org)
            await until(lambda: not globex.hub.sight(org).down)
