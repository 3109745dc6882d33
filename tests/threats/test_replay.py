"""Threat 4: an invite makes one peer, once, whatever is restarted, set or sent again.

The registry is asked itself, with redemptions whose signatures are right: what refuses them is that they come again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from gateway.enrolment.desk import Made
from gateway.registry import Registry
from mesh.trust.bundle import Bundle
from mesh.trust.enrolment import Accepted, InviteRecord, RedemptionReason, Refused, judge
from mesh.trust.invite import derive
from mesh.trust.peerfile import PeerFile
from tests.support.control import MemoryStore
from tests.support.enrolling import Side, redemption, running

ACME, GLOBEX = "acme.example", "globex.example"
NONCE = b"n" * 32

pytestmark = pytest.mark.usefixtures("cheap_invites")


@dataclass
class Scene:
    acme: Side
    globex: Side
    made: Made

    async def redeem(self, side: Side, registry: Registry | None = None, ahead: timedelta = timedelta(0)) -> str:
        """`accepted`, or the reason of the refusal. `ahead`: how far the inviter's clock has been set."""
        keys = derive(self.made.words, bytes.fromhex(str(self.made.file.document["salt"])))
        sent = redemption(self.made, side, NONCE, keys, inviter=self.acme.org)
        now = datetime.now(UTC) + ahead

        def decide(record: InviteRecord | None, known: Collection[Bundle]) -> Accepted | Refused:
            return judge(record, sent, NONCE, self.acme.bundle, known, now)

        held = registry or self.acme.registry
        result = await held.redeem_invite(self.made.record.id, decide, int(now.timestamp() * 1000))
        return str(result.reason) if isinstance(result, Refused) else "accepted"

    async def restarted(self) -> Registry:
        """The inviter's registry as a new process finds it."""
        return await Registry.open(self.acme.store, MemoryStore())


@asynccontextmanager
async def scene(fingerprint: bool = False) -> AsyncIterator[Scene]:
    acme, globex = await Side.open(ACME), await Side.open(GLOBEX)
    async with running(acme):
        terms = {"expect_fingerprint": PeerFile(globex.bundle, ()).fingerprint} if fingerprint else {}
        yield Scene(acme, globex, await acme.invites(GLOBEX, **terms))


async def test_of_eight_who_redeem_at_once_exactly_one_wins() -> None:
    """All of them have file and words, each has a CA of its own."""
    async with scene() as at:
        sides = [at.globex, *[await Side.open(GLOBEX) for _ in range(7)]]
        results = await asyncio.gather(*(at.redeem(side) for side in sides))
        assert sorted(results) == ["accepted", *[RedemptionReason.NOT_OPEN] * 7]
        pending = at.acme.peer(GLOBEX)
        assert pending is not None
        assert pending.bundle == sides[results.index("accepted")].bundle
        assert (await at.restarted()).peer(GLOBEX).bundle == pending.bundle


@pytest.mark.parametrize("thief", [False, True], ids=["the same CA", "another CA"])
@pytest.mark.parametrize("hours", [0, -48, 12], ids=["clock as it is", "clock set back", "clock set forward"])
async def test_what_was_redeemed_is_not_redeemed_again_after_a_restart(thief: bool, hours: int) -> None:
    async with scene() as at:
        assert await at.redeem(at.globex) == "accepted"
        again = await Side.open(GLOBEX) if thief else at.globex
        registry = await at.restarted()
        assert await at.redeem(again, registry, timedelta(hours=hours)) == RedemptionReason.NOT_OPEN
        assert registry.peer(GLOBEX).bundle == at.globex.bundle


async def test_an_invite_ends_by_the_inviters_clock_also_after_a_restart() -> None:
    async with scene() as at:
        registry = await at.restarted()
        assert await at.redeem(at.globex, registry, timedelta(days=2)) == RedemptionReason.NOT_OPEN
        assert GLOBEX not in registry.peers


async def test_an_invite_for_a_ca_that_the_operator_named_is_of_no_use_to_another() -> None:
    async with scene(fingerprint=True) as at:
        thief = await Side.open(GLOBEX)
        assert await at.redeem(thief) == RedemptionReason.FINGERPRINT
        assert GLOBEX not in at.acme.registry.peers
        assert await at.redeem(at.globex) == "accepted"
        assert at.acme.registry.peer(GLOBEX).approved


async def test_a_crash_between_the_peer_and_the_mark_leaves_both_or_none() -> None:
    """One put holds both: whatever of the store survives, no invite is open beside the peer that came of it."""
    async with scene() as at:
        seen: list[tuple[bool, bool]] = []
        put = at.acme.store.put

        async def watched(entries: object) -> None:
            await put(entries)  # type: ignore[arg-type]  # passed on as it came
            registry = await at.restarted()
            used = registry.invites[at.made.record.id].used_ms is not None
            seen.append((GLOBEX in registry.peers, used))

        at.acme.store.put = watched  # type: ignore[method-assign]  # after each put the process might have ended
        assert await at.redeem(at.globex) == "accepted"
        assert seen == [(True, True)]
