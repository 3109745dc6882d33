"""What a change of the control state is called in the audit log. Pure.

The name follows from the value before and the value after, so no change can be made without one. Of values that are
not listed here only the names of the changed fields are told: what is in them may be secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import NamedTuple

from gateway.peer import Peer
from mesh.origins import TopicOrigin, shown
from mesh.shares import Grant, GrantState, GroupAccess, PeerState, Share, Subscription, SubscriptionState
from mesh.trust.enrolment import InviteRecord


class Change(NamedTuple):
    action: str
    object: str
    details: Mapping[str, str]


_PEER_STATES = {
    PeerState.PENDING: "peer.pending",
    PeerState.ACTIVE: "peer.resumed",
    PeerState.SUSPENDED: "peer.suspended",
    PeerState.REVOKED: "peer.revoked",
}
_SUBSCRIPTION_STATES = {  # the final ones are called as they are: subscription.promoting, subscription.promoted
    SubscriptionState.ACTIVE: "subscription.resumed",
    SubscriptionState.PAUSED: "subscription.paused",
}


def change_of(before: object | None, after: object | None) -> Change:
    """`before` is None where the value is new, `after` where it is removed."""
    value = after if after is not None else before
    match value:
        case Peer():
            return _peer(
                before if isinstance(before, Peer) else None, after if isinstance(after, Peer) else None, value
            )
        case InviteRecord():
            details = {"expected": str(value.expected), "strikes": str(value.strikes), **_changed(before, after)}
            return Change(_invite_action(before, value), value.id, details)
        case Share():
            verb = _verb(before, after, "created", "deleted")
            topics = {"topics": ",".join((*value.topics, *value.patterns)), "version": str(value.version)}
            return Change(f"share.{verb}", value.name, topics)
        case Grant():
            return _grant(before, after, value)
        case Subscription():
            action = f"subscription.{_verb(before, after, 'created', 'deleted')}"
            if isinstance(before, Subscription) and after is not None:
                action = _SUBSCRIPTION_STATES.get(value.state, f"subscription.{value.state}")
                if before.state is value.state and before != value:
                    action = "subscription.changed"
            return Change(action, value.name, {"peer": value.peer, "share": value.share, **_changed(before, after)})
        case TopicOrigin():
            details = {"path": shown(value.path), "onward": "yes" if value.onward else "no"}
            return Change("topic.origin-recorded", value.topic, details)
        case _:
            kind = type(value).__name__.lower()
            name = str(getattr(value, "name", "") or getattr(value, "id", "") or "")
            return Change(f"{kind}.{_verb(before, after, 'added', 'removed')}", name, _changed(before, after))


def _peer(before: Peer | None, after: Peer | None, value: Peer) -> Change:
    details = {"state": str(value.state), "bundle_sequence": str(value.bundle.sequence), **_changed(before, after)}
    return Change(_peer_action(before, after), value.org, details)


def _peer_action(before: Peer | None, after: Peer | None) -> str:
    if before is None or after is None:
        return f"peer.{_verb(before, after, 'added', 'removed')}"
    if after.approved and not before.approved:
        return "peer.approved"
    if before.state is PeerState.PENDING and after.state is PeerState.ACTIVE:
        return "peer.activated"
    if before.state is not after.state:
        return _PEER_STATES[after.state]
    if before.bundle != after.bundle:
        return "peer.bundle-changed"
    if before.revoked_before_ms != after.revoked_before_ms or before.denied != after.denied:
        return "peer.leaves-revoked"
    return "peer.changed"


def _invite_action(before: object | None, invite: InviteRecord) -> str:
    if before is None:
        return "invite.created"
    if invite.withdrawn:
        return "invite.withdrawn"
    return "invite.used" if invite.used_ms is not None else "invite.changed"


def _grant(before: object | None, after: object | None, grant: Grant) -> Change:
    if after is None:
        return Change("grant.deleted", grant.id, _terms(grant))
    if grant.state is GrantState.REVOKED:
        return Change("grant.revoked", grant.id, _terms(grant))
    if isinstance(before, Grant) and before.state is GrantState.ACTIVE:
        return Change("grant.changed", grant.id, {**_terms(grant), **_changed(before, after)})
    return Change("grant.created", grant.id, _terms(grant))


def _terms(grant: Grant) -> dict[str, str]:
    end = {} if grant.end_ms is None else {"end_ms": str(grant.end_ms)}
    groups = {} if grant.groups is GroupAccess.NONE else {"groups": str(grant.groups)}
    onward = {"onward": "yes"} if grant.onward else {}
    return {"share": grant.share, "peer": grant.peer, "start_ms": str(grant.start_ms), **end, **groups, **onward}


def _verb(before: object | None, after: object | None, new: str, gone: str) -> str:
    return new if before is None else gone if after is None else "changed"


def _changed(before: object | None, after: object | None) -> dict[str, str]:
    """The names of the fields that differ."""
    if not is_dataclass(before) or not is_dataclass(after) or type(before) is not type(after):
        return {}
    names = [each.name for each in fields(before) if getattr(before, each.name) != getattr(after, each.name)]
    return {"changed": ",".join(names)} if names else {}
