"""Each attack of the drill against a stand-in that lacks the control: the row must say so, or it would show nothing."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import pytest

import gateway.enrolment.redeemer
import gateway.enrolment.service
import gateway.invites
import mesh.trust.enrolment
import mesh.trust.invite
from certs.store import write_certificates, write_key
from gateway.enrolment.desk import Acceptance
from gateway.peer import Peer
from gateway.registry import Registry
from gateway.rpc.credentials import ServerTrust, TransportLimits
from gateway.rpc.listener import Context, listen
from gateway.rpc.streams import AcceptedStream
from mesh.errors import MeshError
from mesh.link.frames import Hello, LaneEnd, LaneOpen, Proof
from mesh.trust.enrolment_errors import PhraseWrong
from mesh.trust.leaf import VerifiedLeaf
from mesh.trust.words import Words, parse_words, spoken
from mesh.wire.codec import decode_frame, encode_frame
from mesh.wire.v1 import catalog_pb2
from tests.drills import connection, door, first_contact
from tests.drills.attack import Attack, GotIn, Outcome, played
from tests.drills.connection import Assault
from tests.drills.door import Door
from tests.drills.first_contact import INVITED, Scene, Sent, hostile
from tests.drills.report import closing, holds
from tests.support.control import MemoryStore
from tests.support.enrolling import Side, YieldingStore, running
from tests.support.trust import Organization

ACME = "acme.example"
SETTINGS_FRAME = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))


def attack(rows: tuple[Attack[Any], ...], name: str) -> Attack[Any]:
    (found,) = [row for row in rows if row.name == name]
    return found


# --- the port for peers


async def obeyed(*_: str) -> None:
    """An operator whose commands change nothing."""


def assault(door: Door) -> Assault:
    honest, mallory = hostile(INVITED).identity(), hostile("mallory.example")
    return Assault(door, honest, mallory, hostile("stranger.example"), "flights", "departures", obeyed)


@asynccontextmanager
async def careless_tls(acme: Organization, context: ssl.SSLContext | None) -> AsyncIterator[Door]:
    """Greets whoever comes as a server of HTTP/2."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(64)
        writer.write(SETTINGS_FRAME)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context) as server:
        yield Door(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", acme.bundle, list)


@pytest.mark.parametrize(
    "name",
    [
        "plaintext",
        "TLS 1.2",
        "no client certificate",
        "leaf of an unknown CA",
        "expired leaf of a peer's CA",
        "peer suspended: new connection",
        "peer revoked: new connection",
    ],
)
async def test_a_door_that_greets_everybody_is_found(name: str, tmp_path: Path) -> None:
    acme = hostile(ACME)
    identity = acme.identity()
    write_key(tmp_path / "key", identity.key)
    write_certificates(tmp_path / "pem", list(identity.chain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pem", tmp_path / "key")
    async with careless_tls(acme, None if name == "plaintext" else context) as careless:
        outcome = await played(attack(connection.ATTACKS, name), assault(careless))
    assert outcome == Outcome(name, False, "got in: the server greets")


async def test_a_door_that_greets_nobody_is_no_refusal() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        shut = Door(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", hostile(ACME).bundle, list)
        outcome = await played(attack(connection.ATTACKS, "plaintext"), assault(shut))
    assert outcome == Outcome("plaintext", False, "'closed, as an honest peer is', not 'closed'")


@dataclass
class Careless:
    """A gateway that believes TLS, shows everybody everything and needs no proof."""

    acme: Organization

    def verify(self, context: Context) -> VerifiedLeaf:
        identity = self.acme.identity()
        return VerifiedLeaf(identity.id, identity.leaf)

    async def accept(self, leaf: VerifiedLeaf, stream: AcceptedStream, address: str) -> None:
        await stream.write(encode_frame(0, Hello(ACME, "one", nonce=bytes(32))))
        sequence = 1
        while (data := await stream.read()) is not None:
            _, frame = decode_frame(data)
            if isinstance(frame, LaneOpen | Proof):
                answer = LaneEnd(frame.lane, f"no {frame.share}") if isinstance(frame, LaneOpen) else Proof((), b"")
                await stream.write(encode_frame(sequence, answer))
                sequence += 1

    async def list_catalog(self, leaf: VerifiedLeaf) -> catalog_pb2.CatalogReply:
        return catalog_pb2.CatalogReply(shares=[catalog_pb2.CatalogShare(name="flights")])


@pytest.mark.parametrize(
    ("name", "saw"),
    [
        ("peer's id by another peer's CA: call", "got in: the catalog"),
        ("peer's id by another peer's CA: link", "got in: a link that says Hello"),
        ("frame before the proof", "got in: an answer about a lane"),
        ("peer's id in the proof of another's link", "got in: an answer about a lane"),
        ("not granted, or absent: one answer", "got in: told apart"),
        ("catalog without a grant", "got in: the catalog names flights"),
        ("peer suspended: next call", "got in: the catalog"),
        ("peer revoked: next call", "got in: the catalog"),
    ],
)
async def test_a_gateway_without_checks_is_found(name: str, saw: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "QUIET_S", 0.2)  # this gateway never ends a link
    acme = hostile(ACME)
    at = assault(Door("", acme.bundle, list))
    trusted = [at.mallory.trust()]
    listener = await listen(Careless(acme), ServerTrust(acme.identity(), trusted), TransportLimits(), "127.0.0.1", 0)
    try:
        at = replace(at, door=replace(at.door, address=listener.address))
        outcome = await played(attack(connection.ATTACKS, name), at)
    finally:
        await listener.close(0)
    assert not outcome.refused
    assert outcome.saw.startswith(saw)


# --- first contact


@dataclass
class SideInvites:
    """Implements `first_contact.Inviter` on a gateway's desk in this process, where controls can be taken out."""

    side: Side
    made: list[str] = field(default_factory=list)

    @property
    def door(self) -> Door:
        return Door(
            "", self.side.bundle, lambda: [reason for _, outcome, reason in self.side.audited if outcome == "refused"]
        )

    async def invite(self, expected: str, *options: str) -> Sent:
        made = await self.side.invites(expected, enrolment=options[1:])
        self.made.append(made.record.id)
        return Sent(made.text, spoken(made.words))

    async def state(self, org: str) -> str:
        peer = self.side.peer(org)
        return str(peer.state) if peer is not None else ""

    async def approve(self, org: str, phrase: Words) -> str:
        try:
            await self.side.registry.approve_peer(org, phrase)
        except PhraseWrong as error:
            return error.code
        return ""

    async def forget(self, org: str) -> None:
        """Each test has a side of its own."""

    @asynccontextmanager
    async def reached(self) -> AsyncIterator[str]:
        yield self.side.desk.address


@dataclass
class SideAccepts:
    side: Side

    async def accept(self, sent: Sent) -> str:
        try:
            await self.side.desk.accept(Acceptance(sent.text, spoken(parse_words(sent.words))))
        except MeshError as error:
            return error.code
        return ""


class SlowStore(YieldingStore):
    """A disk that takes so long over a redemption that whoever is not kept out meanwhile gets in."""

    async def put(self, entries: Mapping[str, bytes | None]) -> None:
        if len(entries) > 1:
            await asyncio.sleep(0.1)
        await super().put(entries)


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    acme, globex = await Side.open(ACME, SlowStore()), await Side.open(INVITED)
    mallory = hostile("mallory.example")
    await acme.registry.add_peer(Peer(mallory.bundle))
    shown = replace(globex.identity, key=mallory.authority.key)
    async with running(acme):
        await acme.invites("other.example")
        yield Scene(SideInvites(acme), SideAccepts(globex), mallory, globex.bundle, shown)


def nothing(*_: object) -> None:
    return None


async def whatever_was_seen(store: MemoryStore, entries: Mapping[str, bytes | None], _: int) -> int:
    await store.put(entries)
    return store.version


@asynccontextmanager
async def unlocked(_: Registry) -> AsyncIterator[None]:
    yield


CONTROLS: dict[str, tuple[tuple[object, str, object], ...]] = {
    "1 invite file altered": ((mesh.trust.invite, "check_mac", nothing),),
    "2 file stolen, words not": ((mesh.trust.enrolment, "verified_by_invite_key", lambda *_: True),),
    "3 file and words stolen, the invited domain": ((gateway.invites, "compare_digest", lambda *_: True),),
    "4 replay of what was accepted": (
        (gateway.enrolment.service, "token_bytes", bytes),
        (mesh.trust.enrolment, "check_open", nothing),
    ),
    "4 replay of what was intercepted": ((gateway.enrolment.service, "token_bytes", bytes),),
    "5 redeemed twice at once": ((Registry, "_changing", unlocked), (MemoryStore, "change", whatever_was_seen)),
    "8 CA key of another peer": ((mesh.trust.enrolment, "refuse_overlap", nothing),),
    "9 stolen leaf without its key": ((mesh.trust.enrolment, "verify_proof", nothing),),
    "10 guessed words: five strikes": ((mesh.trust.enrolment, "MAX_STRIKES", 1 << 30),),
}
"""By attack: what stands in its way, and what it is replaced by."""


@pytest.mark.parametrize("name", CONTROLS)
async def test_a_row_is_refused_with_its_control_and_not_without(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh.trust.invite, "SCRYPT_N", 1 << 4)  # what it costs to guess is not tested here
    row = attack(first_contact.ATTACKS, name)
    async with scene() as at:
        assert await played(row, at) == Outcome(name, True, row.reason)
    for owner, control, replacement in CONTROLS[name]:
        monkeypatch.setattr(owner, control, replacement)
    async with scene() as at:
        outcome = await played(row, at)
    assert not outcome.refused
    assert outcome.saw.startswith("got in: ")


async def test_a_guest_that_pins_no_roots_is_found_by_the_rogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh.trust.invite, "SCRYPT_N", 1 << 4)
    false, original = hostile(ACME), grpc.ssl_channel_credentials
    monkeypatch.setattr(first_contact, "hostile", lambda _: false)
    row = attack(first_contact.ATTACKS, "6 rogue enrolment server")
    async with scene() as at:
        assert await played(row, at) == Outcome(row.name, True, row.reason)
        monkeypatch.setattr(grpc, "ssl_channel_credentials", lambda _: original(false.bundle.pem().encode()))
        assert await played(row, at) == Outcome(row.name, False, "got in: the guest spoke to the rogue")


# --- the sum


async def test_what_is_not_carried_out_is_not_refused() -> None:
    async def broken(_: None) -> str:
        raise ConnectionError("nobody there")

    async def through(_: None) -> str:
        raise GotIn("everything")

    async def by_another_cause(_: None) -> str:
        return "closed"

    plays = {"broken": broken, "through": through, "other": by_another_cause}
    outcomes = [await played(Attack(name, "path-invalid", play), None) for name, play in plays.items()]
    assert [each.saw for each in outcomes] == [
        "not played: ConnectionError('nobody there')",
        "got in: everything",
        "'closed', not 'path-invalid'",
    ]
    assert closing(outcomes) == "trust: 0 of 3 attacks refused"
    assert not holds(outcomes, [])
