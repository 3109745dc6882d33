"""Threats 9 and 10: what one peer floods the listener with is bounded, and an honest peer's link answers meanwhile.

Counts and limits, not seconds: what floods cost an honest peer in time is measured by `python -m bench.floods`.
Connections that say nothing, and how many there may be, are in tests/gateway/peers/test_isolation.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from bench.flooding import LARGE, hello_bytes
from gateway.rpc.credentials import TransportLimits
from gateway.rpc.errors import TooManyCalls
from gateway.rpc.streams import CATALOG_METHOD
from tests.support.hubs import SETTINGS, Both, two, until
from tests.threats import http2
from tests.threats.http2 import CONTINUATION, END_HEADERS, HEADERS, PING, Rude

pytestmark = pytest.mark.slow

BURST = 40
LIMITED = replace(SETTINGS, calls_burst=BURST, calls_per_s=1.0)


@asynccontextmanager
async def meeting(settings: object = LIMITED) -> AsyncIterator[Both]:
    """An honest link is open."""
    async with two(settings=settings, deadline_s=30) as both:  # type: ignore[arg-type]
        await both.globex.hub.wait(both.acme.organization.org)
        yield both


async def rudely(both: Both, act: Callable[[Rude], object]) -> None:
    """`act` on a connection that the peer's certificate opened, while its honest link asks on and is answered."""
    assert both.acme.listener is not None
    address, globex = both.acme.listener.address, both.globex
    trust = globex.registry.peer(both.acme.organization.org).trust

    def acting() -> None:
        with http2.connected(address, globex.hub._identity, trust) as rude:
            act(rude)

    session = await globex.hub.wait(both.acme.organization.org)
    acted = asyncio.ensure_future(asyncio.to_thread(acting))
    answered = 0
    while not acted.done():
        await globex.hub.catalog(both.acme.organization.org)
        answered += 1
        await asyncio.sleep(0.001)
    await acted
    assert answered
    assert session.is_open


def refusals(both: Both) -> int:
    """Calls that were refused for their number."""
    sample = both.acme.hub._metrics.refusals.labels(both.globex.organization.org, TooManyCalls.code)
    return int(sample._value.get())


async def test_streams_that_are_opened_to_be_reset_are_counted_and_refused() -> None:
    """Slowly enough that each would reach a handler: gRPC itself answers the fast ones, before they cost anything."""

    def flood(rude: Rude) -> None:
        for first in range(1, 1200, 12):
            streams = range(first, first + 12, 2)
            assert rude.send(b"".join(map(http2.opened, streams)))
            time.sleep(0.005)
            assert rude.send(b"".join(map(http2.reset, streams)))
            rude.answer()

    async with meeting() as both:
        await rudely(both, flood)
        assert refusals(both) > 20
        await until(lambda: both.acme.hub._table.count(both.globex.organization.org, "acceptor") == 1)


async def test_streams_in_one_packet_are_bounded_by_what_a_connection_may_have() -> None:
    """Each starts a handler, and all of them before anything else is done."""

    def burst(rude: Rude) -> None:
        assert rude.send(b"".join(map(http2.opened, range(1, 200, 2))))
        until_s = time.monotonic() + 5
        while most < 1 + TransportLimits().max_concurrent_streams and time.monotonic() < until_s:
            rude.answer(0.05)
        rude.answer(0.3)

    most = 0
    async with meeting(replace(LIMITED, max_links_per_peer=1000, calls_burst=1000)) as both:
        count = both.acme.hub._table.count

        def counting(*place: str) -> int:
            nonlocal most
            most = max(most, 1 + (found := count(*place)))  # type: ignore[arg-type]
            return found

        both.acme.hub._table.count = counting  # type: ignore[method-assign, assignment]
        await rudely(both, burst)
        assert 1 < most <= 1 + TransportLimits().max_concurrent_streams


def pings(rude: Rude) -> None:
    for _ in range(1000):
        rude.send(http2.frame(PING, payload=bytes(8)) * 10)


def bomb(rude: Rude) -> None:
    """16 MB of headers in 8 kB."""
    for stream in range(1, 200, 2):
        rude.send(http2.frame(HEADERS, END_HEADERS, stream, http2.call(CATALOG_METHOD) + LARGE))


def without_end(rude: Rude) -> None:
    rude.send(http2.frame(HEADERS, 0, 1, http2.call()))
    for _ in range(1000):
        rude.send(http2.frame(CONTINUATION, 0, 1, b""))


CUT: dict[str, Callable[[Rude], None]] = {"pings": pings, "header bombs": bomb, "headers without end": without_end}


@pytest.mark.parametrize("flood", CUT)
async def test_a_flood_of_frames_ends_the_connection_that_it_comes_by(flood: str) -> None:
    """gRPC does it; that it does, with our settings, is what is looked at."""

    def act(rude: Rude) -> bool:
        CUT[flood](rude)
        return rude.is_hung_up(10)

    async with meeting() as both:
        ended: list[bool] = []
        await rudely(both, lambda rude: ended.append(act(rude)))
        assert ended == [True]


def settings_frames(rude: Rude) -> None:
    for _ in range(500):
        rude.send(http2.frame(http2.SETTINGS, payload=b"\x00\x04\x00\x01\x00\x00") * 100)
        rude.answer()


async def test_a_flood_that_is_taken_costs_no_memory() -> None:
    async with meeting() as both:
        before = _resident_mib()
        await rudely(both, settings_frames)
        assert _resident_mib() - before < 16


def _resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


async def test_handshakes_that_are_not_finished_are_ended() -> None:
    """After their time, whether nothing came or a beginning."""
    settings = replace(LIMITED, transport=TransportLimits(handshake_timeout_s=1))
    async with meeting(settings) as both:
        assert both.acme.listener is not None
        host, _, port = both.acme.listener.address.rpartition(":")
        held, first = [], hello_bytes()
        for at in range(100):
            held.append(await asyncio.open_connection(host, int(port)))
            held[-1][1].write(first if at % 2 else b"")
        async with asyncio.timeout(10):
            for reader, _ in held:
                with suppress(ConnectionError):
                    await reader.read()
        for _, writer in held:
            writer.transport.abort()
        await both.globex.hub.catalog(both.acme.organization.org)


async def test_no_more_connections_are_taken_than_there_may_be() -> None:
    settings = replace(LIMITED, transport=TransportLimits(max_connections=8, handshake_timeout_s=60))
    async with meeting(settings) as both:
        assert both.acme.listener is not None
        host, _, port = both.acme.listener.address.rpartition(":")
        held = [await asyncio.open_connection(host, int(port)) for _ in range(20)]
        ended = [asyncio.ensure_future(reader.read()) for reader, _ in held]
        done, waiting = await asyncio.wait(ended, timeout=3)
        for _, writer in held:
            writer.transport.abort()
        await asyncio.wait(ended)
        assert len(waiting) < 8 <= len(done)
        await both.globex.hub.catalog(both.acme.organization.org)
