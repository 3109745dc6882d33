"""What applying declared objects would change: a pure function of what is wanted and what there is.

A. What is not stated stays as it is; of a new object it is the default.
B. Applied once, the same objects change nothing: `applied` is what there is afterwards, and the tests hold A and B
   against it.
C. What cannot be is refused with the reason and what to do; a refused object is not changed at all.
D. What has ended for ever (a revoked peer or grant, a promoted subscription) is asked for in vain to be as it was, and
   as it is without more: of an object that is to be revoked only that counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from gateway.declared.kinds import FIELDS, Declared, Kind, grant_parts
from mesh.shares import GrantState, PeerState, SubscriptionState

Key = tuple[Kind, str]
Present = Mapping[Key, Declared]
"""What there is, each with all of its fields."""
FINAL = (SubscriptionState.PROMOTING, SubscriptionState.PROMOTED)


class Action(StrEnum):
    CREATE = "create"
    CHANGE = "change"
    KEEP = "keep"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class FieldChange:
    name: str
    before: Any
    """In normal form; None of a new object."""
    after: Any


@dataclass(frozen=True, slots=True)
class Change:
    action: Action
    kind: Kind
    name: str
    fields: Sequence[FieldChange] = ()
    result: Declared | None = field(default=None, repr=False)
    """The whole object afterwards, where it is created or changed."""
    reason: str = ""
    remedy: str = ""

    @property
    def is_effective(self) -> bool:
        return self.action in (Action.CREATE, Action.CHANGE)


def by_key(objects: Iterable[Declared]) -> dict[Key, Declared]:
    return {each.key: each for each in objects}


def difference(wanted: Iterable[Declared], present: Present, now_ms: int) -> list[Change]:
    """One change for each wanted object, in the order in which they are applied."""
    order, known = list(Kind), dict(present)
    changes = []
    for each in sorted(wanted, key=lambda one: order.index(one.kind)):
        change = _RULES[each.kind](each, known, now_ms)
        changes.append(change)
        if change.result is not None:
            known[each.key] = change.result  # a grant may be of a share that stands before it
    return changes


def applied(present: Present, changes: Iterable[Change]) -> dict[Key, Declared]:
    """What there is after `changes`."""
    return {**present, **{each.result.key: each.result for each in changes if each.result is not None}}


def _peer(wanted: Declared, present: Present, now_ms: int) -> Change:
    known, state = present.get(wanted.key), wanted.spec.get("state")
    name = wanted.name
    if known is None:
        if state == PeerState.REVOKED:
            return _keep(wanted)
        pair = f"mesh peer invite --expect-domain {name} -o FILE, or with its invite: mesh peer accept FILE; then again"
        return _refuse(wanted, f"{name} is not paired with, and a file cannot do that", pair)
    before = known.spec["state"]
    if state == PeerState.REVOKED:
        return _only_state(wanted, known)
    if before == PeerState.REVOKED:
        return _as_it_is(wanted, known, f"{name} is revoked, for ever", "take it out of the file")
    if before == PeerState.PENDING and state in (PeerState.ACTIVE, PeerState.SUSPENDED):
        approve = f"compare the phrase, then: mesh peer approve {name}"
        return _refuse(wanted, f"{name} is pending: nobody here has approved it", approve)
    if state == PeerState.PENDING != before:
        return _refuse(wanted, f"{name} is {before} and cannot become pending", "state it as active or suspended")
    return _merge(wanted, known)


def _share(wanted: Declared, present: Present, now_ms: int) -> Change:
    known = present.get(wanted.key)
    if known is not None:
        return _merge(wanted, known)
    if not wanted.spec.get("topics"):
        return _refuse(wanted, f"share {wanted.name} is new and states no topics", "add spec.topics")
    return _create(wanted)


def _grant(wanted: Declared, present: Present, now_ms: int) -> Change:
    known, state = present.get(wanted.key), wanted.spec.get("state")
    if state == GrantState.REVOKED:
        return _keep(wanted) if known is None else _only_state(wanted, known)
    if known is None:
        return _new_grant(wanted, _create(wanted), present, now_ms)
    merged = {**known.spec, **wanted.spec}
    if merged == known.spec:
        return _keep(wanted)
    over = "revoked" if known.spec["state"] == GrantState.REVOKED else "at its end"
    if not _is_over(known.spec, now_ms):
        change = _merge(wanted, known)
        faults = _faulty_terms(merged, now_ms) if change.is_effective else ""
        return _refuse(wanted, faults, "state another spec.end") if faults else change
    if over == "revoked" and state is None:
        return _refuse(wanted, f"grant {wanted.name} is revoked", "to give it anew, add spec.state: active")
    return _new_grant(wanted, _anew(wanted, known), present, now_ms)


def _new_grant(wanted: Declared, made: Change, present: Present, now_ms: int) -> Change:
    assert made.result is not None
    share, peer = grant_parts(wanted.name)
    if (Kind.SHARE, share) not in present:
        return _refuse(wanted, f"there is no share {share}", "declare it, too")
    if (standing := _standing(peer, present)) != PeerState.ACTIVE:
        return _refuse(wanted, f"peer {peer} is {standing}", f"pair with it first; see: mesh peer show {peer}")
    if faults := _faulty_terms(made.result.spec, now_ms):
        return _refuse(wanted, faults, "state another spec.end")
    return made


def _faulty_terms(spec: Mapping[str, Any], now_ms: int) -> str:
    end = spec["end"]
    if end is not None and end <= spec["start"]:
        return "it would end before it begins"
    return "its end has passed" if end is not None and end <= now_ms else ""


def _is_over(spec: Mapping[str, Any], now_ms: int) -> bool:
    return spec["state"] == GrantState.REVOKED or (spec["end"] is not None and spec["end"] <= now_ms)


def _subscription(wanted: Declared, present: Present, now_ms: int) -> Change:
    known, state = present.get(wanted.key), wanted.spec.get("state")
    name = wanted.name
    if known is None:
        return _keep(wanted) if state in FINAL else _new_subscription(wanted, present)
    before = known.spec["state"]
    if before in FINAL:
        if state in FINAL:
            return _keep(wanted)
        return _as_it_is(wanted, known, f"{name} is {before}: its mirror has ended for ever", "take it out of the file")
    if state in FINAL:
        return _refuse(
            wanted, "a file does not end a mirror", f"end it for ever with: mesh subscription promote {name}"
        )
    return _merge(wanted, known)


def _new_subscription(wanted: Declared, present: Present) -> Change:
    for required in ("peer", "share"):
        if required not in wanted.spec:
            return _refuse(
                wanted, f"subscription {wanted.name} is new and states no {required}", f"add spec.{required}"
            )
    peer = wanted.spec["peer"]
    if (standing := _standing(peer, present)) != PeerState.ACTIVE:
        return _refuse(wanted, f"peer {peer} is {standing}", f"pair with it first; see: mesh peer show {peer}")
    return _create(wanted)


def _standing(org: str, present: Present) -> str:
    """The state of a peer, in words."""
    known = present.get((Kind.PEER, org))
    return "not known" if known is None else str(known.spec["state"])


def _create(wanted: Declared) -> Change:
    defaults = {name: each.default for name, each in FIELDS[wanted.kind].items()}
    result = replace(wanted, spec={**defaults, **wanted.spec})
    fields = [FieldChange(name, None, value) for name, value in result.spec.items()]
    return Change(Action.CREATE, wanted.kind, wanted.name, fields, result)


def _anew(wanted: Declared, known: Declared) -> Change:
    """A new object in the place of one that has ended: what is not stated is as it was."""
    result = replace(known, spec={**known.spec, **wanted.spec})
    return Change(Action.CREATE, wanted.kind, wanted.name, _differing(known.spec, result.spec), result)


def _merge(wanted: Declared, known: Declared) -> Change:
    result = replace(known, spec={**known.spec, **wanted.spec})
    fields = _differing(known.spec, result.spec)
    fixed = [each.name for each in fields if FIELDS[wanted.kind][each.name].is_fixed]
    if fixed:
        return _refuse(wanted, f"{' and '.join(fixed)} cannot be changed", _REMEDY_OF_FIXED[wanted.kind])
    if not fields:
        return _keep(wanted)
    return Change(Action.CHANGE, wanted.kind, wanted.name, fields, result)


def _only_state(wanted: Declared, known: Declared) -> Change:
    """D: of an object that is to be revoked only that counts."""
    return _merge(replace(wanted, spec={"state": wanted.spec["state"]}), known)


def _as_it_is(wanted: Declared, known: Declared, reason: str, remedy: str) -> Change:
    """Nothing, where nothing else is stated than there is."""
    return _refuse(wanted, reason, remedy) if {**known.spec, **wanted.spec} != known.spec else _keep(wanted)


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[FieldChange]:
    return [FieldChange(name, before[name], after[name]) for name in after if before[name] != after[name]]


def _keep(wanted: Declared) -> Change:
    return Change(Action.KEEP, wanted.kind, wanted.name)


def _refuse(wanted: Declared, reason: str, remedy: str) -> Change:
    return Change(Action.REFUSE, wanted.kind, wanted.name, reason=reason, remedy=remedy)


_RULES = {Kind.PEER: _peer, Kind.SHARE: _share, Kind.GRANT: _grant, Kind.SUBSCRIPTION: _subscription}
_REMEDY_OF_FIXED = {
    Kind.GRANT: "revoke it, apply, and declare it as active again",
    Kind.SUBSCRIPTION: "declare another subscription, or delete this one first: mesh subscription delete",
}
