"""The ten attacks on first contact, as strangers to a running gateway can carry them out.

Each has an invite of its own. Reasons come from where they are told: the inviter's log for what it refuses (strangers
hear one thing always), the command's code for what the invited side refuses.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import NamedTuple, Protocol

from certs.authority import Authority
from gateway.enrolment.limits import BURST
from gateway.rpc.identity import Identity
from mesh.ids import GatewayId, OrgId
from mesh.trust.bundle import Bundle
from mesh.trust.enrolment import MAX_STRIKES, Redemption
from mesh.trust.invite import InviteFile, InviteKeys, _invite, derive, parse_invite, seal, to_json
from mesh.trust.words import Words, parse_words, words_of
from tests.drills.attack import Attack, GotIn
from tests.drills.door import Door
from tests.drills.rogue import Rogue, rogue
from tests.support.enrolling import REFUSED, Invited, encoded, redeeming, speak_to
from tests.support.trust import GATEWAY, Organization

INVITED = "globex.example"


class Sent(NamedTuple):
    """An invite as its two halves travel: a file, and words."""

    text: str
    words: str

    @property
    def file(self) -> InviteFile:
        return parse_invite(self.text)


class Inviter(Protocol):
    """A gateway that invites, as its operator and the network see it."""

    @property
    def door(self) -> Door: ...

    async def invite(self, expected: str, *options: str) -> Sent: ...
    async def state(self, org: str) -> str:
        """That of the peer; empty where there is none."""

    async def approve(self, org: str, phrase: Words) -> str:
        """The code of the refusal, empty where it is approved."""

    async def forget(self, org: str) -> None:
        """Reject what is pending, and withdraw what was invited."""

    def reached(self) -> AbstractAsyncContextManager[str]:
        """The enrolment listener's address, for somebody at a network address of its own."""


class Guest(Protocol):
    """The gateway that is invited, whose operator accepts."""

    async def accept(self, sent: Sent) -> str:
        """The code of the refusal, empty where the peer is pending now."""


@dataclass(frozen=True)
class Scene:
    """`mallory` is a peer of the inviter already; `globex_leaf` the real guest's certificate, seen on the wire."""

    inviter: Inviter
    guest: Guest
    mallory: Organization
    globex: Bundle
    globex_leaf: Identity
    """With a key that does not fit it."""

    @cached_property
    def impostor(self) -> Organization:
        """Has made a CA for the invited domain."""
        return hostile(INVITED)

    async def redeem(
        self, sent: Sent, by: Organization, keys: InviteKeys, leaf: Identity | None = None, org: str = ""
    ) -> str:
        def build(nonce: bytes) -> bytes:
            return encoded(self.redemption(sent, by.bundle, leaf or by.identity(), nonce, keys, org))

        return await self.speak(build)

    def redemption(
        self, sent: Sent, bundle: Bundle, leaf: Identity, nonce: bytes, keys: InviteKeys, org: str = ""
    ) -> Redemption:
        file = sent.file
        invited = Invited(str(file.document["id"]), file.digest, self.inviter.door.bundle.org)
        return redeeming(invited, bundle, leaf, nonce, keys, org)

    async def speak(self, build: Callable[[bytes], bytes]) -> str:
        async with self.inviter.reached() as address:
            return await speak_to(address, self.inviter.door.bundle, build)


def hostile(org: str) -> Organization:
    now = datetime.now(UTC)
    return Organization(Authority.create(OrgId(org), now), now)


def keys_of(sent: Sent) -> InviteKeys:
    return derive(parse_words(sent.words), sent.file.salt)


def guessed(sent: Sent) -> InviteKeys:
    return derive(words_of(b"not those"), sent.file.salt)


async def invited(scene: Scene) -> Sent:
    await scene.inviter.forget(INVITED)
    return await scene.inviter.invite(INVITED)


async def turned_away(scene: Scene, sent: Sent, by: Organization, keys: InviteKeys, **claims: object) -> str:
    """The reason for which the inviter refuses this redemption, of which the redeemer hears nothing."""
    before = len(scene.inviter.door.noted())
    said = await scene.redeem(sent, by, keys, **claims)  # type: ignore[arg-type]  # as `redeem` takes them
    if said == "accepted":
        raise GotIn(f"{by.org} is {await scene.inviter.state(INVITED)} as {INVITED}")
    if said != REFUSED:
        return f"told the redeemer: {said}"
    return await scene.inviter.door.reason(before)


# --- the ten


async def altered_file(scene: Scene) -> str:
    """Mallory puts roots and address of a false inviter into the file, signed by a leaf of those."""
    sent = await invited(scene)
    false = hostile(scene.inviter.door.bundle.org)
    leaf = false.identity()
    async with rogue(false) as server:
        altered = replace(_invite(sent.file), bundle=false.bundle, enrolment=(server.address,))
        forged = seal(altered, guessed(sent), leaf.chain_der, leaf.sign)
        return await unaccepted(scene, Sent(to_json(forged), sent.words), server)


async def unaccepted(scene: Scene, sent: Sent, server: Rogue) -> str:
    """The code by which the invited gateway refuses what its operator was handed, before it speaks to the rogue."""
    code = await scene.guest.accept(sent)
    if not code or server.called:
        raise GotIn("the guest spoke to the rogue")
    return code


async def stolen_file(scene: Scene) -> str:
    sent = await invited(scene)
    return await turned_away(scene, sent, scene.impostor, guessed(sent))


async def own_domain(scene: Scene) -> str:
    """File and words, redeemed by mallory under its own name."""
    sent = await invited(scene)
    return await turned_away(scene, sent, hostile("initech.example"), keys_of(sent))


async def file_and_words(scene: Scene) -> str:
    """File and words, redeemed as the invited domain: pending at most, and the operators' phrases differ."""
    sent = await invited(scene)
    if (said := await scene.redeem(sent, scene.impostor, keys_of(sent))) != "accepted":
        return said
    if (state := await scene.inviter.state(INVITED)) != "pending":
        raise GotIn(f"{INVITED} is {state}")
    code = await scene.inviter.approve(INVITED, words_of(b"what globex's operator reads"))
    if not code:
        raise GotIn(f"approved, and {await scene.inviter.state(INVITED)}")
    return code


async def replayed(scene: Scene) -> str:
    """What the guest sent and the inviter took is sent again."""
    sent = await invited(scene)
    recorded: list[bytes] = []

    def record(nonce: bytes) -> bytes:
        by = scene.impostor
        recorded.append(encoded(scene.redemption(sent, by.bundle, by.identity(), nonce, keys_of(sent))))
        return recorded[0]

    if (said := await scene.speak(record)) != "accepted":
        return said
    return await sent_again(scene, recorded[0])


async def replayed_unused(scene: Scene) -> str:
    """What was caught on its way, and never arrived, is sent in answer to another challenge."""
    sent, by = await invited(scene), scene.impostor
    caught = encoded(scene.redemption(sent, by.bundle, by.identity(), bytes(32), keys_of(sent)))
    return await sent_again(scene, caught)


async def sent_again(scene: Scene, data: bytes) -> str:
    before = len(scene.inviter.door.noted())
    if await scene.speak(lambda _: data) == "accepted":
        raise GotIn("a message of old")
    return await scene.inviter.door.reason(before)


async def redeemed_twice(scene: Scene) -> str:
    """Two who both have file and words, at once."""
    sent = await invited(scene)
    keys, before = keys_of(sent), len(scene.inviter.door.noted())
    both = hostile(INVITED), hostile(INVITED)
    said = await asyncio.gather(*(scene.redeem(sent, each, keys) for each in both))
    if sorted(said) != [REFUSED, "accepted"]:
        raise GotIn(" and ".join(said))
    return await scene.inviter.door.reason(before)


async def rogue_server(scene: Scene) -> str:
    """The network leads the guest to mallory, which answers TLS by the inviter's name and a CA of its own."""
    await scene.inviter.forget(INVITED)
    async with rogue(hostile(scene.inviter.door.bundle.org)) as server:
        sent = await scene.inviter.invite(INVITED, "--enrolment-address", server.address)
        return await unaccepted(scene, sent, server)


async def foreign_domain(scene: Scene) -> str:
    """Says that it is the invited domain, with bundle and leaf of its own."""
    sent = await invited(scene)
    return await turned_away(scene, sent, hostile("initech.example"), keys_of(sent), org=INVITED)


async def foreign_ca_key(scene: Scene) -> str:
    """A peer of another domain comes as the invited one, by a CA with the key that it is known by."""
    sent, now = await invited(scene), datetime.now(UTC)
    disguised = Authority.create(OrgId(INVITED), now, keys=lambda: scene.mallory.authority.key)
    key = hostile(INVITED).authority.key
    leaf = Identity(GatewayId(OrgId(INVITED), GATEWAY), (disguised.certify(GATEWAY, key.public_key(), now),), key)
    return await turned_away(scene, sent, Organization(disguised, now), keys_of(sent), leaf=leaf)


async def stolen_leaf(scene: Scene) -> str:
    """Bundle and certificates of the real guest, which are no secret, and not its key."""
    sent = await invited(scene)
    before = len(scene.inviter.door.noted())
    keys = keys_of(sent)

    def build(nonce: bytes) -> bytes:
        return encoded(scene.redemption(sent, scene.globex, scene.globex_leaf, nonce, keys))

    if await scene.speak(build) == "accepted":
        raise GotIn(f"{INVITED} is {await scene.inviter.state(INVITED)}")
    return await scene.inviter.door.reason(before)


async def guessed_words(scene: Scene) -> str:
    """As many wrong words as an invite bears; the right ones come too late."""
    sent = await invited(scene)
    for _ in range(MAX_STRIKES):
        await turned_away(scene, sent, scene.impostor, guessed(sent))
    return await turned_away(scene, sent, scene.impostor, keys_of(sent))


async def many_guesses(scene: Scene) -> str:
    """From one network address, each with an invite that nobody made."""
    sent = await invited(scene)
    document = json.loads(sent.text) | {"id": "0" * 32}
    unknown, keys = Sent(json.dumps(document), sent.words), guessed(sent)
    async with scene.inviter.reached() as address:

        async def attempt() -> str:
            def build(nonce: bytes) -> bytes:
                by = scene.impostor
                return encoded(scene.redemption(unknown, by.bundle, by.identity(), nonce, keys))

            before = len(scene.inviter.door.noted())
            await speak_to(address, scene.inviter.door.bundle, build)
            return await scene.inviter.door.reason(before)

        reasons = [await attempt() for _ in range(BURST + 2)]
    return reasons[-1]


ATTACKS: tuple[Attack[Scene], ...] = (
    Attack("1 invite file altered", "invite-unfit", altered_file),
    Attack("2 file stolen, words not", "wrong-invite-signature", stolen_file),
    Attack("3 file and words stolen, another domain", "wrong-domain", own_domain),
    Attack("3 file and words stolen, the invited domain", "phrase-wrong", file_and_words),
    Attack("4 replay of what was accepted", "not-open", replayed),
    Attack("4 replay of what was intercepted", "wrong-invite-signature", replayed_unused),
    Attack("5 redeemed twice at once", "not-open", redeemed_twice),
    Attack("6 rogue enrolment server", "enrolment-unanswered", rogue_server),
    Attack("7 foreign domain claimed", "bundle-refused", foreign_domain),
    Attack("8 CA key of another peer", "known-ca-key", foreign_ca_key),
    Attack("9 stolen leaf without its key", "leaf-refused", stolen_leaf),
    Attack("10 guessed words: five strikes", "not-open", guessed_words),
    Attack("10 guessed words: one address", "too many attempts", many_guesses),
)
