"""Two organizations about to meet, in this process: real listeners on loopback, registries over memory, and thieves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple

import grpc

from certs.authority import Authority
from certs.bundle import bundle_of
from gateway.address import Address
from gateway.enrolment.desk import Acceptance, EnrolmentDesk, Made, Wanted
from gateway.enrolment.redeemer import LIMITS
from gateway.enrolment.service import METHOD
from gateway.peer import Peer
from gateway.registry import Registry
from gateway.rpc.credentials import channel_options
from gateway.rpc.identity import Identity
from mesh.ids import GatewayId, GatewayName, OrgId
from mesh.shares import PeerState
from mesh.trust.bundle import Bundle
from mesh.trust.enrolment import NONCE_BYTES, Redemption, signed_digest, transcript_of
from mesh.trust.invite import InviteKeys, canonical
from mesh.trust.leaf import PeerTrust
from mesh.trust.words import spoken
from mesh.wire.v1 import enrolment_pb2
from tests.support.control import MemoryStore

ONE = GatewayName("one")
REFUSED = "PERMISSION_DENIED: not accepted"


class YieldingStore(MemoryStore):
    """Lets others run before it stores, as a disk does."""

    async def put(self, entries: Mapping[str, bytes | None]) -> None:
        await asyncio.sleep(0)
        await super().put(entries)


def authority(org: str) -> Authority:
    return Authority.create(OrgId(org), datetime.now(UTC))


@dataclass
class Side:
    """One organization. `now_ms` is its clock; `audited` what it refused."""

    authority: Authority
    registry: Registry
    store: YieldingStore
    desk: EnrolmentDesk
    identity: Identity
    offset_ms: int = 0
    audited: list[tuple[str, str, str]] = field(default_factory=list)
    announced: list[str] = field(default_factory=list)
    """Addresses of the enrolment listener as it opened, empty texts as it closed."""
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    async def open(
        cls,
        org: str,
        store: YieldingStore | None = None,
        registry: Registry | None = None,
        *,
        allow_private: bool = True,
    ) -> Side:
        made = authority(org)
        issued = made.issue(ONE, datetime.now(UTC))
        identity = Identity(GatewayId(OrgId(org), ONE), (issued.certificate,), issued.key)
        store = store or YieldingStore()
        registry = registry or await Registry.open(store, MemoryStore())

        async def own_bundle() -> Bundle:
            return bundle_of(OrgId(org), [made.certificate], made.certificate.not_valid_before_utc)

        async def audit(action: str, object_: str, outcome: str, *, actor: str = "", **details: str | int) -> None:
            side.audited.append((action, outcome, str(details.get("reason", ""))))

        def announce(address: str) -> None:
            side.announced.append(address)
            side.heard.set()

        def clock() -> int:
            return side.now_ms()

        desk = EnrolmentDesk(
            registry,
            lambda: identity,
            own_bundle,
            lambda: ("127.0.0.1:7463",),
            Address("127.0.0.1", 0),
            clock,
            allow_private=allow_private,
            audit=audit,
            announce=announce,
        )
        side = cls(made, registry, store, desk, identity)
        return side

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.offset_ms

    @property
    def org(self) -> OrgId:
        return self.authority.org

    @property
    def bundle(self) -> Bundle:
        return bundle_of(self.org, [self.authority.certificate], self.authority.certificate.not_valid_before_utc)

    async def invites(self, org: str, **terms: object) -> Made:
        return await self.desk.invite(replace(Wanted(OrgId(org)), **terms))  # type: ignore[arg-type]

    async def accepts(self, made: Made, text: str = "", words: str = "", **terms: object) -> Peer:
        given = Acceptance(text or made.text, words or spoken(made.words), **terms)  # type: ignore[arg-type]
        return await self.desk.accept(given)

    def peer(self, org: str) -> Peer | None:
        return self.registry.peers.get(OrgId(org))


@asynccontextmanager
async def running(*sides: Side) -> AsyncIterator[None]:
    """Their listeners open and close by themselves meanwhile."""
    tasks = [asyncio.create_task(side.desk.run()) for side in sides]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


Build = Callable[[bytes], Redemption]
"""From the inviter's nonce to what is sent."""


def redemption(
    made: Made, side: Side, nonce: bytes, keys: InviteKeys, *, inviter: OrgId, bundle: Bundle | None = None
) -> Redemption:
    """What `side` would send honestly, had it these keys, and this bundle instead of its own."""
    invited = Invited(made.record.id, made.record.digest, inviter)
    return redeeming(invited, bundle or side.bundle, side.identity, nonce, keys)


class Invited(NamedTuple):
    """What a redemption must name of an invite."""

    id: str
    digest: bytes
    inviter: OrgId


def redeeming(
    invited: Invited, bundle: Bundle, identity: Identity, nonce: bytes, keys: InviteKeys, org: str = ""
) -> Redemption:
    """A redemption signed by the keys given; `org` is the domain that it claims, that of the bundle where empty."""
    bare = Redemption(
        invite_id=invited.id,
        invite_digest=invited.digest,
        org=org or bundle.org,
        bundle=canonical(bundle.document()),
        chain=identity.chain_der,
        addresses=(),
        nonce=bytes(range(NONCE_BYTES)),
    )
    transcript = transcript_of(invited.inviter, nonce, bare)
    return replace(
        bare,
        invite_signature=keys.invite.sign(signed_digest("invite", transcript)),
        leaf_signature=identity.sign(signed_digest("redeemer", transcript)),
    )


def encoded(sent: Redemption) -> bytes:
    body = enrolment_pb2.Redeem(
        invite_id=sent.invite_id,
        invite_digest=sent.invite_digest,
        organization=sent.org,
        bundle=sent.bundle,
        certificate_chain=sent.chain,
        addresses=sent.addresses,
        nonce=sent.nonce,
        invite_signature=sent.invite_signature,
        leaf_signature=sent.leaf_signature,
    )
    return enrolment_pb2.EnrolmentRequest(redeem=body).SerializeToString()


async def speak(inviter: Side, build: Callable[[bytes], bytes]) -> str:
    """As `speak_to`, to the listener of `inviter`."""
    return await speak_to(inviter.desk.address, inviter.bundle, build)


async def speak_to(address: str, bundle: Bundle, build: Callable[[bytes], bytes]) -> str:
    """Redeem with whatever `build` makes of the nonce: `accepted`, or the status and its words."""
    trust = PeerTrust(PeerState.ACTIVE, bundle)
    credentials = grpc.ssl_channel_credentials(bundle.pem().encode())
    options = channel_options(trust, LIMITS)
    async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
        call: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(METHOD)()
        try:
            first = await call.read()
            if isinstance(first, bytes):
                await call.write(build(enrolment_pb2.EnrolmentReply.FromString(first).challenge.nonce))
                if isinstance(await call.read(), bytes):
                    return "accepted"
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
        except asyncio.InvalidStateError:
            pass
        return f"{(await call.code()).name}: {await call.details()}"
