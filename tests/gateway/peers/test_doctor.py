"""What `mesh peer doctor` says when a hop is broken, each hop broken on purpose."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from certs.store import write_certificates, write_key
from gateway.peer import Peer
from gateway.peers.doctor import examine
from gateway.services import DialFailure, LinkStatus, PeerSight, Services
from mesh.ids import OrgId
from mesh.shares import PeerState
from tests.support.admin import AdminGateway, admin_gateway
from tests.support.hubs import Gateway, made, now_ms
from tests.support.ports import free_ports
from tests.support.tls import Authority as OtherAuthority

GLOBEX = OrgId("globex.example")


@asynccontextmanager
async def globex(knows_us: bool = True, leaf_s: float | None = None) -> AsyncIterator[tuple[Gateway, str]]:
    """The peer's listener, and where it is."""
    acme = await made("acme.example")
    peer = await made(GLOBEX, leaf_s)
    if knows_us:
        await peer.know(acme)
        peer.hub._apply_trust()
    try:
        yield peer, await peer.listen()
    finally:
        await peer.close()


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[AdminGateway]:
    async with admin_gateway(tmp_path) as running:
        identity = (await made("acme.example")).hub._identity
        keys = running.services.config.keys_dir
        keys.mkdir(exist_ok=True)
        write_certificates(keys / "gateway.pem", list(identity.chain))
        write_key(keys / "gateway.key", identity.key)
        yield running


async def hops(services: Services) -> tuple[dict[str, Mapping[str, Any]], Mapping[str, Any]]:
    """The hops by their first word, and the verdict."""
    *found, verdict = [dict(event) async for event in examine(services, GLOBEX)]
    assert verdict["event"] == "verdict"
    return {str(hop["hop"]).split(" ")[0]: hop for hop in found}, verdict


async def pair(admin: AdminGateway, *addresses: str) -> None:
    peer = await made(GLOBEX)
    await admin.services.registry.add_peer(Peer(peer.organization.bundle, addresses))


async def failing(admin: AdminGateway, hop: str) -> Mapping[str, Any]:
    """The first hop that fails is this one, it has a remedy, and the verdict says so."""
    found, verdict = await hops(admin.services)
    first = next(each for each in found.values() if each["passed"] is False)
    assert first["hop"].split(" ")[0] == hop, found
    assert first["remedy"]
    assert not verdict["ok"]
    assert verdict["sentence"] == f"{first['hop']}: {first['detail']}"
    return first


async def test_a_peer_in_order_passes_every_hop(admin: AdminGateway) -> None:
    async with globex() as (_, address):
        await pair(admin, address)
        link = LinkStatus(GLOBEX, "spiffe://globex.example/gateway/one", "dialler", now_ms(), address)
        admin.links.found = [replace(link, version="1.0", clock_skew_ms=120)]
        found, verdict = await hops(admin.services)
        assert [hop for hop, each in found.items() if each["passed"]] == [
            "state", "roots", "name", "connection", "TLS", "certificate", "our", "clock", "we", "protocol",
        ]  # fmt: skip
        assert verdict == {
            "event": "verdict",
            "ok": True,
            "failed": [],
            "sentence": f"nothing is in the way to {GLOBEX}",
        }
        assert "TLSv1.3" in found["TLS"]["detail"]
        assert "+0.1 s" in found["clock"]["detail"]


async def test_a_suspended_peer_is_said_first(admin: AdminGateway) -> None:
    async with globex() as (_, address):
        await pair(admin, address)
        await admin.services.registry.set_peer_state(GLOBEX, PeerState.SUSPENDED)
        assert "mesh peer resume" in (await failing(admin, "state"))["remedy"]
        found, _ = await hops(admin.services)
        assert found["certificate"]["passed"]


async def test_a_name_that_does_not_resolve(admin: AdminGateway) -> None:
    await pair(admin, "nowhere.invalid:7463")
    assert "does not resolve" in (await failing(admin, "name"))["detail"]


async def test_a_closed_port(admin: AdminGateway) -> None:
    (port,) = free_ports(1)
    await pair(admin, f"127.0.0.1:{port}")
    assert "connection" in (await failing(admin, "connection"))["hop"]


@asynccontextmanager
async def server(answer: bytes | None, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Answers whatever comes with `answer`, or with nothing at all."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        if answer is None:
            await over.wait()
        else:
            writer.write(answer)
        writer.transport.abort() if answer is None else writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        over.set()
        listening.close()
        await listening.wait_closed()


async def test_a_listener_that_answers_garbage(admin: AdminGateway) -> None:
    async with server(b"HTTP/1.1 400 Bad Request\r\n\r\n") as address:
        await pair(admin, address)
        assert "does not speak TLS" in (await failing(admin, "TLS"))["detail"]


async def test_a_listener_that_says_nothing(admin: AdminGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.peers.doctor.HOP_S", 0.1)
    async with server(None) as address:
        await pair(admin, address)
        assert "not answered in 0.1 s" in (await failing(admin, "TLS"))["detail"]


async def test_a_listener_of_tls_1_2_only(admin: AdminGateway, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(OtherAuthority(tmp_path).identity("old"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with server(b"", context) as address:
        await pair(admin, address)
        assert "speaks TLSv1.2 only" in (await failing(admin, "TLS"))["detail"]


async def test_an_interception_is_named_with_what_was_shown(admin: AdminGateway, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(OtherAuthority(tmp_path, "Proxy of the house").identity("inspected"))
    async with server(b"", context) as address:
        await pair(admin, address)
        hop = await failing(admin, "certificate")
        assert "issued by 'CN=Proxy of the house'" in hop["detail"]
        assert "'CN=inspected'" in hop["detail"]
        assert "intercepts" in hop["remedy"]
        found, _ = await hops(admin.services)
        assert "our" not in found, "our certificate was shown to a stranger"


async def test_a_peer_of_the_same_name_with_another_ca_is_another(admin: AdminGateway) -> None:
    initech = await made("initech.example")
    address = await initech.listen()
    try:
        await pair(admin, address)
        assert "not of the peer's CA" in (await failing(admin, "certificate"))["detail"]
    finally:
        await initech.close()


async def test_a_certificate_that_has_ended_shows_both_times(admin: AdminGateway) -> None:
    async with globex(leaf_s=-3) as (_, address):
        await pair(admin, address)
        detail = (await failing(admin, "certificate"))["detail"]
        assert "valid until" in detail
        assert "our clock says" in detail


async def test_a_peer_that_does_not_know_us(admin: AdminGateway) -> None:
    async with globex(knows_us=False) as (_, address):
        await pair(admin, address)
        hop = await failing(admin, "our")
        assert "mesh peer why acme.example" in hop["remedy"]


async def test_a_clock_that_is_off_shows_both(admin: AdminGateway) -> None:
    await pair(admin)
    link = LinkStatus(GLOBEX, "spiffe://globex.example/gateway/one", "acceptor", now_ms(), "x:1", version="1.0")
    admin.links.found = [replace(link, clock_skew_ms=-3_600_000)]
    assert "-3600.0 s" in (await failing(admin, "clock"))["detail"]


async def test_a_peer_without_an_address_and_without_a_link_says_what_is_known(admin: AdminGateway) -> None:
    await pair(admin)
    admin.links.sights[GLOBEX] = PeerSight(last_alive_ms={"acceptor": 1_900_000_000_000})
    found, verdict = await hops(admin.services)
    assert "last open at 2030-03-17" in found["it"]["detail"]
    assert (verdict["ok"], verdict["failed"]) == (False, [])
    assert "is not linked" in verdict["sentence"]


async def test_an_address_that_is_down_is_told_beside_the_link_to_another(admin: AdminGateway) -> None:
    await pair(admin)
    admin.links.found = [LinkStatus(GLOBEX, "spiffe://globex.example/gateway/one", "dialler", now_ms(), "x:1")]
    down = (DialFailure("y:1", "peer-unreachable", "connection refused"),)
    admin.links.sights[GLOBEX] = PeerSight(down=down, is_linked=True)
    found, _ = await hops(admin.services)
    assert found["we"]["detail"].endswith("; y:1 is down: connection refused")
    assert found["we"]["passed"]
