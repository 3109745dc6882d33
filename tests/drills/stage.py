"""Two organizations with a gateway process each, acme and globex, and a hostile third that has only its own CA."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TypeVar

from gateway.rpc.identity import Identity, load_identity
from mesh.ids import GatewayId, GatewayName, OrgId
from mesh.trust.bundle import Bundle
from mesh.trust.peerfile import PeerFile, parse_peer_file
from mesh.trust.pem import certificate_from_der
from mesh.trust.words import Words, spoken
from tests.drills.connection import Assault
from tests.drills.door import Door
from tests.drills.first_contact import INVITED, Scene, Sent, hostile
from tests.drills.notes import Notes
from tests.drills.relay import relayed
from tests.support.cli import CliResult
from tests.support.organization import Organization, stop_all
from tests.support.ports import free_ports
from tests.support.trust import Organization as Hostile

SETTINGS = ("timing.reconnect_initial_s=0.05", "timing.reconnect_max_s=0.2")
SHARE, TOPIC, COPY = "flights", "departures", "acme.departures"
WAIT_S = 30.0
PRIVATE = "--allow-private-addresses"

Found = TypeVar("Found")


async def mesh(of: Organization, *arguments: str, stdin: bytes = b"") -> CliResult:
    return await asyncio.to_thread(of.mesh, *arguments, stdin=stdin)


async def refusal(of: Organization, *arguments: str, stdin: bytes = b"") -> str:
    """The code, empty where the command did what it was asked."""
    said = await asyncio.to_thread(of.try_mesh, *arguments, stdin=stdin)
    return said.err.rpartition("code: ")[2].strip() if said.code else ""


async def until(what: str, ask: Callable[[], Awaitable[Found | None]], timeout_s: float = WAIT_S) -> Found:
    try:
        async with asyncio.timeout(timeout_s):
            while not (found := await ask()):  # noqa: ASYNC110  # another process tells nobody
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise TimeoutError(f"waited {timeout_s:g} s in vain for: {what}") from error
    return found


@dataclass
class AcmeInvites:
    """Implements `first_contact.Inviter` by commands of acme's operator."""

    acme: Organization
    enrolment: str
    door: Door
    _numbers: count[int] = field(default_factory=lambda: count(1), repr=False)

    async def invite(self, expected: str, *options: str) -> Sent:
        file = self.acme.home / f"invite-{next(self._numbers)}.json"
        words = ["--expect-domain", expected, "--output", str(file), "--json", PRIVATE, *options]
        made = (await mesh(self.acme, "peer", "invite", *words)).json
        return Sent(file.read_text(), str(made["words"]))

    async def state(self, org: str) -> str:
        said = await asyncio.to_thread(self.acme.try_mesh, "peer", "show", org, "--json")
        return str(said.json["state"]) if said.code == 0 else ""

    async def approve(self, org: str, phrase: Words) -> str:
        return await refusal(self.acme, "peer", "approve", org, "--phrase", spoken(phrase))

    async def forget(self, org: str) -> None:
        if await self.state(org) == "pending":
            await mesh(self.acme, "peer", "reject", org)
        for invite in (await mesh(self.acme, "peer", "invites", "--json")).json:
            if invite["state"] == "open" and invite["expect_domain"] == org:
                await mesh(self.acme, "peer", "invites", "--withdraw", invite["id"])

    @asynccontextmanager
    async def reached(self) -> AsyncIterator[str]:
        high, low = divmod(next(self._numbers), 250)
        async with relayed(self.enrolment, f"127.7.{high}.{low + 1}") as address:
            yield address


@dataclass
class GlobexAccepts:
    """Implements `first_contact.Guest` by the command of globex's operator."""

    globex: Organization
    _numbers: count[int] = field(default_factory=lambda: count(1), repr=False)

    async def accept(self, sent: Sent) -> str:
        return await refusal(self.globex, *self.words(sent), stdin=sent.words.encode())

    def words(self, sent: Sent) -> tuple[str, ...]:
        file = self.globex.home / f"received-{next(self._numbers)}.json"
        file.write_text(sent.text)
        return ("peer", "accept", str(file), "--words-file", "-", PRIVATE, "--json")


@dataclass
class Stage:
    acme: Organization
    globex: Organization
    mallory: Hostile
    scene: Scene
    inviter: AcmeInvites
    guest: GlobexAccepts

    @property
    def assault(self) -> Assault:
        async def operator(*arguments: str) -> None:
            await mesh(self.acme, *arguments)

        stranger = hostile("stranger.example")
        keys = self.globex.home / "keys"
        honest = load_identity(keys / "gateway.pem", keys / "gateway.key")
        return Assault(self.inviter.door, honest, self.mallory, stranger, SHARE, TOPIC, operator)

    async def meet(self) -> None:
        """The honest first contact, with the phrase compared on both sides."""
        await self.inviter.forget(INVITED)
        sent = await self.inviter.invite(INVITED)
        accepted = (await mesh(self.globex, *self.guest.words(sent), stdin=sent.words.encode())).json
        for side, other in ((self.acme, self.globex), (self.globex, self.acme)):
            await mesh(side, "peer", "approve", other.org, "--phrase", accepted["phrase"])
        await until("both to be active", self._active)

    async def _active(self) -> bool:
        for side, other in ((self.acme, self.globex), (self.globex, self.acme)):
            if (await mesh(side, "peer", "show", other.org, "--json")).json["state"] != "active":
                return False
        return True

    async def mirror(self) -> None:
        """A share of one topic, granted to globex, which subscribes to it."""
        await mesh(self.acme, "topic", "create", TOPIC)
        await mesh(self.acme, "share", "create", SHARE, "--topic", TOPIC)
        await self.grant()
        await mesh(self.globex, "subscribe", f"{self.acme.org}/{SHARE}", "--topic", f"{TOPIC}={COPY}", "--name", SHARE)

    async def grant(self) -> None:
        await mesh(self.acme, "grant", "create", SHARE, "--to", self.globex.org)


@asynccontextmanager
async def staged(home: Path) -> AsyncIterator[Stage]:
    """Both gateways run and know nothing of each other; mallory is a peer of acme, without a grant."""
    enrolment = f"127.0.0.1:{free_ports(1)[0]}"
    acme, globex = Organization.init(home / "acme", "acme.example"), Organization.init(home / "globex", INVITED)
    acme.settings, globex.settings = (*SETTINGS, f"listen.enrolment={enrolment}"), SETTINGS
    with stop_all(acme, globex):
        for side in (acme, globex):
            await asyncio.to_thread(side.start)
        mallory = hostile("mallory.example")
        await mesh(acme, "peer", "add", "-", stdin=PeerFile(mallory.bundle).to_json().encode())
        inviter = AcmeInvites(acme, enrolment, Door(acme.peers, await bundle_of(acme), Notes(acme.log_path)))
        guest = GlobexAccepts(globex)
        leaf = await asyncio.to_thread(leaf_of, globex, mallory)
        scene = Scene(inviter, guest, mallory, await bundle_of(globex), leaf)
        yield Stage(acme, globex, mallory, scene, inviter, guest)


async def bundle_of(of: Organization) -> Bundle:
    exported = (await mesh(of, "peer", "export")).out
    return parse_peer_file(exported, datetime.now(UTC)).bundle


def leaf_of(of: Organization, thief: Hostile) -> Identity:
    """The certificate that the gateway shows to everybody, with a key of the thief's beside it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    host, _, port = of.peers.rpartition(":")
    with socket.create_connection((host, int(port)), WAIT_S) as plain, context.wrap_socket(plain) as secured:
        certificate = certificate_from_der(secured.getpeercert(binary_form=True) or b"")
    return Identity(GatewayId(OrgId(of.org), GatewayName("one")), (certificate,), thief.authority.key)
