"""The control state as it is kept: mappings of frozen values in memory, stored whole under their keys.

Strategy: a change is checked against the mappings, stored, then applied, then announced, one change at a time. What may
change, and when, is said by those who build on this: `gateway.invites`, `gateway.registry`.

A. Durable before visible: no reader and no caller sees a change that is not stored.
B. After a put that failed or was cancelled its outcome is unknown: the next change reads the store anew first.
C. No change without an entry in the audit log: it is made after the change took effect, whatever becomes of its caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

from gateway.peer import Peer
from gateway.registry_codec import Entry, decode, encode, key_of
from gateway.revocations import Revocations, takes_trust
from mesh.ids import OrgId, ShareName, SubscriptionName, TopicId
from mesh.origins import TopicOrigin
from mesh.ports import StateStore
from mesh.shares import Grant, Share, Subscription
from mesh.trust.enrolment import InviteRecord

Audited = Callable[[Entry | None, Entry | None], Awaitable[None]]
_E = TypeVar("_E", Peer, InviteRecord, Share, Grant, Subscription, TopicOrigin)
_KINDS = ("peer", "share", "grant", "subscription", "origin")


class RegistryState:
    """Made by `open`. Each change raises `version`."""

    def __init__(self, control: StateStore, lanes: StateStore, revocations: Revocations | None = None) -> None:
        self._control = control
        self._lanes = lanes
        self._revocations = revocations or Revocations()
        self.audited: Audited = _keep_no_audit
        """Called after each change with the value before and after it, before whoever made it goes on."""
        self._unaudited: list[tuple[Entry | None, Entry | None]] = []
        self._lock = asyncio.Lock()
        self._doubtful = True
        self._changed = asyncio.Event()
        self._peers: dict[OrgId, Peer] = {}
        self._invites: dict[str, InviteRecord] = {}
        self._shares: dict[ShareName, Share] = {}
        self._grants: dict[str, Grant] = {}
        self._subscriptions: dict[SubscriptionName, Subscription] = {}
        self._origins: dict[TopicId, TopicOrigin] = {}
        self.version = 0

    def __repr__(self) -> str:
        return (
            f"<Registry version {self.version}: {len(self._peers)} peers, {len(self._shares)} shares, "
            f"{len(self._grants)} grants, {len(self._subscriptions)} subscriptions>"
        )

    @classmethod
    async def open(cls, control: StateStore, lanes: StateStore, revocations: Revocations | None = None) -> Self:
        """The registry as stored in `control`, as far as `revocations` let it be believed; `lanes` is where lanes keep
        their state. Raises RegistryEntryDamaged, RevocationsUnusable.
        """
        registry = cls(control, lanes, revocations)
        async with registry._changing():
            return registry

    # Watching

    async def wait_changed(self, version: int) -> int:
        """The present version, as soon as it is another than `version`."""
        while self.version == version:
            await self._changed.wait()
        return self.version

    # Changing

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[None]:
        """One change at a time, upon a state that is known (B)."""
        async with self._lock:
            if self._doubtful:
                await self._load()
            try:
                yield
            finally:
                await self._audit()

    async def _load(self) -> None:
        before = self._all()
        entries: list[Entry] = []
        for kind in _KINDS:
            stored = await self._control.load(f"{kind}/")
            entries += [decode(key, stored[key]) for key in sorted(stored)]
        self._peers, self._invites, self._shares, self._grants, self._subscriptions = {}, {}, {}, {}, {}
        self._origins = {}
        entries = [self._revocations.believed(each) if isinstance(each, Peer) else each for each in entries]
        self._revocations.record(*(each for each in entries if isinstance(each, Peer)))
        for entry in entries:
            self._apply(entry)
        self._doubtful = False
        self._unaudited.clear()
        if self.version:  # not the first time: a change whose outcome was unknown (B) may be among them
            self._note_differences(before)
        self._announce()

    def _all(self) -> dict[str, Entry]:
        kinds = (self._peers, self._invites, self._shares, self._grants, self._subscriptions, self._origins)
        found: list[Entry] = [entry for kind in kinds for entry in kind.values()]
        return {key_of(entry): entry for entry in found}

    def _note_differences(self, before: Mapping[str, Entry]) -> None:
        after = self._all()
        for key in sorted(before.keys() | after.keys()):
            if before.get(key) != after.get(key):
                self._unaudited.append((before.get(key), after.get(key)))

    async def _audit(self) -> None:
        """Every change goes through `_apply` or `_remove`, so none is made without an entry (C)."""
        while self._unaudited:
            before, after = self._unaudited.pop(0)
            await self.audited(before, after)

    async def _put(self, entry: _E) -> _E:
        if isinstance(entry, Peer):
            return await self._put_peer(entry)
        await self._durable({key_of(entry): encode(entry)})
        self._apply(entry)
        self._announce()
        return entry

    async def _put_peer(self, changed: Peer, *also: InviteRecord) -> Peer:
        before = self._peers.get(changed.org)
        peer = self._revocations.next(before, changed)
        if takes_trust(before, peer):
            self._revocations.record(peer)
        entries: tuple[Peer | InviteRecord, ...] = (peer, *also)
        await self._durable({key_of(entry): encode(entry) for entry in entries})
        self._revocations.record(peer)
        for entry in entries:
            self._apply(entry)
        self._announce()
        return peer

    async def _remove(self, entry: Peer | Subscription) -> None:
        await self._durable({key_of(entry): None})
        mapping, key = self._place(entry)
        del mapping[key]
        self._unaudited.append((entry, None))
        self._announce()

    async def _durable(self, entries: Mapping[str, bytes | None]) -> None:
        self._doubtful = True
        await self._control.put(entries)
        self._doubtful = False

    def _apply(self, entry: Entry) -> None:
        mapping, key = self._place(entry)
        self._unaudited.append((mapping.get(key), entry))
        mapping[key] = entry

    def _place(self, entry: Entry) -> tuple[dict[Any, Any], str]:
        match entry:
            case Peer():
                return self._peers, entry.org
            case InviteRecord():
                return self._invites, entry.id
            case Share():
                return self._shares, entry.name
            case Grant():
                return self._grants, entry.id
            case Subscription():
                return self._subscriptions, entry.name
            case TopicOrigin():
                return self._origins, entry.topic_id

    def _announce(self) -> None:
        self.version += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


async def _keep_no_audit(before: Entry | None, after: Entry | None) -> None:
    """For tests of other things."""
