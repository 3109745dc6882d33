"""What strangers and one bad peer do to the listener must not reach an honest peer."""

from __future__ import annotations

import asyncio
import ssl
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from certs.store import write_certificates, write_key
from gateway.rpc.credentials import TransportLimits, open_channel
from gateway.rpc.streams import CATALOG_METHOD, OPEN_METHOD
from mesh.ids import OrgId
from mesh.trust.names import gateway_dns_name
from mesh.wire.v1 import catalog_pb2
from tests.support.hubs import SETTINGS, Both, Gateway, two, until

pytestmark = pytest.mark.slow

HALF_OPEN, IDLE = 500, 100
Call = grpc.aio.StreamStreamCall[bytes, bytes]


@asynccontextmanager
async def connections(address: str, count: int, context: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    """So many connections at once, on which nobody says a word after the handshake, if there is one."""
    host, port = address.split(":")
    name = gateway_dns_name(OrgId("acme.example")) if context else None
    opened = [await asyncio.open_connection(host, int(port), ssl=context, server_hostname=name) for _ in range(count)]
    try:
        yield
    finally:
        for _, writer in opened:
            writer.transport.abort()


def speaks_as(gateway: Gateway, directory: Path) -> ssl.SSLContext:
    identity = gateway.hub._identity
    write_certificates(directory / "leaf.pem", list(identity.chain))
    write_key(directory / "leaf.key", identity.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(directory / "leaf.pem", directory / "leaf.key")
    context.set_alpn_protocols(["h2"])
    return context


async def median_s(both: Both) -> float:
    """Of a question and its answer on the honest peer's link."""
    acme, took = both.acme.organization.org, []
    for _ in range(50):
        begun = time.perf_counter()
        await both.globex.hub.catalog(acme)
        took.append(time.perf_counter() - begun)
    return statistics.median(took)


def address_of(both: Both) -> str:
    assert both.acme.listener is not None
    return both.acme.listener.address


async def test_half_open_and_idle_connections_do_not_keep_an_honest_peer_out(tmp_path: Path) -> None:
    async with two(globex_dials=False) as both:
        context = speaks_as(both.globex, tmp_path)
        address = address_of(both)
        async with connections(address, HALF_OPEN), connections(address, IDLE, context):
            begun = time.perf_counter()
            await both.globex.registry.set_peer_addresses(both.acme.organization.org, [address])
            await both.globex.hub.wait(both.acme.organization.org)
            connected_s = time.perf_counter() - begun
            assert connected_s < 5
            assert await median_s(both) < 0.1


async def test_a_flood_of_handshakes_leaves_an_honest_link_alone(tmp_path: Path) -> None:
    async with two() as both:
        await both.globex.hub.wait(both.acme.organization.org)
        context = speaks_as(both.globex, tmp_path)

        over = asyncio.Event()

        async def flood() -> None:
            while not over.is_set():
                async with connections(address_of(both), 5, context):
                    pass

        async with asyncio.TaskGroup() as group:
            group.create_task(flood())
            try:
                assert await median_s(both) < 0.1
            finally:
                over.set()


async def test_connections_are_bounded_and_a_place_that_gets_free_is_given_again() -> None:
    settings = replace(SETTINGS, transport=TransportLimits(max_connections=8, handshake_timeout_s=1))
    async with two(globex_dials=False, settings=settings) as both:
        address = address_of(both)
        host, port = address.split(":")
        opened = [await asyncio.open_connection(host, int(port)) for _ in range(20)]
        ended = [asyncio.ensure_future(reader.read()) for reader, _ in opened]
        await until(lambda: sum(each.done() for each in ended) >= 12)
        await both.globex.registry.set_peer_addresses(both.acme.organization.org, [address])
        # those that hold the places never shake hands, and are put out after their second
        await both.globex.hub.wait(both.acme.organization.org)
        await asyncio.wait(ended)
        for _, writer in opened:
            writer.transport.abort()


async def test_streams_of_one_connection_are_bounded() -> None:
    settings = replace(SETTINGS, transport=TransportLimits(max_concurrent_streams=4), max_links_per_peer=100)
    async with two(globex_dials=False, settings=settings) as both:
        globex = both.globex
        trust = globex.registry.peer(both.acme.organization.org).trust
        async with open_channel(globex.hub._identity, trust, address_of(both), TransportLimits()) as channel:
            calls: list[Call] = [channel.stream_stream(OPEN_METHOD)() for _ in range(8)]
            await until(lambda: both.acme.hub._table.count(globex.organization.org, "acceptor") == 4)
            # the others wait at the sender: nothing of them is here
            assert both.acme.hub._table.count(globex.organization.org, "acceptor") == 4
            for call in calls:
                call.cancel()


async def test_oversized_headers_are_refused_and_the_connection_of_others_is_not_touched() -> None:
    async with two() as both:
        session = await both.globex.hub.wait(both.acme.organization.org)
        globex = both.globex
        trust = globex.registry.peer(both.acme.organization.org).trust
        async with open_channel(globex.hub._identity, trust, address_of(both), TransportLimits()) as channel:
            ask = channel.unary_unary(
                CATALOG_METHOD,
                request_serializer=catalog_pb2.CatalogRequest.SerializeToString,
                response_deserializer=catalog_pb2.CatalogReply.FromString,
            )
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(catalog_pb2.CatalogRequest(), metadata=[("x", "y" * 40_000)])
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            await ask(catalog_pb2.CatalogRequest())
        assert session.is_open


async def test_a_stream_that_says_nothing_ends_after_the_greeting_time() -> None:
    settings = replace(SETTINGS, session=replace(SETTINGS.session, greeting_s=0.3))
    async with two(globex_dials=False, settings=settings) as both:
        globex = both.globex
        trust = globex.registry.peer(both.acme.organization.org).trust
        async with open_channel(globex.hub._identity, trust, address_of(both), TransportLimits()) as channel:
            call: Call = channel.stream_stream(OPEN_METHOD)()
            await until(lambda: both.acme.hub._table.has(globex.organization.org))
            await until(lambda: not both.acme.hub._table.has(globex.organization.org))
            call.cancel()
