"""Threat 11: no word of a partner makes the gateway send anything to a place that the operator has not allowed.

Each test listens where the partner wants us to go; what counts is that nobody came, not that an error was shown.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor

import mesh.trust.invite
from gateway.offers import taken_settings
from gateway.peer import Peer
from gateway.peers.doctor import examine
from mesh.errors import MeshError
from mesh.trust.addresses import shows_where
from mesh.trust.enrolment_errors import AddressNotPublic, EnrolmentUnanswered
from mesh.wire.v1 import catalog_pb2, enrolment_pb2, link_pb2, trust_pb2
from tests.support.admin import admin_gateway
from tests.support.control_cli import control_gateway, peer_file
from tests.support.enrolling import Side, running
from tests.support.hubs import made, until
from tests.support.trust import organization

PUBLIC = "198.18.0.1"
"""Stands for a public address: of the range for measurements between networks, to which no route leads from here."""
DISGUISES = ("127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "[::ffff:127.0.0.1]")
"""All of them lead to this machine."""


@dataclass
class Sink:
    """Listens on every address of this machine, and counts who comes."""

    port: int
    visits: list[object] = field(default_factory=list)


@asynccontextmanager
async def sink() -> AsyncIterator[Sink]:
    found = Sink(0)

    def visited(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.visits.append(writer.get_extra_info("peername"))
        writer.close()

    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind(("::", 0))
        async with await asyncio.start_server(visited, sock=listening) as server:
            found.port = server.sockets[0].getsockname()[1]
            yield found


class Rebinding:
    """A resolver that says something public when it is asked first, and then something else."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def getaddrinfo(self, host: str | bytes, port: int, **_: object) -> list[tuple[object, ...]]:
        self.asked += 1
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        family = socket.AF_INET6 if ":" in found else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 0, "", (found, port))]


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh.trust.invite, "SCRYPT_N", 1 << 4)  # what it costs to guess is not tested here


@pytest.mark.parametrize("host", DISGUISES)
async def test_a_peer_that_names_this_machine_is_not_dialled(host: str) -> None:
    async with sink() as found:
        acme, globex = await made("acme.example"), await made("globex.example")
        await acme.registry.add_peer(
            Peer(globex.organization.bundle, (f"{host}:{found.port}",), public_only=True),
        )
        task = asyncio.create_task(acme.hub.run())
        try:
            async with asyncio.timeout(5):
                await until(lambda: bool(acme.hub.sight("globex.example").down) or bool(found.visits))
        finally:
            task.cancel()
            await asyncio.wait([task])
            await acme.close()
        assert found.visits == []
        assert {each.code for each in acme.hub.sight("globex.example").down} <= {"address-not-public"}


async def test_the_sink_is_found_where_the_address_is_the_operators_own_word() -> None:
    """Otherwise nobody would come in the tests above, whatever is dialled."""
    async with sink() as found:
        acme, globex = await made("acme.example"), await made("globex.example")
        await acme.registry.add_peer(Peer(globex.organization.bundle, (f"127.0.0.1:{found.port}",)))
        task = asyncio.create_task(acme.hub.run())
        try:
            async with asyncio.timeout(5):
                await until(lambda: bool(found.visits))
        finally:
            task.cancel()
            await asyncio.wait([task])
            await acme.close()


async def test_a_name_that_is_rebound_between_the_check_and_the_dialling_leads_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`localhost` is found public by our resolver, and is this machine for whoever asks the system again."""
    monkeypatch.setattr("gateway.rpc.targets.is_public_ip", lambda host: host == PUBLIC)
    resolver = Rebinding(PUBLIC)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolver.getaddrinfo, raising=False)
    async with sink() as found:
        acme, globex = await made("acme.example"), await made("globex.example")
        dialled = Peer(globex.organization.bundle, (f"localhost:{found.port}",), public_only=True)
        await acme.registry.add_peer(dialled)
        task = asyncio.create_task(acme.hub.run())
        try:
            async with asyncio.timeout(5):
                await until(
                    lambda: resolver.asked > 1 or bool(found.visits) or bool(acme.hub.sight("globex.example").down)
                )
        finally:
            task.cancel()
            await asyncio.wait([task])
            await acme.close()
        assert found.visits == []
        assert resolver.asked


@pytest.mark.parametrize("rebound", [False, True])
async def test_looking_for_what_is_in_the_way_goes_nowhere_else_either(
    rebound: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with admin_gateway(tmp_path) as admin, sink() as found:
        globex = organization("globex.example")
        await admin.services.registry.add_peer(
            Peer(globex.bundle, (f"localhost:{found.port}",), public_only=True),
        )
        if rebound:
            monkeypatch.setattr("gateway.rpc.targets.is_public_ip", lambda host: host == PUBLIC)
            monkeypatch.setattr("gateway.peers.doctor.HOP_S", 0.2)
            answers = Rebinding(PUBLIC, "127.0.0.1")
            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answers.getaddrinfo, raising=False)
        hops = [dict(event) async for event in examine(admin.services, "globex.example")]
        assert found.visits == []
        name = next(hop for hop in hops if str(hop.get("hop")).startswith("name "))
        assert name["passed"] is rebound


async def test_an_invite_that_leads_to_this_machine_is_not_redeemed_there() -> None:
    acme, globex = await Side.open("acme.example"), await Side.open("globex.example", allow_private=False)
    async with running(acme), sink() as found:
        for host in ("127.0.0.1", "localhost", "2130706433"):
            invited = await acme.invites("globex.example", enrolment=(f"{host}:{found.port}",))
            found.visits.clear()  # the inviter has looked whether anything answers there
            with pytest.raises(MeshError) as refused:
                await globex.accepts(invited)
            assert isinstance(refused.value, AddressNotPublic)
            await acme.registry.withdraw_invite(invited.record.id)
        assert found.visits == []
        invited = await acme.invites("globex.example", enrolment=(f"127.0.0.1:{found.port}",))
        found.visits.clear()
        with pytest.raises(EnrolmentUnanswered):
            await globex.accepts(invited, allow_private=True)
        assert found.visits


async def test_a_redeemer_may_propose_an_address_and_it_stays_its_own_word() -> None:
    """What comes of an invite is dialled only where it is public, unless the operator said otherwise."""
    acme = await Side.open("acme.example", allow_private=False)
    globex = await Side.open("globex.example")
    async with running(acme):
        await globex.accepts(await acme.invites("globex.example"), addresses=("127.0.0.1:1",))
        assert acme.registry.peer("globex.example").public_only


@pytest.mark.parametrize(
    ("address", "seen"),
    [
        ("10.0.0.7:7463", True),
        ("127.0.0.1:7463", True),
        ("[::1]:7463", True),
        ("8.8.8.8:7463", True),
        ("gateway.partner.example:7463", False),
        ("localhost:7463", False),
        ("2130706433:7463", False),
        ("169.254.169.254:80", False),
        ("[fe80::1]:7463", False),
        ("0.0.0.0:7463", False),
        ("[::ffff:10.0.0.7]:7463", False),
        ("[64:ff9b::10.0.0.1]:7463", False),
    ],
)
def test_only_a_plain_address_shows_where_it_leads(address: str, seen: bool) -> None:
    assert shows_where(address) is seen


@pytest.mark.parametrize("address", ["localhost:7463", "169.254.169.254:80", "[::ffff:127.0.0.1]:7463", "2130706433:1"])
async def test_a_peer_file_may_not_lead_to_where_no_reader_sees_it(address: str, tmp_path: Path) -> None:
    async with control_gateway(tmp_path) as gateway:
        file = peer_file("globex.example", address).to_json()
        await gateway.refused("address-not-public", "peer", "add", "-", stdin=file)
        registry = gateway.admin.services.registry
        assert "globex.example" not in registry.peers
        await gateway.done("peer", "add", "-", "--allow-private-addresses", stdin=file)
        assert not registry.peer("globex.example").public_only


async def test_what_the_operator_types_or_sees_is_the_operators_word(tmp_path: Path) -> None:
    async with control_gateway(tmp_path) as gateway:
        for org, named, *typed in (
            ("a.example", "10.0.0.7:1"),
            ("b.example", "localhost:1", "--address", "localhost:1"),
        ):
            added = await gateway.done("peer", "add", "-", *typed, stdin=peer_file(org, named).to_json())
            assert f"it is dialled at {named}" in added.err
            assert not gateway.admin.services.registry.peer(org).public_only


async def test_a_name_in_a_peer_file_stays_the_peers_own_word(tmp_path: Path) -> None:
    async with control_gateway(tmp_path) as gateway:
        await gateway.done("peer", "add", "-", stdin=peer_file("globex.example", "mesh.globex.invalid:7463").to_json())
        assert gateway.admin.services.registry.peer("globex.example").public_only


FORGED = {
    "bootstrap.servers": "127.0.0.1:9092",
    "sasl.jaas.config": "com.sun.security.auth.module.JndiLoginModule required",
    "sasl.oauthbearer.token.endpoint.url": "file:///etc/passwd",
    "ssl.keystore.location": "/etc/passwd",
    "metric.reporters": "java.lang.Runtime",
    "min.insync.replicas": "1",
    "unclean.leader.election.enable": "true",
    "remote.storage.enable": "true",
    "follower.replication.throttled.replicas": "*",
    "message.timestamp.type": "LogAppendTime",
}


def test_no_property_of_a_client_or_a_broker_is_taken_from_a_partner() -> None:
    """An offer is all by which a partner could say one: no other message holds settings."""
    honest = {"retention.ms": "1000", "cleanup.policy": "compact"}
    taken = taken_settings(FORGED | honest)
    assert taken.items() >= honest.items()
    assert taken == taken_settings(honest)
    assert {message.name for message in messages_with_settings()} == {"CatalogTopic"}


def messages_with_settings() -> Iterator[Descriptor]:
    """Every message of the wire with a map of texts."""
    for file in (catalog_pb2, enrolment_pb2, link_pb2, trust_pb2):
        for message in file.DESCRIPTOR.message_types_by_name.values():
            if any(field.message_type and field.message_type.GetOptions().map_entry for field in message.fields):
                yield message
