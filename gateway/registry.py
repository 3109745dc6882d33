"""The control state of an organization: peers, shares, grants, subscriptions, over a ControlStore.

Strategy: the whole state is small, so it is held in memory as mappings of frozen values; here stands what may change,
in `gateway.registry_state` how a change is made.

A. A revoked peer stays revoked: no method makes it anything else, removes it or adds it again, nor does an old state
   of the store: see `gateway.revocations`.
B. A destination topic has one writer: no two subscriptions share one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar, cast

from gateway.config_file import nearest
from gateway.invites import InviteBook
from gateway.peer import Peer
from gateway.registry_errors import (
    DestinationTaken,
    GrantAbsent,
    GrantExists,
    GrantOver,
    IllegalTerms,
    LanesNotCleared,
    NotInShare,
    PeerAbsent,
    PeerExists,
    PeerInUse,
    PeerNotActive,
    PeerRevoked,
    ShareAbsent,
    ShareExists,
    SubscriptionAbsent,
    SubscriptionExists,
    SubscriptionPromoted,
    TooManyDenied,
    TopicRepeated,
    TopicsMissing,
)
from gateway.registry_state import deciding
from gateway.stored_lanes import clear_lane, leftovers
from mesh.cluster_errors import StateMoved
from mesh.errors import MeshError
from mesh.ids import OrgId, ShareName, SubscriptionName, TopicId, TopicName
from mesh.origins import TopicOrigin
from mesh.policy import Decision, Request, decide
from mesh.shares import (
    Grant,
    GrantState,
    PeerState,
    Policies,
    Share,
    Subscription,
    SubscriptionState,
    Terms,
    TopicMapping,
)
from mesh.trust.bundle import Bundle
from mesh.trust.enrolment_errors import PeerPending
from mesh.trust.update import BundleStale

__all__ = ["Peer", "Registry"]

_K = TypeVar("_K", bound=str)
_V = TypeVar("_V")
MAX_DENIED = 1000
"""Of one peer: beyond it, its older leaves are better revoked all at once."""


class Registry(InviteBook):
    """Made by `open`. The mappings are read-only views of the present state; each change raises `version`."""

    def decide(self, request: Request, now_ms: int) -> Decision:
        """Whether `request` is allowed by the present state."""
        peer = self._peers.get(request.peer)  # only this one: exports ask before every segment
        states = {request.peer: peer.state} if peer is not None else {}
        return decide(request, self._grants, self._shares, states, now_ms, self._origins)

    # Peers

    @property
    def peers(self) -> Mapping[OrgId, Peer]:
        return MappingProxyType(self._peers)

    def peer(self, org: str) -> Peer:
        """Raises PeerAbsent."""
        return _found(self._peers, org, PeerAbsent)

    @deciding
    async def add_peer(self, peer: Peer) -> Peer:
        """Raises PeerExists, PeerRevoked. Whether its bundle may be trusted is the caller's to check."""
        known = self._peers.get(peer.org)
        if self._revocations.is_revoked(peer.org) or (known is not None and known.state is PeerState.REVOKED):
            raise PeerRevoked(peer.org)
        if known is not None:
            raise PeerExists(peer.org)
        return await self._put(peer)

    @deciding
    async def set_peer_state(self, org: str, state: PeerState) -> Peer:
        """Raises PeerAbsent, PeerRevoked (unless `state` is revoked, too)."""
        peer = self.peer(org)
        if peer.state is state:
            return peer
        if peer.state is PeerState.REVOKED:
            raise PeerRevoked(peer.org)
        if peer.state is PeerState.PENDING and state is not PeerState.REVOKED:
            raise PeerPending(peer.org)  # a resumed peer would be one that nobody has approved
        return await self._put(replace(peer, state=state))

    @deciding
    async def set_peer_addresses(
        self, org: str, addresses: Collection[str], *, public_only: bool | None = None
    ) -> Peer:
        """`public_only` as in `Peer`, None leaves it. Raises PeerAbsent, PeerRevoked."""
        peer = self._not_revoked(org)
        limited = peer.public_only if public_only is None else public_only
        changed = replace(peer, addresses=tuple(addresses), public_only=limited)
        return peer if changed == peer else await self._put(changed)

    @deciding
    async def revoke_leaves(self, org: str, before_ms: int) -> Peer:
        """Leaves of the peer from before a time are dead from now on; an earlier time than before changes nothing.

        Raises PeerAbsent, PeerRevoked.
        """
        peer = self._not_revoked(org)
        if peer.revoked_before_ms is not None and before_ms <= peer.revoked_before_ms:
            return peer
        return await self._put(replace(peer, revoked_before_ms=before_ms))

    @deciding
    async def deny_leaf(self, org: str, key_hash: str) -> Peer:
        """The leaf with that key is dead from now on. Raises PeerAbsent, PeerRevoked, TooManyDenied."""
        peer = self._not_revoked(org)
        if key_hash in peer.denied:
            return peer
        if len(peer.denied) >= MAX_DENIED:
            raise TooManyDenied(peer.org, MAX_DENIED)
        return await self._put(replace(peer, denied=tuple(sorted((*peer.denied, key_hash)))))

    @deciding
    async def set_peer_bundle(self, bundle: Bundle, *, pinned: bool = False) -> Peer:
        """The peer is verified by `bundle` from now on. Whether it may be trusted is the caller's to check.

        `pinned`: an operator compared it, so its sequence may be any. Raises PeerAbsent, PeerRevoked, BundleStale.
        """
        peer = self._not_revoked(bundle.org)
        if bundle.sequence <= peer.bundle.sequence and not pinned:
            raise BundleStale(bundle.org, bundle.sequence, peer.bundle.sequence)
        return await self._put(replace(peer, bundle=bundle))

    @deciding
    async def acknowledge_bundle(self, org: str, sequence: int) -> Peer:
        """The peer holds our own bundle of `sequence` durably. Raises PeerAbsent."""
        peer = self.peer(org)
        if sequence == peer.acknowledged_sequence:
            return peer
        return await self._put(replace(peer, acknowledged_sequence=sequence))

    @deciding
    async def remove_peer(self, org: str) -> None:
        """Raises PeerAbsent, PeerRevoked (it must be remembered), PeerInUse."""
        peer = self._not_revoked(org)
        users = [f"grant {g.id}" for g in self._grants.values() if g.peer == org and g.state is GrantState.ACTIVE]
        users += [f"subscription {s.name}" for s in self._subscriptions.values() if s.peer == org]
        if users:
            raise PeerInUse(peer.org, ", ".join(users))
        await self._remove(peer)

    def _not_revoked(self, org: str) -> Peer:
        peer = self.peer(org)
        if peer.state is PeerState.REVOKED:
            raise PeerRevoked(peer.org)
        return peer

    def _active(self, org: str) -> Peer:
        peer = self._not_revoked(org)
        if peer.state is not PeerState.ACTIVE:
            raise PeerNotActive(peer.org, peer.state)
        return peer

    # Shares and grants

    @property
    def shares(self) -> Mapping[ShareName, Share]:
        return MappingProxyType(self._shares)

    def share(self, name: str) -> Share:
        """Raises ShareAbsent."""
        return _found(self._shares, name, ShareAbsent)

    @deciding
    async def create_share(
        self, name: ShareName, topics: Collection[TopicName], now_ms: int, patterns: Collection[str] = ()
    ) -> Share:
        """Raises ShareExists, TopicsMissing, TopicRepeated. Whether the topics exist is the caller's to check."""
        if name in self._shares:
            raise ShareExists(name)
        if not topics and not patterns:
            raise TopicsMissing(f"share '{name}'")
        _refuse_repeated((*topics, *patterns), "shared")
        return await self._put(Share(name, tuple(topics), created_ms=now_ms, patterns=tuple(patterns)))

    @deciding
    async def add_to_share(self, name: str, topics: Collection[TopicName], patterns: Collection[str] = ()) -> Share:
        """The share in its next version. Raises ShareAbsent, TopicsMissing, TopicRepeated."""
        known = self.share(name)
        changed = replace(known, topics=(*known.topics, *topics), patterns=(*known.patterns, *patterns))
        if (changed.topics, changed.patterns) == (known.topics, known.patterns):
            raise TopicsMissing(f"what to add to share '{known.name}'")
        _refuse_repeated((*changed.topics, *changed.patterns), "shared")
        return await self._put(replace(changed, version=known.version + 1))

    @deciding
    async def remove_from_share(self, name: str, names: Collection[str]) -> Share:
        """The share in its next version, without these topics and patterns. Raises ShareAbsent, NotInShare."""
        known = self.share(name)
        gone = set(names)
        for each in sorted(gone - {*known.topics, *known.patterns}):
            by = known.holds(each)
            raise NotInShare(known.name, each[:300], f"by pattern {by} only" if by else "not at all")
        topics = tuple(topic for topic in known.topics if topic not in gone)
        patterns = tuple(pattern for pattern in known.patterns if pattern not in gone)
        return await self._put(replace(known, topics=topics, patterns=patterns, version=known.version + 1))

    @deciding
    async def set_share(self, name: str, topics: Collection[TopicName], patterns: Collection[str]) -> Share:
        """The share with these topics and patterns and no others, in its next version where they are not the same.

        Raises ShareAbsent, TopicRepeated.
        """
        known = self.share(name)
        _refuse_repeated((*topics, *patterns), "shared")
        if (set(topics), set(patterns)) == (set(known.topics), set(known.patterns)):
            return known
        changed = replace(known, topics=tuple(topics), patterns=tuple(patterns))
        return await self._put(replace(changed, version=known.version + 1))

    @property
    def origins(self) -> Mapping[TopicId, TopicOrigin]:
        """Of our topics that hold copies, by their ids."""
        return MappingProxyType(self._origins)

    @deciding
    async def record_origin(self, origin: TopicOrigin) -> TopicOrigin:
        """What is known of the topic from now on, what was known before included. Raises OriginUnfit."""
        known = self._origins.get(origin.topic_id)
        joined = origin if known is None else known.joined(origin)
        return joined if joined == known else await self._put(joined)

    @property
    def grants(self) -> Mapping[str, Grant]:
        """By `Grant.id`, revoked ones included."""
        return MappingProxyType(self._grants)

    @deciding
    async def create_grant(self, grant: Grant, now_ms: int) -> Grant:
        """A new grant, in the place of a revoked or ended one.

        Raises ShareAbsent, PeerAbsent, PeerRevoked, PeerNotActive, GrantExists, IllegalTerms.
        """
        self.share(grant.share)
        self._active(grant.peer)
        _check_terms(grant, now_ms)
        known = self._grants.get(grant.id)
        if known is not None and known.state is GrantState.ACTIVE and not _ended(known, now_ms):
            raise GrantExists(grant.share, grant.peer)
        return await self._put(grant)

    @deciding
    async def set_terms(self, share: str, peer: str, terms: Terms, now_ms: int) -> Grant:
        """The grant with what `terms` state; lanes under it go on where it still lets them.

        Raises GrantAbsent, GrantOver, IllegalTerms.
        """
        known = _found(self._grants, f"{share}@{peer}", GrantAbsent)
        if known.state is not GrantState.ACTIVE or _ended(known, now_ms):
            over = "revoked" if known.state is GrantState.REVOKED else "at its end"
            raise GrantOver(known.share, known.peer, over)
        changed = terms.applied(known)
        _check_terms(changed, now_ms)
        return known if changed == known else await self._put(changed)

    @deciding
    async def revoke_grant(self, share: str, peer: str) -> Grant:
        """Raises GrantAbsent. A revoked grant stays as it is."""
        grant = _found(self._grants, f"{share}@{peer}", GrantAbsent)
        if grant.state is GrantState.REVOKED:
            return grant
        return await self._put(replace(grant, state=GrantState.REVOKED))

    # Subscriptions

    @property
    def subscriptions(self) -> Mapping[SubscriptionName, Subscription]:
        return MappingProxyType(self._subscriptions)

    def subscription(self, name: str) -> Subscription:
        """Raises SubscriptionAbsent."""
        return _found(self._subscriptions, name, SubscriptionAbsent)

    def check_subscription(self, subscription: Subscription) -> None:
        """What `subscribe` checks, without changing anything; raises what it raises."""
        if subscription.name in self._subscriptions:
            raise SubscriptionExists(subscription.name)
        self._active(subscription.peer)
        if not subscription.topics and not subscription.patterns:
            raise TopicsMissing(f"subscription '{subscription.name}'")
        _refuse_repeated([each.source_topic for each in subscription.topics], "source")
        _refuse_repeated([each.destination_topic for each in subscription.topics], "destination")
        for mapping in subscription.topics:
            self.check_destination(mapping.destination_topic)

    def check_destination(self, topic: str) -> None:
        """Raises DestinationTaken where a subscription copies into the topic already (B)."""
        for other in self._subscriptions.values():
            if any(each.destination_topic == topic for each in other.topics):
                raise DestinationTaken(topic, other.name)

    @deciding
    async def subscribe(self, subscription: Subscription) -> Subscription:
        """Raises SubscriptionExists, PeerAbsent, PeerRevoked, PeerNotActive, TopicsMissing, TopicRepeated,
        DestinationTaken.
        """
        self.check_subscription(subscription)
        # What a deletion that was interrupted, or a lane that ended late, left of an earlier one of this name.
        await self._clear_lanes(subscription.name)
        if await leftovers(self._lanes, subscription.name):
            raise LanesNotCleared(subscription.name)
        return await self._put(subscription)

    @deciding
    async def follow_topic(self, name: str, mapping: TopicMapping) -> Subscription:
        """The subscription, now of this topic too.

        Raises SubscriptionAbsent, SubscriptionPromoted, DestinationTaken.
        """
        known = self._not_final(name)
        if known.destination_of(mapping.source_topic) is not None:
            return known
        self.check_destination(mapping.destination_topic)
        return await self._put(replace(known, topics=(*known.topics, mapping)))

    @deciding
    async def set_policies(self, name: str, policies: Policies) -> Subscription:
        """The subscription with what `policies` states; progress stays.

        Raises SubscriptionAbsent, SubscriptionPromoted.
        """
        known = self._not_final(name)
        changed = replace(known, **policies.stated)
        return known if changed == known else await self._put(changed)

    def _not_final(self, name: str) -> Subscription:
        known = self.subscription(name)
        if known.state.is_final:
            raise SubscriptionPromoted(known.name, known.state)
        return known

    async def pause_subscription(self, name: str) -> Subscription:
        return await self._set_subscription_state(name, SubscriptionState.PAUSED)

    async def resume_subscription(self, name: str) -> Subscription:
        return await self._set_subscription_state(name, SubscriptionState.ACTIVE)

    @deciding
    async def _set_subscription_state(self, name: str, state: SubscriptionState) -> Subscription:
        """Raises SubscriptionAbsent, SubscriptionPromoted.

        Also announced where nothing changes: resuming restarts what stands still.
        """
        return await self._put(replace(self._not_final(name), state=state))

    @deciding
    async def begin_promotion(self, name: str) -> Subscription:
        """From here there is no way back; one that began earlier stays as it is. Raises SubscriptionAbsent."""
        known = self.subscription(name)
        return known if known.state.is_final else await self._put(_with_state(known, SubscriptionState.PROMOTING))

    @deciding
    async def finish_promotion(self, name: str) -> Subscription:
        """Every writer is shut out. Raises SubscriptionAbsent."""
        known = self.subscription(name)
        assert known.state.is_final, known
        return await self._put(_with_state(known, SubscriptionState.PROMOTED))

    @deciding
    async def delete_subscription(self, name: str) -> None:
        """The subscription and its lanes' state; the destination topics stay. Raises SubscriptionAbsent."""
        await self._remove(self.subscription(name))
        await self._clear_lanes(name)

    async def _clear_lanes(self, name: str) -> None:
        """Of the lanes that this gateway may write of; what is left is cleared by whoever has claimed it."""
        for lane in await leftovers(self._lanes, name):
            with suppress(StateMoved):
                await clear_lane(self._lanes, lane)


def _with_state(subscription: Subscription, state: SubscriptionState) -> Subscription:
    return replace(subscription, state=state)


def _found(mapping: Mapping[_K, _V], name: str, absent: Callable[[str, str], MeshError]) -> _V:
    found = mapping.get(cast(_K, name))  # ids are strings with a checked form: they hash and compare as such
    if found is None:
        raise absent(name[:300], nearest(name, mapping))
    return found


def _refuse_repeated(topics: Iterable[str], side: str) -> None:
    seen: set[str] = set()
    for topic in topics:
        if topic in seen:
            raise TopicRepeated(topic, side)
        seen.add(topic)


def _check_terms(grant: Grant, now_ms: int) -> None:
    if grant.end_ms is not None and grant.end_ms <= grant.start_ms:
        raise IllegalTerms("it would end before it begins")
    if _ended(grant, now_ms):
        raise IllegalTerms("its end has passed")


def _ended(grant: Grant, now_ms: int) -> bool:
    return grant.end_ms is not None and grant.end_ms <= now_ms
