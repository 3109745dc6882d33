"""Certificates while the gateway runs: one loop that looks at leaf, roots and rotation, and does what is due.

Strategy: each turn asks pure rules (`certs.rotation`) and carries out at most one step at a time, durable before it is
visible; a gateway that is killed in between finds on its next start what is left to do. Blocking work (files, keys)
happens in a thread, one at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Protocol, TypeVar

import structlog

from certs import rotation as rules
from certs import store
from certs.authority import Authority
from certs.errors import AuthorityAbsent, NoRotation, RotationUnderWay
from certs.own import OwnTrust, TrustFiles, external_roots, load_generation, load_own, new_generation, save_own
from certs.profiles import DEFAULT_LIFETIMES, Lifetimes
from certs.rotation import Action, Decision, PeerProgress, Phase, Rotation
from gateway.metrics import Metrics
from gateway.registry import Registry
from gateway.rotation.exchange import AskedSession, BundleExchange
from gateway.rotation.leaf import LeafKeeper
from gateway.rpc.identity import Identity
from mesh.errors import MeshError
from mesh.ids import OrgId
from mesh.shares import PeerState
from mesh.trust.pem import to_der

log = structlog.get_logger()

T = TypeVar("T")
ASK_EVERY = timedelta(minutes=1)
"""A peer that did not acknowledge, or refused a probe, is asked again after this, and whenever it connects anew."""


class LinkHub(Protocol):
    """What the keeper needs of the hub."""

    def update_identity(self, identity: Identity) -> None: ...
    def on_open(self, greeter: Callable[[AskedSession], Awaitable[None]]) -> None: ...
    def answer_with(self, kind: type, answer: Callable[[OrgId, object], Awaitable[object]]) -> None: ...
    async def ask(self, peer: OrgId, body: object, feature: str = "") -> object: ...


@dataclass(frozen=True, slots=True)
class KeeperSettings:
    keys: Path
    poll_s: float = 5.0
    lifetimes: Lifetimes = DEFAULT_LIFETIMES


class CertificateKeeper:
    """Implements `gateway.services.Certificates`. Made by `open`; `run` keeps the certificates."""

    def __init__(
        self,
        settings: KeeperSettings,
        own: OwnTrust,
        identity: Identity,
        registry: Registry,
        hub: LinkHub,
        *,
        now: Callable[[], datetime],
        random: Random,
        metrics: Metrics | None = None,
    ) -> None:
        self._settings = settings
        self._files = TrustFiles(settings.keys)
        self._registry = registry
        self._hub = hub
        self._now = now
        self._metrics = metrics or Metrics()
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._asked: dict[OrgId, tuple[int, datetime]] = {}
        self._accepts: dict[OrgId, bool] = {}
        self._probe_leaf: bytes = b""
        self._warned: dict[str, int | None] = {}
        self._refusals: dict[OrgId, str] = {}
        self.own = own
        self.leaf = LeafKeeper(settings.keys, identity, lambda: self.own, now, random, settings.lifetimes)
        self.exchange = BundleExchange(registry, lambda: self.own.bundle, lambda: self.leaf.identity, now)
        for kind, answer in self.exchange.answers().items():
            hub.answer_with(kind, answer)
        hub.on_open(self._greet)

    @classmethod
    async def open(
        cls,
        settings: KeeperSettings,
        identity: Identity,
        registry: Registry,
        hub: LinkHub,
        *,
        now: Callable[[], datetime],
        random: Random,
        metrics: Metrics | None = None,
    ) -> CertificateKeeper:
        """Raises OwnTrustDamaged, CertificateFileUnreadable, BundleRefused."""
        own = await asyncio.to_thread(load_own, settings.keys, identity.id.org, now())
        return cls(settings, own, identity, registry, hub, now=now, random=random, metrics=metrics)

    @property
    def identity(self) -> Identity:
        return self.leaf.identity

    # --- running

    async def run(self) -> None:
        """Do what is due until cancelled."""
        while True:
            self._wake.clear()
            version = self._registry.version
            await self.turn()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.poll_s):
                    await self._woken(version)

    async def _woken(self, version: int) -> None:
        """A command, or a peer's acknowledgement, makes the next turn come at once."""
        async with asyncio.TaskGroup() as group:
            waits = [group.create_task(self._registry.wait_changed(version)), group.create_task(self._wake.wait())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    async def turn(self) -> None:
        """One look at everything. Failures are logged: the next turn tries again."""
        for part in (self._look_at_leaf, self._look_at_roots, self._push, self._rotate):
            try:
                async with self._lock:
                    await part()
            except MeshError as error:
                self._complain(part.__name__, error)
        self._warn()

    async def _look_at_leaf(self) -> None:
        faulty = self.leaf.fault
        found = await asyncio.to_thread(self.leaf.poll)
        if self.leaf.fault and self.leaf.fault != faulty:
            self._metrics.certificate_refusals.inc()
            log.error("new certificate files are refused, the one before stays in use", reason=self.leaf.fault)
        if found is None and await asyncio.to_thread(lambda: self.leaf.is_due):
            found = await asyncio.to_thread(self.leaf.renew)
        if found is not None:
            self._show(found)

    def _show(self, identity: Identity) -> None:
        end = identity.leaf.not_valid_after_utc
        log.info("the gateway's certificate has changed", gateway=str(identity.id), until=end.isoformat())
        self._metrics.leaf_renewals.inc()
        self._hub.update_identity(identity)

    async def _look_at_roots(self) -> None:
        """Roots that a CA outside of the gateway has put beside the leaf become the bundle."""
        if self.own.under_way is not None or self.leaf.can_issue or self.own.issuing != 1:
            return
        roots = await asyncio.to_thread(store.read_certificates, self._files.ca_certificate(1))
        changed = external_roots(self.own, roots)
        if changed is not None:
            await self._keep(self.own.publishing(changed, self._now(), self.own.rotation))

    async def _push(self) -> None:
        """Our bundle, to each peer that has a link and has not acknowledged it."""
        sequence = self.own.bundle.sequence
        for org, peer in list(self._active().items()):
            if peer.acknowledged == sequence or not self._may_ask(org, sequence):
                continue
            try:
                await self.exchange.push(self._hub.ask, org)
                self._refusals.pop(org, None)
            except MeshError as error:
                self._not_taken(org, error)

    def _may_ask(self, org: OrgId, sequence: int) -> bool:
        asked, at = self._asked.get(org, (0, self._now()))
        if asked == sequence and self._now() < at + ASK_EVERY:
            return False
        self._asked[org] = (sequence, self._now())
        return True

    def _not_taken(self, org: OrgId, error: MeshError) -> None:
        if self._refusals.get(org) != str(error):
            log.warning("a peer did not take our bundle", peer=str(org), code=error.code, reason=str(error))
        self._refusals[org] = str(error)

    async def _greet(self, session: AskedSession) -> None:
        await self.exchange.greet(session)
        assert session.peer is not None
        self._asked.pop(session.peer.org, None)
        self._wake.set()

    # --- the rotation of the CA

    async def _rotate(self) -> None:
        """Every step that is due, one after the other."""
        while (rotation := self.own.under_way) is not None:
            decision = rules.next_step(rotation, self._active(), self._now())
            if decision.action is Action.WAIT:
                return
            if decision.action is Action.REHEARSE:
                await self._rehearse(rotation, decision)
                if rules.next_step(rotation, self._active(), self._now()).action is Action.REHEARSE:
                    return
                continue
            log.info("the CA's rotation goes on", step=decision.action.value, reason=decision.why)
            await self._take_step(rotation, decision)
        await self._clean_up()

    async def _take_step(self, rotation: Rotation, decision: Decision) -> None:
        now = self._now()
        match decision.action:
            case Action.PUBLISH:
                new = await asyncio.to_thread(self._root, rotation.new)
                kept = () if rotation.emergency else self.own.bundle.certificates
                published = rules.published(rotation, self.own.bundle.sequence + 1)
                await self._keep(self.own.publishing((*kept, new), now, published))
                await self._push()
            case Action.LEAVE:
                log.warning("peers are left behind and must be pinned anew", peers=", ".join(decision.lagging))
                await self._keep(self._with(replace(rotation, left=rotation.left | set(decision.lagging))))
            case Action.ADOPT:
                await self._keep(self._with(rules.adopted(rotation)))
            case Action.SWITCH:
                switched = rules.switched(rotation, await asyncio.to_thread(self._old_end, rotation.old))
                await self._keep(replace(self._with(switched), issuing=rotation.new))
                # From here on the leaf of the old root counts as due: a gateway killed now renews it when it starts.
                self._show(await asyncio.to_thread(self.leaf.renew))
            case Action.RETIRE:
                await self._retire(rotation, now)
            case _:
                raise AssertionError(decision.action)

    async def _retire(self, rotation: Rotation, now: datetime) -> None:
        old = await asyncio.to_thread(self._root, rotation.old)
        left = tuple(root for root in self.own.bundle.certificates if root != old)
        if left == self.own.bundle.certificates:
            await self._keep(self._with(rules.retired(rotation)))
        else:
            await self._keep(self.own.publishing(left, now, rules.retired(rotation)))
        await self._push()

    async def _clean_up(self) -> None:
        """The key of a retired root has no use left but a thief's."""
        rotation = self.own.rotation
        if rotation is not None and rotation.phase is Phase.RETIRED:
            key = self._files.ca_key(rotation.old)
            if await asyncio.to_thread(key.exists):
                await asyncio.to_thread(store.remove_key, key)
                log.info("the retired CA key is removed", path=str(key))

    async def _rehearse(self, rotation: Rotation, decision: Decision) -> None:
        """Ask each peer whether it would accept a leaf of the new root. The leaf's key is forgotten at once."""
        if not self._probe_leaf:
            authority = await asyncio.to_thread(self._authority, rotation.new)
            issued = await asyncio.to_thread(authority.issue, self.identity.id.name, self._now())
            self._probe_leaf = to_der(issued.certificate)
        for org in decision.lagging:
            try:
                verdict = await self.exchange.probe(self._hub.ask, org, self._probe_leaf)
            except MeshError as error:
                self._not_taken(org, error)
                continue
            self._accepts[org] = verdict.accepted
            if verdict.accepted:
                self._refusals.pop(org, None)
            elif self._refusals.get(org) != verdict.detail:
                self._refusals[org] = verdict.detail
                log.error("a peer would refuse the new root", peer=str(org), code=verdict.reason, reason=verdict.detail)

    def _active(self) -> dict[OrgId, PeerProgress]:
        return {
            org: PeerProgress(peer.acknowledged_sequence, self._accepts.get(org))
            for org, peer in self._registry.peers.items()
            if peer.state is PeerState.ACTIVE
        }

    def _with(self, rotation: Rotation) -> OwnTrust:
        return replace(self.own, rotation=rotation)

    async def _keep(self, own: OwnTrust) -> None:
        """Durable before anybody sees it."""
        await asyncio.to_thread(save_own, self._settings.keys, own)
        if own.bundle.sequence != self.own.bundle.sequence:
            log.info("our own bundle has changed", sequence=own.bundle.sequence, roots=len(own.bundle.certificates))
        self.own = own

    def _authority(self, generation: int) -> Authority:
        return load_generation(self._settings.keys, self.own.org, generation, self._settings.lifetimes)

    def _root(self, generation: int) -> bytes:
        return to_der(store.read_certificates(self._files.ca_certificate(generation))[0])

    def _old_end(self, generation: int) -> datetime:
        """When no leaf of the old root can be valid any more: any gateway may have been given one until now."""
        root = store.read_certificates(self._files.ca_certificate(generation))[0]
        longest = max(self._now() + self._settings.lifetimes.leaf, self.identity.leaf.not_valid_after_utc)
        return min(longest, root.not_valid_after_utc)

    # --- what an operator asks for

    async def rotate_leaf(self) -> Mapping[str, object]:
        """A new leaf with a new key, now. Raises AuthorityAbsent, AuthorityExpired, StoreFailed."""
        return await self._alone(self._rotate_leaf)

    async def _rotate_leaf(self) -> Mapping[str, object]:
        self._show(await asyncio.to_thread(self.leaf.renew))
        return self.status()

    def plan(self) -> Mapping[str, object]:
        """What `start` would do, and who would hold it up now. Changes nothing."""
        unreached = [org for org, peer in sorted(self._active().items()) if peer.acknowledged == 0]
        return {
            "can_start": self.own.under_way is None and self.leaf.can_issue,
            "issuing": self.own.issuing,
            "sequence": self.own.bundle.sequence + 1,
            "peers": sorted(self._active()),
            "never_acknowledged": unreached,
            "deadline_s": int(rules.DEADLINE.total_seconds()),
        }

    async def start(self, deadline: timedelta | None, *, emergency: bool) -> Mapping[str, object]:
        """Begin a rotation. Raises RotationUnderWay, AuthorityAbsent, StoreFailed."""

        async def begin() -> None:
            if self.own.under_way is not None:
                raise RotationUnderWay(self.own.under_way.phase)
            if not self.leaf.can_issue:
                raise AuthorityAbsent(str(self._files.ca_key(self.own.issuing)))
            now, old = self._now(), self.own.issuing
            new = await asyncio.to_thread(
                new_generation, self._settings.keys, self.own.org, old, now, self._settings.lifetimes
            )
            self._accepts, self._probe_leaf, self._asked = {}, b"", {}
            await self._keep(self._with(rules.plan(old, new, now, deadline, emergency=emergency)))

        await self._alone(begin)
        self._wake.set()
        return self.status()

    async def leave(self, orgs: Collection[OrgId]) -> Mapping[str, object]:
        """Go on without these peers. Raises NoRotation, RotationTooEarly, NotLagging."""

        async def left() -> None:
            if self.own.under_way is None:
                raise NoRotation
            changed = rules.leave(self.own.under_way, orgs, self._active(), self._now())
            await self._keep(self._with(changed))

        await self._alone(left)
        self._wake.set()
        return self.status()

    async def _alone(self, work: Callable[[], Awaitable[T]]) -> T:
        async with self._lock:
            return await work()

    # --- what it says

    def status(self) -> Mapping[str, object]:
        leaf = self.identity.leaf
        return {
            "gateway": str(self.identity.id),
            "leaf": {
                "begin": leaf.not_valid_before_utc.isoformat(),
                "end": leaf.not_valid_after_utc.isoformat(),
                "renewal": self.leaf.renewal.isoformat() if self.leaf.can_issue else None,
                "serial": f"{leaf.serial_number:x}",
                "fault": self.leaf.fault,
            },
            "bundle": {
                "sequence": self.own.bundle.sequence,
                "roots": [
                    {"subject": root.subject.rfc4514_string(), "end": root.not_valid_after_utc.isoformat()}
                    for root in self.own.bundle.anchors()
                ],
            },
            "peers": [
                {"peer": org, "acknowledged": peer.acknowledged, "refusal": self._refusals.get(org, "")}
                for org, peer in sorted(self._active().items())
            ],
            "rotation": self._rotation_status(),
            "warnings": self.warnings(),
        }

    def _rotation_status(self) -> Mapping[str, object] | None:
        rotation = self.own.rotation
        if rotation is None:
            return None
        decision = rules.next_step(rotation, self._active(), self._now())
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

    def expiry_s(self) -> dict[str, float]:
        """Seconds until each of our certificates ends, by subject."""
        now = self._now()
        found = {str(self.identity.id): (self.identity.leaf.not_valid_after_utc - now).total_seconds()}
        for root in self.own.bundle.anchors():
            found[root.subject.rfc4514_string()] = (root.not_valid_after_utc - now).total_seconds()
        return found

    @property
    def has_expired(self) -> bool:
        return self._now() >= self.identity.leaf.not_valid_after_utc

    def warnings(self) -> list[str]:
        """What will need a person, soonest first."""
        return [_sentence(name, days) for name, days in self._ending()]

    def _ending(self) -> list[tuple[str, int]]:
        now = self._now()
        found = [("the gateway's certificate", self.leaf.warning_days)]
        for root in self.own.bundle.anchors():
            begin, end = root.not_valid_before_utc, root.not_valid_after_utc
            found.append((f"the CA {root.subject.rfc4514_string()}", rules.warning_days(begin, end, now)))
        return sorted(((name, days) for name, days in found if days is not None), key=lambda each: each[1])

    def _warn(self) -> None:
        """Once for each certificate and each of 30, 14, 7 and 1 days."""
        ending = dict(self._ending())
        for name, days in ending.items():
            if self._warned.get(name) != days:
                log.warning("a certificate ends soon", what=_sentence(name, days))
        self._warned = dict(ending)

    def _complain(self, part: str, error: MeshError) -> None:
        log.error("certificates could not be kept", part=part, code=error.code, reason=str(error), remedy=error.remedy)


def _sentence(name: str, days: int) -> str:
    return f"{name} ends within {days} days" if days else f"{name} has ended"
