"""The ten attacks on first contact. Each is tried twice: with its control, where it must fail, and with the control
taken out here in the test, where it must succeed; otherwise the test would not show that the control is what holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import grpc
import pytest

import gateway.enrolment.redeemer
import gateway.enrolment.service
import gateway.invites
import mesh.trust.enrolment
import mesh.trust.invite
from certs.authority import Authority
from gateway.attempts import AttemptLimit
from gateway.enrolment.desk import Made
from gateway.invites import Decide
from gateway.peer import Peer
from gateway.registry import Registry
from gateway.rpc.identity import Identity
from mesh.ids import GatewayId, OrgId
from mesh.shares import PeerState
from mesh.trust.bundle import Bundle
from mesh.trust.enrolment import Accepted, InviteRecord, Redemption, Refused, judge, transcript_of
from mesh.trust.enrolment_errors import EnrolmentUnanswered, EnrolmentUnproven, InviteUnfit, PhraseWrong
from mesh.trust.invite import InviteKeys, derive, parse_invite, seal
from mesh.trust.words import words_of
from tests.support.enrolling import ONE, REFUSED, Side, encoded, redemption, running, speak

ACME, GLOBEX, MALLORY, INITECH = "acme.example", "globex.example", "mallory.example", "initech.example"
guarded = pytest.mark.parametrize("guarded", [True, False], ids=["with the control", "without it"])

pytestmark = pytest.mark.usefixtures("cheap_invites")


@dataclass
class Scene:
    """acme has invited globex; mallory is whoever attacks."""

    acme: Side
    globex: Side
    mallory: Side
    made: Made

    @property
    def keys(self) -> InviteKeys:
        return derive(self.made.words, bytes.fromhex(str(self.made.file.document["salt"])))

    async def redeem(self, side: Side, keys: InviteKeys | None = None, bundle: Bundle | None = None) -> str:
        def build(nonce: bytes) -> bytes:
            return encoded(redemption(self.made, side, nonce, keys or self.keys, inviter=self.acme.org, bundle=bundle))

        return await speak(self.acme, build)


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        acme, globex = await Side.open(ACME), await Side.open(GLOBEX)
        mallory = await Side.open(MALLORY)
        await stack.enter_async_context(running(acme))
        yield Scene(acme, globex, mallory, await acme.invites(GLOBEX))


def guess() -> InviteKeys:
    return derive(words_of(b"not those"), bytes(16))


@guarded
async def test_1_an_altered_file(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mallory swaps in a bundle of its own for acme's domain, signed by a leaf of that."""
    async with scene() as at:
        false_acme = await Side.open(ACME)
        invite = mesh.trust.invite._invite(parse_invite(at.made.text))
        forged = seal(
            replace(invite, bundle=false_acme.bundle), guess(), false_acme.identity.chain_der, false_acme.identity.sign
        )
        if not guarded:
            monkeypatch.setattr(mesh.trust.invite, "check_mac", lambda *_: None)
        with pytest.raises(InviteUnfit) if guarded else nullcontext():
            found = mesh.trust.invite.check_invite(forged, at.keys, at.globex.bundle, [], datetime.now(UTC))
            assert found == replace(invite, bundle=false_acme.bundle)


@guarded
async def test_2_a_stolen_file(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mallory has the file, not the words, and says that it is globex."""
    async with scene() as at:
        thief = await Side.open(GLOBEX)
        if not guarded:
            monkeypatch.setattr(mesh.trust.enrolment, "verified_by_invite_key", lambda *_: True)
        said = await at.redeem(thief, guess())
        assert (said == REFUSED) is guarded
        assert (at.acme.peer(GLOBEX) is None) is guarded


@guarded
async def test_3_stolen_file_and_words(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mallory redeems as globex with a CA of its own. The phrase that globex's operator reads is another one."""
    async with scene() as at:
        thief = await Side.open(GLOBEX)
        assert await at.redeem(thief) == "accepted"
        pending = at.acme.peer(GLOBEX)
        assert pending is not None
        assert pending.state is PeerState.PENDING
        assert not pending.trust.may_greet
        if not guarded:
            monkeypatch.setattr(gateway.invites, "compare_digest", lambda *_: True)
            await at.acme.registry.approve_peer(GLOBEX, words_of(b"any other"))
            assert await at.acme.registry.meet_peer(OrgId(GLOBEX)) == replace(
                pending, approved=True, state=PeerState.ACTIVE, epoch=pending.epoch + 1
            )
            return
        with pytest.raises(PhraseWrong):
            await at.acme.registry.approve_peer(GLOBEX, words_of(b"any other"))
        assert await at.acme.registry.meet_peer(OrgId(GLOBEX)) == pending


@pytest.mark.parametrize("fresh", [True, False], ids=["fresh nonces", "one nonce for all"])
@pytest.mark.parametrize("once", [True, False], ids=["used once", "used again"])
async def test_4_replay(fresh: bool, once: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What globex sent is sent again. Fresh nonces and single use hold each for itself; without both it succeeds."""
    if not fresh:
        monkeypatch.setattr(gateway.enrolment.service, "token_bytes", bytes)
    if not once:
        monkeypatch.setattr(mesh.trust.enrolment, "check_open", lambda *_: None)
    async with scene() as at:
        await at.acme.invites("other.example")  # so that the listener stays open
        sent: list[bytes] = []

        def record(nonce: bytes) -> bytes:
            sent.append(encoded(redemption(at.made, at.globex, nonce, at.keys, inviter=at.acme.org)))
            return sent[0]

        assert await speak(at.acme, record) == "accepted"
        said = await speak(at.acme, lambda _: sent[0])
        assert said == (REFUSED if fresh or once else "accepted")


async def test_5_redeemed_twice_at_once() -> None:
    """Two who both have file and words: exactly one wins."""
    async with scene() as at:
        await at.acme.invites("other.example")
        thief = await Side.open(GLOBEX)
        assert sorted(await asyncio.gather(at.redeem(at.globex), at.redeem(thief))) == [REFUSED, "accepted"]
        assert at.acme.registry.invites[at.made.record.id].used_ms is not None


@guarded
async def test_5_two_decisions_at_once(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The race itself: two decisions on one registry, whose store lets the other run before it stores."""
    async with scene() as at:
        if not guarded:

            @asynccontextmanager
            async def unlocked(_: Registry) -> AsyncIterator[None]:
                yield

            monkeypatch.setattr(Registry, "_changing", unlocked)
        thief = await Side.open(GLOBEX)

        async def redeem(side: Side) -> object:
            sent = redemption(at.made, side, b"n", at.keys, inviter=at.acme.org)

            def decide(record: InviteRecord | None, known: Collection[Bundle]) -> Accepted | Refused:
                return judge(record, sent, b"n", at.acme.bundle, known, datetime.now(UTC))

            return await at.acme.registry.redeem_invite(at.made.record.id, decide, at.acme.now_ms())

        results = await asyncio.gather(redeem(at.globex), redeem(thief))
        won = [each for each in results if not isinstance(each, Refused)]
        assert len(won) == (1 if guarded else 2)


@pytest.mark.parametrize("signed", [True, False], ids=["answer checked", "answer believed"])
@pytest.mark.parametrize("pinned", [True, False], ids=["roots pinned", "any roots"])
async def test_6_a_rogue_server(pinned: bool, signed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mallory answers in acme's place, with a certificate of acme's name by a CA of its own."""
    async with scene() as at:
        rogue = await Side.open(ACME)
        async with running(rogue):
            theirs = await rogue.invites(GLOBEX)
            await at.acme.registry.withdraw_invite(at.made.record.id)
            accept_all(monkeypatch, rogue, at.keys)
            original = grpc.ssl_channel_credentials
            if not pinned:
                monkeypatch.setattr(
                    grpc,
                    "ssl_channel_credentials",
                    lambda _: original(rogue.bundle.pem().encode()),
                )
            if not signed:
                monkeypatch.setattr(gateway.enrolment.redeemer, "check_answer", lambda *_: None)
            redirect(monkeypatch, theirs)
            expected = EnrolmentUnanswered if pinned else EnrolmentUnproven
            if pinned or signed:
                with pytest.raises(expected):
                    await at.globex.accepts(at.made)
                assert at.globex.peer(ACME) is None
            else:
                assert (await at.globex.accepts(at.made)).state is PeerState.PENDING


def accept_all(monkeypatch: pytest.MonkeyPatch, rogue: Side, keys: InviteKeys) -> None:
    """The rogue's gateway says yes to everybody."""

    def yes(record: object, sent: Redemption, nonce: bytes, *_: object) -> object:
        bundle = Bundle.from_json(sent.bundle.decode())
        transcript = transcript_of(rogue.org, nonce, sent)
        return Accepted(bundle, (), transcript, approved=False)

    monkeypatch.setattr(gateway.enrolment.service, "judge", yes)

    async def redeem(_: str, decide: Decide, now_ms: int) -> Peer:
        record = next(iter(rogue.registry.invites.values()))
        accepted = decide(record, [])
        assert isinstance(accepted, Accepted)
        return gateway.invites._pending(accepted, record, now_ms)

    monkeypatch.setattr(rogue.registry, "redeem_invite", redeem)


def redirect(monkeypatch: pytest.MonkeyPatch, theirs: Made) -> None:
    """The network leads to the rogue."""
    (address,) = mesh.trust.invite._invite(theirs.file).enrolment

    async def lead(*_: object, **__: object) -> list[str]:
        return [f"ipv4:{address}"]

    monkeypatch.setattr(gateway.enrolment.desk, "enrolment_targets", lead)


@guarded
async def test_7_a_foreign_domain_claimed(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Globex was invited, and comes as initech, with a CA that it made for that domain.

    The decision is asked itself: without this control the store would still refuse, for it puts an invite and the peer
    that came of it under one domain.
    """
    if not guarded:
        monkeypatch.setattr(mesh.trust.enrolment, "check_domain", lambda *_: None)
    async with scene() as at:
        initech = await Side.open(INITECH)
        sent = redemption(at.made, initech, b"n", at.keys, inviter=at.acme.org)
        verdict = judge(at.made.record, sent, b"n", at.acme.bundle, [], datetime.now(UTC))
        assert isinstance(verdict, Accepted) is not guarded
        assert await at.redeem(initech) == REFUSED
        assert at.acme.peer(INITECH) is None


@guarded
async def test_8_a_foreign_ca_key(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Initech is a peer of acme already, and comes as globex by a CA with initech's own key."""
    if not guarded:
        monkeypatch.setattr(mesh.trust.enrolment, "refuse_overlap", lambda *_: None)
    async with scene() as at:
        initech = await Side.open(INITECH)
        await at.acme.registry.add_peer(Peer(initech.bundle))
        disguised = Authority.create(OrgId(GLOBEX), datetime.now(UTC), keys=lambda: initech.authority.key)
        issued = Authority.create(OrgId(GLOBEX), datetime.now(UTC)).keys()
        leaf = disguised.certify(ONE, issued.public_key(), datetime.now(UTC))
        side = replace(initech, authority=disguised, identity=Identity(GatewayId(OrgId(GLOBEX), ONE), (leaf,), issued))
        said = await at.redeem(side)
        assert (said == REFUSED) is guarded
        assert (at.acme.peer(GLOBEX) is None) is guarded


@guarded
async def test_9_a_stolen_leaf(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mallory shows globex's certificates, which are no secret, and has words and file, but not globex's key."""
    if not guarded:
        monkeypatch.setattr(mesh.trust.enrolment, "verify_proof", lambda *_: None)
    async with scene() as at:
        shown = Identity(at.globex.identity.id, at.globex.identity.chain, at.mallory.identity.key)
        said = await at.redeem(replace(at.globex, identity=shown))
        assert (said == REFUSED) is guarded
        assert (at.acme.peer(GLOBEX) is None) is guarded


@guarded
async def test_10_guessed_words(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five wrong signatures burn the invite: the right words come too late."""
    if not guarded:
        monkeypatch.setattr(mesh.trust.enrolment, "MAX_STRIKES", 1 << 30)
    async with scene() as at:
        await at.acme.invites("other.example")
        for _ in range(5):
            assert await at.redeem(at.globex, guess()) == REFUSED
        said = await at.redeem(at.globex)
        assert (said == REFUSED) is guarded
        state = at.acme.registry.invites[at.made.record.id].state(at.acme.now_ms())
        assert state == ("burned" if guarded else "used")


@guarded
async def test_10_many_guesses_from_one_address(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond ten attempts an address is not listened to, whatever invite it names."""
    if not guarded:
        monkeypatch.setattr(AttemptLimit, "allows", lambda *_: True)
    async with scene() as at:
        stranger = at.made._replace(record=replace(at.made.record, id="0" * 32))
        for _ in range(10):
            assert await Scene(at.acme, at.globex, at.mallory, stranger).redeem(at.globex, guess()) == REFUSED
        said = await at.redeem(at.globex)
        assert (said == REFUSED) is guarded
