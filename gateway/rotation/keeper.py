"""Certificates while the gateway runs: one loop that looks at leaf, roots and rotation, and does what is due.

Strategy: each turn asks pure rules (`certs.rotation`) and carries out what is due, durable before it is visible; a
gateway that is killed in between finds on its next start what is left to do. A turn comes at an interval, and at once
when a peer acknowledges, connects, or an operator asks. Turns and commands exclude each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Protocol

import structlog

from certs import rotation as rules
from certs.own import ELSEWHERE, OwnTrust, load_own
from certs.profiles import DEFAULT_LIFETIMES, Lifetimes
from gateway.metrics import Metrics
from gateway.registry import Registry
from gateway.rotation.ca import CaRotation, OwnState, Record
from gateway.rotation.exchange import AskedSession, BundleExchange
from gateway.rotation.leaf import LeafKeeper
from gateway.rotation.outreach import Outreach
from gateway.rpc.identity import Identity
from mesh.errors import MeshError
from mesh.ids import OrgId

log = structlog.get_logger()


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
        record: Record | None = None,
    ) -> None:
        self.poll_s = settings.poll_s
        self._registry = registry
        self._hub = hub
        self._now = now
        self._metrics = metrics or Metrics()
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._warned: dict[str, int] = {}
        self._complaints: dict[str, str] = {}
        self._record = record or _unrecorded
        state = self._state = OwnState(settings.keys, own, self._record)
        self.leaf = LeafKeeper(settings.keys, identity, lambda: state.own, now, random, settings.lifetimes)
        exchange = BundleExchange(registry, lambda: state.own.bundle, lambda: self.leaf.identity, now)
        self._exchange = exchange
        self._outreach = Outreach(registry, exchange, hub.ask, now)
        self._ca = CaRotation(state, self.leaf, self._outreach, self._show, now, settings.lifetimes)
        for kind, answer in exchange.answers().items():
            hub.answer_with(kind, answer)
        hub.on_open(self._greet)

    def __repr__(self) -> str:
        return f"<CertificateKeeper {self._state.own.bundle} {self.leaf!r}>"

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
        record: Record | None = None,
    ) -> CertificateKeeper:
        """Raises OwnTrustDamaged, CertificateFileUnreadable, BundleRefused."""
        own = await asyncio.to_thread(load_own, settings.keys, identity.id.org, now())
        return cls(settings, own, identity, registry, hub, now=now, random=random, metrics=metrics, record=record)

    @property
    def identity(self) -> Identity:
        return self.leaf.identity

    @property
    def own(self) -> OwnTrust:
        return self._state.own

    # --- running

    async def run(self) -> None:
        """Do what is due until cancelled."""
        while True:
            self._wake.clear()
            version = self._registry.version
            await self._turn()
            with suppress(TimeoutError):
                async with asyncio.timeout(self.poll_s):
                    await self._woken(version)

    async def _woken(self, version: int) -> None:
        async with asyncio.TaskGroup() as group:
            waits = [group.create_task(self._registry.wait_changed(version)), group.create_task(self._wake.wait())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    async def _turn(self) -> None:
        """One look at everything. What fails is logged once, and tried again in the next turn."""
        parts = {
            "leaf": self._look_at_leaf,
            "roots": self._ca.look_at_roots,
            "bundle": self._push,
            "rotation": self._ca.go_on,
        }
        for name, part in parts.items():
            complaint = ""
            try:
                async with self._lock:
                    await part()
            except MeshError as error:
                complaint = str(error)
                if self._complaints.get(name) != complaint:
                    self._metrics.certificate_refusals.inc()
                    log.warning("certificates need a person", what=name, code=error.code, reason=complaint)
            self._complaints[name] = complaint
        self._warn()

    async def _push(self) -> None:
        if self.own.issuing != ELSEWHERE:  # what we hold may be older than what peers have acknowledged
            await self._outreach.push(self.own.bundle.sequence)

    async def _look_at_leaf(self) -> None:
        """Raises OperatorError."""
        faulty = self.leaf.fault
        found = await asyncio.to_thread(self.leaf.poll)
        if self.leaf.fault and self.leaf.fault != faulty:
            self._metrics.certificate_refusals.inc()
            log.error("new certificate files are refused, the one before stays in use", reason=self.leaf.fault)
        if found is None and await asyncio.to_thread(lambda: self.leaf.is_due):
            found = await asyncio.to_thread(self.leaf.renew)
        if found is not None:
            await self._show()

    async def _show(self) -> None:
        leaf = self.identity.leaf
        until = leaf.not_valid_after_utc.isoformat()
        log.info("the gateway's certificate has changed", until=until)
        self._metrics.leaf_renewals.inc()
        self._hub.update_identity(self.identity)
        await self._record("leaf.renewed", str(self.identity.id), serial=f"{leaf.serial_number:x}", until=until)

    async def _greet(self, session: AskedSession) -> None:
        await self._exchange.greet(session)
        assert session.peer is not None
        self._outreach.connected(session.peer.org)
        self._wake.set()

    # --- gateway.services.Certificates

    async def rotate_leaf(self) -> Mapping[str, object]:
        """A new leaf with a new key, now. Raises AuthorityAbsent, AuthorityExpired, StoreFailed."""
        async with self._lock:
            await asyncio.to_thread(self.leaf.renew)
            await self._show()
        return self.status()

    def plan(self) -> Mapping[str, object]:
        return self._ca.plan()

    async def start(self, deadline: timedelta | None, *, emergency: bool) -> Mapping[str, object]:
        async with self._lock:
            await self._ca.start(deadline, emergency=emergency)
        self._wake.set()
        return self.status()

    async def leave(self, orgs: Collection[OrgId]) -> Mapping[str, object]:
        async with self._lock:
            await self._ca.leave(orgs)
        self._wake.set()
        return self.status()

    def status(self) -> Mapping[str, object]:
        leaf, bundle = self.identity.leaf, self.own.bundle
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
                "sequence": bundle.sequence,
                "roots": [
                    {
                        "subject": root.subject.rfc4514_string(),
                        "begin": root.not_valid_before_utc.isoformat(),
                        "end": root.not_valid_after_utc.isoformat(),
                    }
                    for root in bundle.anchors()
                ],
            },
            "peers": self._outreach.states(),
            "rotation": self._ca.status(),
            "warnings": self.warnings(),
        }

    # --- for health, metrics and the log

    @property
    def has_expired(self) -> bool:
        return self._now() >= self.identity.leaf.not_valid_after_utc

    def expiry_s(self) -> dict[str, float]:
        """Seconds until each of our certificates ends, by subject."""
        now = self._now()
        found = {str(self.identity.id): (self.identity.leaf.not_valid_after_utc - now).total_seconds()}
        for root in self.own.bundle.anchors():
            found[root.subject.rfc4514_string()] = (root.not_valid_after_utc - now).total_seconds()
        return found

    def warnings(self) -> list[str]:
        """What will need a person, or does: certificates that end, soonest first, and what could not be done."""
        ending = [f"{name} {_ends(days)}" for name, days in sorted(self._ending().items(), key=lambda each: each[1])]
        return ending + [complaint for complaint in self._complaints.values() if complaint]

    def _ending(self) -> dict[str, int]:
        now, leaf = self._now(), self.identity.leaf
        dates = {"the gateway's certificate": (leaf.not_valid_before_utc, leaf.not_valid_after_utc)}
        for root in self.own.bundle.anchors():
            dates[f"the CA {root.subject.rfc4514_string()}"] = (root.not_valid_before_utc, root.not_valid_after_utc)
        found = {name: rules.warning_days(begin, end, now) for name, (begin, end) in dates.items()}
        return {name: days for name, days in found.items() if days is not None}

    def _warn(self) -> None:
        """Once for each certificate and each of 30, 14, 7 and 1 days."""
        ending = self._ending()
        for name, days in ending.items():
            if self._warned.get(name) != days:
                log.warning("a certificate ends soon", what=name, reason=_ends(days))
        self._warned = ending


async def _unrecorded(action: str, object_: str, **details: str) -> None:
    """Where there is no audit log."""


def _ends(days: int) -> str:
    return f"ends within {days} day{'s' if days > 1 else ''}" if days else "has ended"
