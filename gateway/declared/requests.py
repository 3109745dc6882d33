"""Which requests to the admin API make a change of a declared object. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

from gateway.declared.difference import Action, Change
from gateway.declared.kinds import Kind, grant_parts
from mesh.shares import GrantState, PeerState, SubscriptionState


class Call(NamedTuple):
    """A POST of the admin API."""

    path: str
    body: dict[str, Any]


def requests(change: Change) -> list[Call]:
    """What makes the change, in order; none for what is kept or refused."""
    if change.result is None:
        return []
    return list(_REQUESTS[change.kind](change, change.result.spec))


def _peer(change: Change, spec: Any) -> Iterator[Call]:
    at, changed = f"/v1/peers/{quote(change.name, safe='')}", _names(change)
    if "addresses" in changed:
        yield Call(f"{at}/addresses", {"addresses": list(spec["addresses"])})
    if "state" in changed:
        verbs = {PeerState.ACTIVE: "resume", PeerState.SUSPENDED: "suspend", PeerState.REVOKED: "revoke"}
        yield Call(f"{at}/{verbs[PeerState(spec['state'])]}", {})


def _share(change: Change, spec: Any) -> Iterator[Call]:
    topics = list(spec["topics"])
    if change.action is Action.CREATE:
        yield Call("/v1/shares", {"name": change.name, "topics": topics})
    else:
        yield Call(f"/v1/shares/{quote(change.name, safe='')}/set", {"topics": topics})


def _grant(change: Change, spec: Any) -> Iterator[Call]:
    share, peer = grant_parts(change.name)
    at = f"/v1/grants/{quote(share, safe='')}/{quote(peer, safe='')}"
    terms = {"end_ms": spec["end"], "groups": spec["groups"], "onward": spec["onward"]}
    if change.action is Action.CREATE:
        yield Call("/v1/grants", {"share": share, "peer": peer, "start_ms": spec["start"], **terms})
    elif spec["state"] == GrantState.REVOKED:
        yield Call(f"{at}/revoke", {})
    else:
        yield Call(f"{at}/terms", terms)


POLICIES = ("on_foreign_write", "on_loss", "on_timestamp", "follow_config")


def _subscription(change: Change, spec: Any) -> Iterator[Call]:
    at, changed = f"/v1/subscriptions/{quote(change.name, safe='')}", _names(change)
    policies = {key: spec[key] for key in POLICIES} | {"groups": list(spec["groups"])}
    if change.action is Action.CREATE:
        pairs = [{"source": source, "destination": destination} for source, destination in spec["topics"]]
        made = {"name": change.name, "peer": spec["peer"], "share": spec["share"], "start": spec["start"]}
        yield Call("/v1/subscriptions", {**made, "topics": pairs, **policies})
        if spec["state"] == SubscriptionState.PAUSED:
            yield Call(f"{at}/pause", {})
        return
    stated = {key: value for key, value in policies.items() if key in changed}
    if stated:
        yield Call(f"{at}/policies", stated)
    if "state" in changed:
        yield Call(f"{at}/{'pause' if spec['state'] == SubscriptionState.PAUSED else 'resume'}", {})


def _names(change: Change) -> set[str]:
    return {each.name for each in change.fields}


_REQUESTS = {Kind.PEER: _peer, Kind.SHARE: _share, Kind.GRANT: _grant, Kind.SUBSCRIPTION: _subscription}
