"""The control state as it is kept: mappings of frozen values in memory, stored whole under their keys.

Strategy: a change is checked against the mappings, stored, then applied, then announced, one change at a time. What may
change, and when, is said by those who build on this: `gateway.invites`, `gateway.registry`. Where another gateway was
quicker, the store refuses the change; what that gateway did is applied, and the change is decided again (`deciding`).

A. Durable before visible: no reader and no caller sees a change that is not stored.
B. After a put that failed or was cancelled its outcome is unknown: the next change reads the store anew first.
C. No change without an entry in the audit log: it is made after the change took effect, whatever becomes of its caller,
   and by the gateway that made the change, not by those that follow.
D. What another gateway changed is applied as soon as the store tells of it (`follow`). What nobody put stays the very
   same object.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import structlog

from gateway.failpoints import Place, reach
from gateway.peer import Peer
from gateway.registry_codec import Entry, decode, encode, key_of
from gateway.revocations import Revocations, takes_trust
from gateway.waking import Waking
from mesh.cluster_errors import StateMoved
from mesh.errors import MeshError
from mesh.ids import OrgId, ShareName, SubscriptionName, TopicId
from mesh.origins import TopicOrigin
from mesh.ports import ControlStore, StateStore
from mesh.shares import Grant, Share, Subscription
from mesh.trust.enrolment import InviteRecord

Audited = Callable[[Entry | None, Entry | None], Awaitable[None]]
_E = TypeVar("_E", Peer, InviteRecord, Share, Grant, Subscription, TopicOrigin)
_S = TypeVar("_S", bound="RegistryState")
_P = ParamSpec("_P")
_R = TypeVar("_R")
_KINDS = ("peer", "share", "grant", "subscription", "origin")
DECISIONS = 20
"""How often a change is decided again because other gateways were quicker."""
RETRY_S = 5.0
"""Between two looks at a state that cannot be read."""

log = structlog.get_logger()


def deciding(
    method: Callable[Concatenate[_S, _P], Awaitable[_R]],
) -> Callable[Concatenate[_S, _P], Coroutine[Any, Any, _R]]:
    """For a method that decides on the present state and puts what follows from it, in one put at most.

    It runs alone, and again where another gateway changed the state meanwhile. Raises StateMoved where that never ends.
    """

    @wraps(method)
    async def decided(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        for _ in range(DECISIONS - 1):
            with suppress(StateMoved):
                async with self._changing():
                    return await method(self, *args, **kwargs)
        async with self._changing():
            return await method(self, *args, **kwargs)

    return decided


class RegistryState:
    """Made by `open`. Each change raises `version`."""

    def __init__(self, control: ControlStore, lanes: StateStore, revocations: Revocations | None = None) -> None:
        self._control = control
        self._lanes = lanes
        self._revocations = revocations or Revocations()
        self.audited: Audited = _keep_no_audit
        """Called after each change with the value before and after it, before whoever made it goes on."""
        self._unaudited: list[tuple[Entry | None, Entry | None]] = []
        self._lock = asyncio.Lock()
        self._seen = 0
        """The store's version up to which everything is applied."""
        self._doubtful = True
        self._doubts: Mapping[str, bytes | None] = {}
        """What was put without an answer, and may be or come there: if it does, the change was ours (C)."""
        self._failure: MeshError | None = None
        self._changed = Waking()
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
    async def open(cls, control: ControlStore, lanes: StateStore, revocations: Revocations | None = None) -> Self:
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

    async def follow(self) -> None:
        """Apply what other gateways change, until cancelled."""
        while True:
            await self._control.wait_changed(self._seen)
            try:
                async with self._changing():
                    self._failure = None
            except MeshError as error:
                if self._failure is None:
                    reason, remedy = str(error), error.remedy
                    log.error("control state cannot be read", code=error.code, reason=reason, remedy=remedy)  # noqa: TRY400
                self._failure = error
                await asyncio.sleep(RETRY_S)

    def trouble(self) -> str:
        """Why what other gateways changed is not applied, empty where all is well: a health check."""
        return "" if self._failure is None else f"the control state cannot be read: {self._failure}"

    # Changing

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[None]:
        """One change at a time, upon a state that is known (B)."""
        async with self._lock:
            if self._doubtful or self._control.version != self._seen:
                await self._load()
            try:
                yield
            finally:
                await self._audit()

    async def _load(self) -> None:
        """Apply what was put since the last look; of it only what we put ourselves, in doubt, is ours to audit."""
        version, stored = await self._control.changes_since(self._seen)
        found = {key: value for key, value in sorted(stored.items()) if key.split("/", 1)[0] in _KINDS}
        after = {key: decode(key, value) for key, value in found.items() if value is not None}
        believed = {key: self._revocations.believed(each) for key, each in after.items() if isinstance(each, Peer)}
        self._revocations.record(*believed.values())
        before = self._all()
        for key in found:
            entry = believed.get(key) or after.get(key)
            self._replace(before.get(key), entry)
            ours = key in self._doubts and self._doubts[key] == found[key]
            if ours and before.get(key) != entry:
                self._unaudited.append((before.get(key), entry))
        if version != self._seen:
            self._doubts = {}  # something is where it would have come: either it, or it never will be
        is_first, self._seen, self._doubtful = not self.version, version, False
        if found or is_first:
            self._announce()

    def _all(self) -> dict[str, Entry]:
        kinds = (self._peers, self._invites, self._shares, self._grants, self._subscriptions, self._origins)
        found: list[Entry] = [entry for kind in kinds for entry in kind.values()]
        return {key_of(entry): entry for entry in found}

    def _replace(self, before: Entry | None, after: Entry | None) -> None:
        if after is not None:
            mapping, key = self._place(after)
            mapping[key] = after
        elif before is not None:
            mapping, key = self._place(before)
            del mapping[key]

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
        earlier, self._doubts = self._doubts, {**self._doubts, **entries}
        self._doubtful = True
        try:
            reach(Place.CONTROL)
            self._seen = await self._control.change(entries, self._seen)
            reach(Place.CONTROL_STORED)
        except StateMoved:
            self._doubts = earlier
            raise
        self._doubtful, self._doubts = False, {}

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
        self._changed.wake()


async def _keep_no_audit(before: Entry | None, after: Entry | None) -> None:
    """For tests of other things."""
