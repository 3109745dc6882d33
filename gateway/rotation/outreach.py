"""Reaching peers: our bundle to each that has not acknowledged it, a probe to each before issuing switches.

One peer that does not answer holds nobody else up, and is asked again only now and then, or when it connects anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

import structlog

from certs.rotation import PeerProgress
from gateway.peers.errors import PeerUnreachable
from gateway.registry import Registry
from gateway.rotation.exchange import Ask, BundleExchange
from mesh.errors import MeshError
from mesh.ids import OrgId
from mesh.shares import PeerState

log = structlog.get_logger()

ASK_EVERY = timedelta(minutes=1)
"""A peer that did not take our bundle, or would refuse the new root, has to be mended by a person."""


class Outreach:
    def __init__(self, registry: Registry, exchange: BundleExchange, ask: Ask, now: Callable[[], datetime]) -> None:
        self._registry = registry
        self._exchange = exchange
        self._ask = ask
        self._now = now
        self._asked: dict[OrgId, tuple[int, datetime]] = {}
        self._accepts: dict[OrgId, bool] = {}
        self.refusals: dict[OrgId, str] = {}
        """Why a peer did not take our bundle or our probe, the last time that it was asked."""

    def progress(self) -> dict[OrgId, PeerProgress]:
        """Of the active peers."""
        return {
            org: PeerProgress(peer.acknowledged_sequence, self._accepts.get(org))
            for org, peer in self._registry.peers.items()
            if peer.state is PeerState.ACTIVE
        }

    def forget(self) -> None:
        """A new rotation: verdicts on an earlier root say nothing about the next."""
        self._accepts, self._asked = {}, {}

    def connected(self, org: OrgId) -> None:
        """A new link: whatever it was asked before, it may be asked again."""
        self._asked.pop(org, None)
        self.refusals.pop(org, None)

    async def push(self, sequence: int) -> None:
        """Our bundle, which has that sequence, to each active peer that has not acknowledged it."""
        behind = [org for org, peer in self.progress().items() if peer.acknowledged != sequence]
        async with asyncio.TaskGroup() as group:
            for org in behind:
                if self._may_ask(org, sequence):
                    group.create_task(self._push(org))

    async def rehearse(self, orgs: Iterable[OrgId], leaf: bytes) -> None:
        """Ask each whether it would accept `leaf` (DER)."""
        async with asyncio.TaskGroup() as group:
            for org in orgs:
                group.create_task(self._probe(org, leaf))

    async def _push(self, org: OrgId) -> None:
        try:
            await self._exchange.push(self._ask, org)
        except MeshError as error:
            self._note(org, str(error), error.code)
        else:
            self.refusals.pop(org, None)

    async def _probe(self, org: OrgId, leaf: bytes) -> None:
        try:
            verdict = await self._exchange.probe(self._ask, org, leaf)
        except MeshError as error:
            self._note(org, str(error), error.code)
            return
        self._accepts[org] = verdict.accepted
        if verdict.accepted:
            self.refusals.pop(org, None)
        else:
            self._note(org, f"it would refuse the new root: {verdict.detail}", verdict.reason)

    def _may_ask(self, org: OrgId, sequence: int) -> bool:
        asked, at = self._asked.get(org, (0, self._now()))
        if asked == sequence and self._now() < at + ASK_EVERY:
            return False
        self._asked[org] = (sequence, self._now())
        return True

    def _note(self, org: OrgId, why: str, code: str) -> None:
        if self.refusals.get(org) != why:  # a peer that is away for days is one line, not thousands
            # One that has no link yet, or is away, is told on its next link.
            level = logging.INFO if code == PeerUnreachable.code else logging.WARNING
            log.log(level, "a peer does not take our bundle or probe", peer=str(org), code=code, reason=why)
        self.refusals[org] = why

    def states(self) -> list[Mapping[str, object]]:
        """Of the active peers, as an operator sees them."""
        return [
            {"peer": org, "acknowledged": peer.acknowledged, "refusal": self.refusals.get(org, "")}
            for org, peer in sorted(self.progress().items())
        ]
