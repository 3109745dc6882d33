"""The rotation of the CA as it is carried out: each step durable before anybody sees it, then the next one asked for.

A. What comes next is `certs.rotation`'s to say; this file only does it. After a kill the same question is asked again,
   of the state that was kept, and gives the step that was cut short.
B. Blocking work (files, keys) happens in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import structlog

from certs import rotation as rules
from certs import store
from certs.authority import Authority
from certs.errors import AuthorityAbsent, NoRotation, RotationUnderWay
from certs.own import (
    ELSEWHERE,
    OwnTrust,
    TrustFiles,
    external_roots,
    load_generation,
    load_own,
    new_generation,
    save_own,
)
from certs.profiles import Lifetimes
from certs.rotation import Action, Decision, Phase, Rotation
from gateway.rotation.leaf import LeafKeeper
from gateway.rotation.outreach import Outreach
from mesh.ids import OrgId
from mesh.trust.bundle import validate_bundle
from mesh.trust.pem import to_der

log = structlog.get_logger()


class Record(Protocol):
    """Writes the audit log; what fails there does not fail here."""

    async def __call__(self, action: str, object_: str, **details: str) -> None: ...


class OwnState:
    """What `trust.json` holds, and the only way to change it."""

    def __init__(self, keys: Path, own: OwnTrust, record: Record) -> None:
        self.files = TrustFiles(keys)
        self.own = own
        self._record = record

    async def reload(self, now: datetime) -> OwnTrust:
        """What somebody else has put there: a newer bundle, made where the CA key is. Raises OwnTrustDamaged."""
        found = await asyncio.to_thread(load_own, self.files.keys, self.own.org, now)
        if found.bundle.sequence > self.own.bundle.sequence:
            self.own = found
        return self.own

    async def keep(self, own: OwnTrust) -> None:
        """Durable before anybody sees it. Raises StoreFailed."""
        await asyncio.to_thread(save_own, self.files.keys, own)
        before, self.own = self.own, own
        details = {"bundle_sequence": str(own.bundle.sequence), "issuing": str(own.issuing)}
        rotation = own.rotation
        if rotation is not None and rotation != before.rotation:
            step = {"left": ",".join(sorted(rotation.left)), "emergency": str(rotation.emergency)}
            await self._record(f"rotation.{rotation.phase.value}", own.org, **details, **step)
        elif own.bundle != before.bundle:
            await self._record("bundle.published", own.org, **details)


class CaRotation:
    def __init__(
        self,
        state: OwnState,
        leaf: LeafKeeper,
        outreach: Outreach,
        show: Callable[[], Awaitable[None]],
        now: Callable[[], datetime],
        lifetimes: Lifetimes,
    ) -> None:
        """`show` is called when the leaf has changed."""
        self._state = state
        self._files = state.files
        self._leaf = leaf
        self._outreach = outreach
        self._show = show
        self._now = now
        self._lifetimes = lifetimes
        self._probe_leaf = b""

    async def look_at_roots(self) -> None:
        """Roots that a CA outside of the gateway has put beside the leaf become the bundle. Raises OperatorError."""
        own = self._state.own
        if own.issuing == ELSEWHERE:
            own = await self._state.reload(self._now())
        if own.under_way is not None or own.issuing != 1 or await asyncio.to_thread(lambda: self._leaf.can_issue):
            return
        roots = await asyncio.to_thread(store.read_certificates, self._files.ca_certificate(1))
        changed = external_roots(own, roots)
        if changed is not None:
            published = own.publishing(changed, self._now(), own.rotation)
            validate_bundle(published.bundle, self._now())
            await self._state.keep(published)

    async def go_on(self) -> None:
        """Every step that is due, one after the other. Raises OperatorError."""
        while (rotation := self._state.own.under_way) is not None:
            decision = self._next(rotation)
            if decision.action is Action.REHEARSE:
                await self._rehearse(rotation, decision)
                decision = self._next(rotation)
            if decision.action in {Action.WAIT, Action.REHEARSE}:
                return
            log.info("the CA's rotation goes on", step=decision.action.value, reason=decision.why)
            await self._take_step(rotation, decision)
        await self._clean_up()

    def _next(self, rotation: Rotation) -> Decision:
        return rules.next_step(rotation, self._outreach.progress(), self._now())

    async def _take_step(self, rotation: Rotation, decision: Decision) -> None:
        match decision.action:
            case Action.PUBLISH:
                await self._publish(rotation)
            case Action.LEAVE:
                log.warning("peers are left behind and must be pinned anew", peers=", ".join(decision.lagging))
                await self._keep(replace(rotation, left=rotation.left | set(decision.lagging)))
            case Action.ADOPT:
                await self._keep(rules.adopted(rotation))
            case Action.SWITCH:
                await self._switch(rotation)
            case Action.RETIRE:
                await self._retire(rotation)
            case _:
                raise AssertionError(decision.action)

    async def _publish(self, rotation: Rotation) -> None:
        own = self._state.own
        new = await asyncio.to_thread(self._root, rotation.new)
        kept = own.bundle.certificates
        if rotation.emergency:
            old = await asyncio.to_thread(self._root, rotation.old)
            kept = tuple(root for root in kept if root != old)
        published = rules.published(rotation, own.bundle.sequence + 1)
        await self._state.keep(own.publishing((*kept, new), self._now(), published))
        await self._outreach.push(self._state.own.bundle.sequence)

    async def _switch(self, rotation: Rotation) -> None:
        end = await asyncio.to_thread(self._old_end, rotation.old)
        own = replace(self._state.own, rotation=rules.switched(rotation, end), issuing=rotation.new)
        await self._state.keep(own)
        # From here on a leaf of the old root counts as due: a gateway killed now renews it when it starts.
        await asyncio.to_thread(self._leaf.renew)
        await self._show()

    async def _retire(self, rotation: Rotation) -> None:
        own, done = self._state.own, rules.retired(rotation)
        old = await asyncio.to_thread(self._root, rotation.old)
        left = tuple(root for root in own.bundle.certificates if root != old)
        if left == own.bundle.certificates:
            await self._keep(done)
        else:
            await self._state.keep(own.publishing(left, self._now(), done))
            await self._outreach.push(self._state.own.bundle.sequence)

    async def _clean_up(self) -> None:
        """The key of a retired root has no use left but a thief's."""
        rotation = self._state.own.rotation
        if rotation is not None and rotation.phase is Phase.RETIRED:
            key = self._files.ca_key(rotation.old)
            if await asyncio.to_thread(key.exists):
                await asyncio.to_thread(store.remove_key, key)
                log.info("the retired CA key is removed", generation=rotation.old)

    async def _rehearse(self, rotation: Rotation, decision: Decision) -> None:
        """The probe's key is forgotten at once: nobody can ever show that leaf."""
        if not self._probe_leaf:
            authority = await asyncio.to_thread(self._authority, rotation.new)
            issued = await asyncio.to_thread(authority.issue, self._leaf.identity.id.name, self._now())
            self._probe_leaf = to_der(issued.certificate)
        await self._outreach.rehearse(decision.lagging, self._probe_leaf)

    async def _keep(self, rotation: Rotation) -> None:
        await self._state.keep(replace(self._state.own, rotation=rotation))

    def _authority(self, generation: int) -> Authority:
        return load_generation(self._files.keys, self._state.own.org, generation, self._lifetimes)

    def _root(self, generation: int) -> bytes:
        return to_der(store.read_certificates(self._files.ca_certificate(generation))[0])

    def _old_end(self, generation: int) -> datetime:
        """When no leaf of the old root can be valid any more: any gateway may have been given one until now."""
        root = store.read_certificates(self._files.ca_certificate(generation))[0]
        longest = max(self._now() + self._lifetimes.leaf, self._leaf.identity.leaf.not_valid_after_utc)
        return min(longest, root.not_valid_after_utc)

    # --- what an operator asks for

    def plan(self) -> Mapping[str, object]:
        """What `start` would do, and whom it would have to reach. Changes nothing."""
        own, peers = self._state.own, self._outreach.progress()
        return {
            "can_start": own.under_way is None and self._leaf.can_issue,
            "issuing": own.issuing,
            "sequence": own.bundle.sequence + 1,
            "peers": sorted(peers),
            "never_acknowledged": sorted(org for org, peer in peers.items() if peer.acknowledged == 0),
            "deadline_s": int(rules.DEADLINE.total_seconds()),
        }

    async def start(self, deadline: timedelta | None, *, emergency: bool) -> None:
        """Begin a rotation. Raises RotationUnderWay, AuthorityAbsent, StoreFailed."""
        own, now = self._state.own, self._now()
        if own.under_way is not None:
            raise RotationUnderWay(own.under_way.phase)
        if not await asyncio.to_thread(lambda: self._leaf.can_issue):
            raise AuthorityAbsent(str(self._files.ca_key(own.issuing)))
        new = await asyncio.to_thread(new_generation, self._files.keys, own.org, own.issuing, now, self._lifetimes)
        self._outreach.forget()
        self._probe_leaf = b""
        await self._keep(rules.plan(own.issuing, new, now, deadline, emergency=emergency))

    async def leave(self, orgs: Collection[OrgId]) -> None:
        """Go on without these peers. Raises NoRotation, RotationTooEarly, NotLagging."""
        rotation = self._state.own.under_way
        if rotation is None:
            raise NoRotation
        await self._keep(rules.leave(rotation, orgs, self._outreach.progress(), self._now()))

    def status(self) -> Mapping[str, object] | None:
        rotation = self._state.own.rotation
        if rotation is None:
            return None
        decision = self._next(rotation)
        return {
            "phase": rotation.phase.value,
            "emergency": rotation.emergency,
            "deadline": rotation.deadline.isoformat(),
            "next": decision.action.value,
            "why": decision.why,
            "lagging": list(decision.lagging),
            "due": decision.due.isoformat() if decision.due else None,
            "left": sorted(rotation.left),
        }
