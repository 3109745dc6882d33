"""What a peer may change of what we hold of it by sending a bundle, and what it may not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from certs.authority import Authority
from certs.bundle import bundle_of
from gateway.peer import Peer
from gateway.peers.errors import UnexpectedReply
from gateway.registry import Registry
from gateway.rotation import messages
from gateway.rotation.exchange import BundleExchange
from mesh.errors import MeshError
from mesh.ids import GatewayId, GatewayName, OrgId
from mesh.shares import PeerState
from mesh.trust.bundle import Bundle
from mesh.trust.errors import BundleRefused, LeafRefused, ProofRefused
from mesh.trust.pem import to_der
from mesh.trust.update import BundleForeign, BundleStale
from mesh.wire.v1 import link_pb2
from mesh.wire.v1 import trust_pb2 as pb
from tests.support.control import MemoryStore
from tests.support.trust import NOW, Organization, organization

ACME, GLOBEX, INITECH = (organization(f"{name}.example") for name in ("acme", "globex", "initech"))
NEXT = Authority.create(ACME.org, NOW, 2)
LATER = NOW + timedelta(minutes=1)


def bundle(*authorities: Authority, sequence: int = 2, org: OrgId = ACME.org) -> Bundle:
    return Bundle(org, sequence, tuple(to_der(each.certificate) for each in authorities), NOW)


def update(bundle: Bundle, by: Organization = ACME) -> pb.BundleUpdate:
    return messages.signed(bundle, by.identity())


@dataclass
class Held:
    """GLOBEX, which holds ACME's and INITECH's bundles."""

    control: MemoryStore
    registry: Registry
    exchange: BundleExchange

    @classmethod
    async def new(cls) -> Held:
        control = MemoryStore()
        registry = await Registry.open(control, MemoryStore())
        for peer in (ACME, INITECH):
            await registry.add_peer(Peer(peer.bundle))
        exchange = BundleExchange(registry, lambda: GLOBEX.bundle, GLOBEX.identity, lambda: LATER)
        return cls(control, registry, exchange)

    async def push(self, body: pb.BundleUpdate, sender: OrgId = ACME.org) -> object:
        return await self.exchange.answers()[pb.BundleUpdate](sender, body)

    async def stored(self) -> Registry:
        """What a restart would find."""
        return await Registry.open(self.control, MemoryStore())


async def test_a_bundle_is_durable_when_it_is_acknowledged() -> None:
    held, new = await Held.new(), bundle(ACME.authority, NEXT)
    reply = await held.push(update(new))
    assert reply == messages.acknowledgement(new)
    assert (await held.stored()).peer(ACME.org).bundle == new
    assert (await held.stored()).peer(INITECH.org).bundle == INITECH.bundle


async def test_a_bundle_that_cannot_be_stored_is_not_acknowledged() -> None:
    held = await Held.new()
    held.control.failure = OSError("no space")
    with pytest.raises(OSError, match="no space"):
        await held.push(update(bundle(ACME.authority, NEXT)))
    assert held.registry.peer(ACME.org).bundle == ACME.bundle


async def test_a_bundle_said_twice_is_acknowledged_twice() -> None:
    held, new = await Held.new(), bundle(ACME.authority, NEXT)
    assert await held.push(update(new)) == await held.push(update(new))


async def test_the_new_root_may_bring_the_bundle_after_and_the_old_one_may_not() -> None:
    held, newer = await Held.new(), replace(ACME, authority=NEXT)
    await held.push(update(bundle(ACME.authority, NEXT)))
    await held.push(update(bundle(NEXT, sequence=3), newer))
    assert held.registry.peer(ACME.org).bundle.sequence == 3
    with pytest.raises(LeafRefused):
        await held.push(update(bundle(ACME.authority, sequence=4)))


def altered() -> pb.BundleUpdate:
    body = update(bundle(ACME.authority, NEXT))
    body.sequence = 5
    return body


def foreign_leaf() -> pb.BundleUpdate:
    """A leaf of INITECH's CA that claims to be ACME's."""
    issued = INITECH.forge(ACME.org)
    identity = replace(ACME.identity(), chain=(issued.certificate,), key=issued.key)
    return messages.signed(bundle(ACME.authority, NEXT), identity)


def foreign_key() -> pb.BundleUpdate:
    """A root of ACME's by the key of INITECH's CA."""
    thief = Authority.create(ACME.org, NOW, 3, keys=lambda: INITECH.authority.key)
    return update(bundle(ACME.authority, thief))


def too_many() -> pb.BundleUpdate:
    body = update(bundle(ACME.authority, NEXT))
    body.certificates.extend([b""] * 20)
    return body


REFUSED: list[tuple[Callable[[], pb.BundleUpdate], type[MeshError]]] = [
    (lambda: update(bundle(ACME.authority, NEXT, sequence=1)), BundleStale),
    (altered, ProofRefused),
    (foreign_leaf, LeafRefused),
    (lambda: update(bundle(INITECH.authority)), BundleRefused),
    (foreign_key, BundleRefused),
    (lambda: update(bundle(INITECH.authority, org=INITECH.org), INITECH), BundleForeign),
    (lambda: update(bundle(GLOBEX.authority, org=GLOBEX.org), GLOBEX), BundleForeign),
    (lambda: update(bundle(Authority.create(ACME.org, NOW.replace(year=2001), 2))), BundleRefused),
    (lambda: update(bundle(ACME.authority, ACME.authority)), BundleRefused),
    (too_many, BundleRefused),
    (lambda: pb.BundleUpdate(organization="not a domain", sequence=2), BundleRefused),
    (lambda: pb.BundleUpdate(organization=ACME.org, sequence=2, created_ms=1 << 63), BundleRefused),
]


@pytest.mark.parametrize(("made", "error"), REFUSED, ids=range(len(REFUSED)))
async def test_what_is_refused_changes_nothing(made: Callable[[], pb.BundleUpdate], error: type[MeshError]) -> None:
    held = await Held.new()
    before = dict(held.control.entries)
    with pytest.raises(error):
        await held.push(made())
    assert held.control.entries == before


async def test_a_bundle_without_certificates_withdraws_the_domain_for_ever() -> None:
    held = await Held.new()
    await held.push(update(bundle()))
    assert (await held.stored()).peer(ACME.org).state is PeerState.REVOKED
    assert (await held.stored()).peer(INITECH.org).state is PeerState.ACTIVE


async def test_a_probe_says_whether_a_leaf_would_pass_and_changes_nothing() -> None:
    held = await Held.new()
    before = dict(held.control.entries)
    ask = held.exchange.answers()[pb.ProbeLeaf]
    name = GatewayName("one")
    good = await ask(ACME.org, pb.ProbeLeaf(certificate=to_der(ACME.leaf().certificate)))
    new = await ask(ACME.org, pb.ProbeLeaf(certificate=to_der(NEXT.issue(name, NOW).certificate)))
    other = await ask(ACME.org, pb.ProbeLeaf(certificate=to_der(INITECH.leaf().certificate)))
    assert [each.accepted for each in (good, new, other) if isinstance(each, pb.ProbeVerdict)] == [True, False, False]
    assert isinstance(new, pb.ProbeVerdict)
    assert new.reason == "path-invalid"
    assert held.control.entries == before


class Asked:
    """A link to ACME, which answers by its own exchange."""

    features: tuple[str, ...] = (messages.FEATURE,)
    peer: GatewayId | None = GatewayId(ACME.org, GatewayName("one"))

    def __init__(self, acme: BundleExchange) -> None:
        self._acme = acme
        self.asked: list[object] = []

    async def ask(self, body: object) -> object:
        self.asked.append(body)
        return await self._acme.answers()[type(body)](GLOBEX.org, body)


async def acme_with(own: Bundle) -> tuple[Registry, BundleExchange]:
    registry = await Registry.open(MemoryStore(), MemoryStore())
    await registry.add_peer(Peer(GLOBEX.bundle))
    return registry, BundleExchange(registry, lambda: own, ACME.identity, lambda: LATER)


async def test_a_greeting_brings_what_was_missed_and_acknowledges_it() -> None:
    held, new = await Held.new(), bundle(ACME.authority, NEXT, sequence=4)
    registry, acme = await acme_with(new)
    await held.exchange.greet(Asked(acme))
    assert held.registry.peer(ACME.org).bundle == new
    assert registry.peer(GLOBEX.org).acknowledged_sequence == 4


async def test_a_greeting_between_equals_is_one_question() -> None:
    held = await Held.new()
    registry, acme = await acme_with(ACME.bundle)
    link = Asked(acme)
    await held.exchange.greet(link)
    assert len(link.asked) == 1
    assert registry.peer(GLOBEX.org).acknowledged_sequence == 1


async def test_a_gateway_without_the_feature_is_not_asked() -> None:
    held = await Held.new()
    link = Asked((await acme_with(ACME.bundle))[1])
    link.features = ()
    await held.exchange.greet(link)
    assert link.asked == []


async def test_another_bundle_of_the_same_number_is_no_acknowledgement() -> None:
    registry, acme = await acme_with(bundle(ACME.authority, NEXT))
    claimed = messages.acknowledgement(bundle_of(ACME.org, [NEXT.certificate], NOW, 2))
    await acme.answers()[pb.BundleRequest](GLOBEX.org, pb.BundleRequest(held=claimed))
    assert registry.peer(GLOBEX.org).acknowledged_sequence == 0


async def test_a_refusal_in_the_place_of_a_reply_is_an_error_of_the_peer() -> None:
    _, acme = await acme_with(ACME.bundle)

    async def ask(peer: OrgId, body: object, feature: str) -> object:
        return link_pb2.Refusal(code="bundle-stale")

    with pytest.raises(UnexpectedReply, match="bundle-stale"):
        await acme.push(ask, GLOBEX.org)
