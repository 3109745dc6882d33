"""First contact over real listeners: what both sides keep, what a crash leaves, when the listener is open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

import gateway.enrolment.redeemer
import mesh.trust.invite
from gateway.address import Address
from gateway.enrolment.desk import Acceptance, Made
from gateway.enrolment.redeemer import Redeemer
from gateway.http.errors import PortInUse
from gateway.peer import Peer
from gateway.registry import Registry
from gateway.registry_errors import PeerExists
from mesh.errors import MeshError
from mesh.ids import OrgId
from mesh.shares import PeerState
from mesh.trust.enrolment import confirmation_phrase
from mesh.trust.enrolment_errors import (
    AddressNotPublic,
    EnrolmentRefused,
    EnrolmentUnanswered,
    InviteExpired,
    InviteNotYetValid,
    InviteTermsRefused,
    InviteUnfit,
    PeerNotPending,
    PeerPending,
)
from mesh.trust.errors import FingerprintMismatch
from mesh.trust.invite import parse_invite
from mesh.trust.peerfile import PeerFile
from mesh.trust.words import spoken, words_of
from tests.support.control import MemoryStore
from tests.support.enrolling import REFUSED, Side, encoded, redemption, running, speak

ACME, GLOBEX = OrgId("acme.example"), OrgId("globex.example")
HOUR_MS = 3_600_000

pytestmark = pytest.mark.usefixtures("cheap_invites")


@pytest.fixture
async def acme() -> AsyncIterator[Side]:
    side = await Side.open(ACME)
    async with running(side):
        yield side


@pytest.fixture
async def globex() -> Side:
    return await Side.open(GLOBEX)


async def closed(side: Side) -> None:
    """Returns when the enrolment listener has said that it is closed."""
    async with asyncio.timeout(10):
        while not side.announced or side.announced[-1]:
            await side.heard.wait()
            side.heard.clear()


async def test_both_sides_hold_each_other_pending_with_one_phrase(acme: Side, globex: Side) -> None:
    made = await acme.invites(GLOBEX)
    ours, theirs = await globex.accepts(made), acme.peer(GLOBEX)
    assert theirs is not None
    assert (ours.state, theirs.state) == (PeerState.PENDING, PeerState.PENDING)
    assert (ours.bundle, theirs.bundle) == (acme.bundle, globex.bundle)
    assert ours.transcript == theirs.transcript
    assert (ours.addresses, theirs.addresses) == (("127.0.0.1:7463",), ("127.0.0.1:7463",))
    assert not ours.trust.may_greet
    assert not theirs.trust.may_greet


async def test_a_pending_peer_becomes_active_by_approval_and_a_meeting_only(acme: Side, globex: Side) -> None:
    await globex.accepts(await acme.invites(GLOBEX))
    registry = acme.registry
    assert (await registry.meet_peer(GLOBEX)).state is PeerState.PENDING  # type: ignore[union-attr]
    for state in (PeerState.ACTIVE, PeerState.SUSPENDED):
        with pytest.raises(PeerPending):
            await registry.set_peer_state(GLOBEX, state)
    pending = registry.peer(GLOBEX)
    approved = await registry.approve_peer(GLOBEX, confirmation_phrase(bytes.fromhex(pending.transcript)))
    assert (approved.state, approved.trust.may_greet) == (PeerState.PENDING, True)
    assert (await registry.meet_peer(GLOBEX)).state is PeerState.ACTIVE  # type: ignore[union-attr]
    with pytest.raises(PeerNotPending):
        await registry.reject_peer(GLOBEX)


async def test_known_fingerprints_approve_at_once(acme: Side, globex: Side) -> None:
    addresses = ("127.0.0.1:7463",)
    made = await acme.invites(GLOBEX, expect_fingerprint=PeerFile(globex.bundle, addresses).fingerprint)
    ours = await globex.accepts(made, expect_fingerprint=PeerFile(acme.bundle, addresses).fingerprint)
    assert ours.approved
    assert acme.registry.peer(GLOBEX).approved
    assert ours.state is acme.registry.peer(GLOBEX).state is PeerState.PENDING


async def test_another_fingerprint_than_expected_is_refused_before_anything_is_sent(acme: Side, globex: Side) -> None:
    made = await acme.invites(GLOBEX)
    with pytest.raises(FingerprintMismatch):
        await globex.accepts(made, expect_fingerprint=PeerFile(globex.bundle).fingerprint)
    assert acme.registry.invites[made.record.id].used_ms is None
    assert globex.peer(ACME) is None


async def test_the_listener_is_open_only_while_an_invite_is(acme: Side, globex: Side) -> None:
    assert acme.desk.address == ""
    made, other = await acme.invites(GLOBEX), await acme.invites("other.example")
    assert acme.desk.address
    await globex.accepts(made)
    assert acme.desk.address
    await acme.registry.withdraw_invite(other.record.id)
    await closed(acme)


async def test_an_expired_invite_closes_the_listener_and_is_refused_with_both_clocks(acme: Side, globex: Side) -> None:
    made = await acme.invites(GLOBEX, ttl_s=60)
    acme.offset_ms = globex.offset_ms = 2 * HOUR_MS
    with pytest.raises(InviteExpired):
        await globex.accepts(made)
    await acme.registry.withdraw_invite((await acme.invites("other.example")).record.id)
    await closed(acme)


@pytest.mark.parametrize(("offset_ms", "error"), [(25 * HOUR_MS, InviteExpired), (-HOUR_MS, InviteNotYetValid)])
async def test_clocks_apart(acme: Side, globex: Side, offset_ms: int, error: type[MeshError]) -> None:
    globex.offset_ms = offset_ms
    with pytest.raises(error):
        await globex.accepts(await acme.invites(GLOBEX))


async def test_the_inviters_clock_decides_whether_an_invite_has_ended(acme: Side, globex: Side) -> None:
    made = await acme.invites(GLOBEX)
    await acme.invites("other.example", ttl_s=30 * 86_400)
    acme.offset_ms = 25 * HOUR_MS
    with pytest.raises(EnrolmentRefused):
        await globex.accepts(made)
    assert ("invite.redeemed", "refused", "not-open") in acme.audited
    assert globex.peer(ACME) is None
    assert ("invite.accepted", "refused", "enrolment-refused") in globex.audited


async def test_a_refused_acceptance_leaves_nothing_pending(acme: Side, globex: Side) -> None:
    made = await acme.invites(GLOBEX)
    await acme.invites("other.example")
    await acme.registry.withdraw_invite(made.record.id)
    with pytest.raises(EnrolmentRefused):
        await globex.accepts(made)
    assert globex.peer(ACME) is None


async def test_wrong_words_are_noticed_here_and_cost_no_strike(acme: Side, globex: Side) -> None:
    made = await acme.invites(GLOBEX)
    for _ in range(6):
        with pytest.raises(InviteUnfit):
            await globex.accepts(made, words=spoken(words_of(b"other bits")))
    assert acme.registry.invites[made.record.id].strikes == 0
    await globex.accepts(made)


async def test_an_answer_that_is_lost_leaves_both_sides_with_one_phrase(
    acme: Side, globex: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks after acme stored the peer: nothing is lost, the operators can compare."""
    made = await acme.invites(GLOBEX)

    def lost(*_: object) -> None:
        raise EnrolmentUnanswered(ACME, "the connection broke")

    monkeypatch.setattr(gateway.enrolment.redeemer, "check_answer", lost)
    with pytest.raises(EnrolmentUnanswered):
        await globex.accepts(made)
    assert globex.registry.peer(ACME).transcript == acme.registry.peer(GLOBEX).transcript


async def test_accepting_again_after_a_loss_keeps_what_both_sides_hold(
    acme: Side, globex: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await acme.invites(GLOBEX)
    await acme.invites("other.example")
    first = await globex.accepts(made)
    with pytest.raises(EnrolmentRefused):
        await globex.accepts(made)
    assert globex.registry.peer(ACME).transcript == first.transcript == acme.registry.peer(GLOBEX).transcript


async def test_a_loss_before_the_redemption_is_sent_lets_the_same_invite_be_used_again(
    acme: Side, globex: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await acme.invites(GLOBEX)

    async def unreachable(*_: object) -> bytes:
        raise EnrolmentUnanswered(ACME, "connection refused")

    with monkeypatch.context() as broken:
        broken.setattr(Redeemer, "redeem", unreachable)
        with pytest.raises(EnrolmentUnanswered):
            await globex.accepts(made)
    await globex.accepts(made)


@pytest.mark.parametrize("stored", [True, False])
async def test_a_crash_while_the_invite_is_marked_used(acme: Side, globex: Side, stored: bool) -> None:
    """The put that marks it used is the one that makes the peer: after a restart both are there, or neither."""
    made = await acme.invites(GLOBEX)
    acme.store.failure, acme.store.stores = OSError("power"), stored
    with pytest.raises((EnrolmentRefused, EnrolmentUnanswered)):
        await globex.accepts(made)
    again = await Registry.open(acme.store, MemoryStore())
    assert (again.invites[made.record.id].used_ms is not None) is stored
    assert (GLOBEX in again.peers) is stored


async def test_invites_are_there_after_a_restart_with_all_that_is_kept_of_them(acme: Side) -> None:
    made = await acme.invites(GLOBEX, name="summer", ttl_s=600, expect_fingerprint="sha256:" + "0" * 64)
    again = await Registry.open(acme.store, MemoryStore())
    assert again.invites[made.record.id] == made.record
    stored = b"".join(acme.store.entries.values())
    assert spoken(made.words).encode() not in stored
    assert again.invites[made.record.id].name == "summer"


async def test_a_strike_is_durable_before_the_answer(acme: Side, globex: Side) -> None:
    made = await acme.invites(GLOBEX)
    wrong = mesh.trust.invite.derive(words_of(b"other bits"), bytes(16))
    said = await speak(acme, lambda nonce: encoded(redemption(made, globex, nonce, wrong, inviter=ACME)))
    assert said == REFUSED
    assert (await Registry.open(acme.store, MemoryStore())).invites[made.record.id].strikes == 1


@pytest.mark.parametrize("data", [b"", b"\xff\xff", b"\x0a\x00", b"\x0a\x05\x0a\x03abc"])
async def test_a_stranger_gets_one_constant_answer(acme: Side, data: bytes) -> None:
    await acme.invites(GLOBEX)
    assert await speak(acme, lambda _: data) == REFUSED


async def test_a_message_beyond_the_limit_is_not_read(acme: Side) -> None:
    await acme.invites(GLOBEX)
    said = await speak(acme, lambda _: bytes(200_000))
    assert "accepted" not in said.split(":")[0]


async def test_who_says_nothing_is_not_waited_for(acme: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    acme.desk._service.time_s = 0.05
    await acme.invites(GLOBEX)
    entered = asyncio.Event()

    def never(_: bytes) -> bytes:
        entered.set()
        raise asyncio.InvalidStateError("the caller stays silent")

    assert await speak(acme, never) == REFUSED
    assert entered.is_set()


@pytest.mark.parametrize(
    "terms", [{"ttl_s": 59}, {"ttl_s": 31 * 86_400}, {"expected": ACME}], ids=["too short", "too long", "ourselves"]
)
async def test_terms_that_make_no_sense_are_refused(acme: Side, terms: dict[str, object]) -> None:
    with pytest.raises(InviteTermsRefused):
        await acme.invites(GLOBEX, **terms)
    assert acme.desk.address == ""


async def test_who_is_a_peer_already_is_not_invited_again(acme: Side, globex: Side) -> None:
    await acme.registry.add_peer(Peer(globex.bundle))
    with pytest.raises(PeerExists):
        await acme.invites(GLOBEX)


async def test_a_fresh_invite_replaces_a_pending_peer_that_nobody_approved(acme: Side, globex: Side) -> None:
    await globex.accepts(await acme.invites(GLOBEX))
    again = await Side.open(GLOBEX)
    await again.accepts(await acme.invites(GLOBEX))
    assert acme.registry.peer(GLOBEX).bundle == again.bundle


async def test_a_rejected_peer_is_forgotten_and_may_be_invited_again(acme: Side, globex: Side) -> None:
    await globex.accepts(await acme.invites(GLOBEX))
    await acme.registry.reject_peer(GLOBEX)
    assert GLOBEX not in (await Registry.open(acme.store, MemoryStore())).peers
    await globex.accepts(await acme.invites(GLOBEX))


async def test_a_taken_port_is_said_to_the_operator(acme: Side) -> None:
    await acme.invites(GLOBEX)
    other = await Side.open("other.example")
    host, _, port = acme.desk.address.rpartition(":")
    other.desk.door._where = Address(host, int(port))
    with pytest.raises(PortInUse):
        await other.invites(GLOBEX)


async def test_private_addresses_in_a_partners_file_are_refused(acme: Side) -> None:
    globex = await Side.open(GLOBEX, allow_private=False)
    made = await acme.invites(GLOBEX)
    with pytest.raises(AddressNotPublic, match=r"127\.0\.0\.1"):
        await globex.accepts(made)
    peer = await globex.accepts(made, allow_private=True)
    assert not peer.public_only


async def test_what_a_partner_names_is_dialled_only_where_it_is_public(acme: Side) -> None:
    acme.desk.allow_private = False
    globex = await Side.open(GLOBEX)
    await globex.accepts(await acme.invites(GLOBEX))
    assert acme.registry.peer(GLOBEX).public_only


async def test_no_repr_holds_words(acme: Side) -> None:
    made = await acme.invites(GLOBEX)
    given = Acceptance(made.text, spoken(made.words))
    for value in (made, given, made.file, acme.desk, replace(made.record)):
        assert spoken(made.words) not in repr(value)
    assert isinstance(made, Made)
    assert parse_invite(made.text).digest == made.record.digest
