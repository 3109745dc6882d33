"""The kinds of objects and their fields: one table, from which files are read, written, compared and documented.

A. What a file does not state of an object stays as it is; of a new one it gets the default.
B. An unknown kind, field or value is refused, and the nearest known one is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.config_file import nearest
from gateway.declared import values
from gateway.declared.errors import Unfit
from mesh.ids import OrgId, ShareName, SubscriptionName
from mesh.shares import GrantState, GroupAccess, OnForeignWrite, OnLoss, OnTimestamp, PeerState, SubscriptionState


class Kind(StrEnum):
    """In the order in which they are applied: each needs those before it."""

    PEER = "peer"
    SHARE = "share"
    GRANT = "grant"
    SUBSCRIPTION = "subscription"


@dataclass(frozen=True, slots=True)
class Field:
    parse: Callable[[Any], Any]
    """To the normal form. Raises Unfit."""
    meaning: str
    default: Any = None
    """Of a new object, in normal form."""
    show: Callable[[Any], Any] = values.as_is
    """As it is written; None where it is not."""
    is_fixed: bool = False
    """Only a new object can have another value."""
    is_required: bool = False
    """Of a new object."""


PEER = {
    "state": Field(values.one_of(PeerState), "`active`, `suspended`, or `revoked` for ever", PeerState.ACTIVE.value),
    "addresses": Field(values.addresses, "where it is dialled, host:port; empty: it dials us", ()),
}
SHARE = {
    "topics": Field(
        values.shared_topics,
        "topics and patterns as `orders.*`; those that are not listed are taken out",
        (),
        is_required=True,
    ),
}
GRANT = {
    "state": Field(values.one_of(GrantState), "`active`, or `revoked`", GrantState.ACTIVE.value),
    "start": Field(values.begin, "a time; default: at once", 0, values.shown_begin, is_fixed=True),
    "end": Field(values.moment, "a time, or `never`", None, values.shown_moment),
    "groups": Field(
        values.one_of(GroupAccess),
        "positions of our groups: `none`, `read` or `write`",
        GroupAccess.NONE.value,
    ),
    "onward": Field(values.flag, "whether the peer may share its copies with others", False),
}
SUBSCRIPTION = {
    "peer": Field(values.organization, "whose share it is", is_fixed=True, is_required=True),
    "share": Field(values.share_name, "its name", is_fixed=True, is_required=True),
    "topics": Field(
        values.mapped_topics,
        "source topics and patterns to local names; default: all, under their own names",
        (("*", "*"),),
        values.shown_topics,
        is_fixed=True,
    ),
    "start": Field(values.start_at, "`earliest`, `latest`, `offset:N` or `timestamp:TIME`", "earliest", is_fixed=True),
    "state": Field(values.one_of(SubscriptionState), "`active` or `paused`", SubscriptionState.ACTIVE.value),
    "on_foreign_write": Field(
        values.one_of(OnForeignWrite), "where somebody else writes: `stop` or `report`", OnForeignWrite.STOP.value
    ),
    "on_loss": Field(values.one_of(OnLoss), "where the source lost records: `stop` or `continue`", OnLoss.STOP.value),
    "on_timestamp": Field(
        values.one_of(OnTimestamp),
        "where a timestamp is refused: `stop`, `override` or `quarantine`",
        OnTimestamp.STOP.value,
    ),
    "follow_config": Field(values.flag, "whether topics follow their sources' settings", False),
    "groups": Field(values.groups, "consumer groups whose positions are copied", ()),
}
FIELDS: Mapping[Kind, Mapping[str, Field]] = {
    Kind.PEER: PEER,
    Kind.SHARE: SHARE,
    Kind.GRANT: GRANT,
    Kind.SUBSCRIPTION: SUBSCRIPTION,
}
PARTS = ("kind", "name", "spec")


@dataclass(frozen=True, slots=True)
class Declared:
    """An object, or what is stated of one: fields to their normal values."""

    kind: Kind
    name: str
    """Of a peer its domain, of a grant SHARE@PEER."""
    spec: Mapping[str, Any]

    @property
    def key(self) -> tuple[Kind, str]:
        return self.kind, self.name

    def document(self) -> dict[str, Any]:
        """As it stands in a file."""
        shown = {name: field.show(self.spec[name]) for name, field in FIELDS[self.kind].items() if name in self.spec}
        told = {name: value for name, value in shown.items() if value is not None}
        return {"kind": self.kind.value, "name": self.name, "spec": told}


def grant_parts(name: str) -> tuple[str, str]:
    """Share and peer of a grant's name."""
    share, _, peer = name.partition("@")
    return share, peer


def parse_object(document: object) -> Declared:
    """Raises Unfit."""
    if not isinstance(document, Mapping):
        raise Unfit("an object is a table of kind, name and spec")
    _refuse_unknown(document, PARTS, "an object", "")
    kind = _kind(document.get("kind"))
    name = _named("name", lambda: _name(kind, document.get("name")))
    spec = document.get("spec", {})
    if not isinstance(spec, Mapping):
        raise Unfit("spec must be a table of fields")
    fields = FIELDS[kind]
    _refuse_unknown(spec, fields, f"a {kind}", "spec.")
    return Declared(kind, name, {key: _stated(fields[key], key, spec[key]) for key in fields if key in spec})


def _stated(field: Field, key: str, value: object) -> Any:
    return _named(f"spec.{key}", lambda: field.parse(value))


def _kind(value: object) -> Kind:
    if value is None:
        raise Unfit(f"kind is missing: one of {', '.join(Kind)}")
    return Kind(_named("kind", lambda: values.one_of(Kind)(value)))


def _name(kind: Kind, value: object) -> str:
    if value is None:
        raise Unfit("it is missing")
    if kind is Kind.GRANT:
        share, at, peer = values.text(value).partition("@")
        if not at:
            raise Unfit("of a grant it is SHARE@PEER, such as flights@globex.example")
        return f"{values.checked(ShareName)(share)}@{values.checked(OrgId)(peer)}"
    makes = {Kind.PEER: OrgId, Kind.SHARE: ShareName, Kind.SUBSCRIPTION: SubscriptionName}
    return values.checked(makes[kind])(value)


def _named(place: str, parse: Callable[[], Any]) -> Any:
    try:
        return parse()
    except Unfit as error:
        raise Unfit(f"{place}: {error}") from error


def _refuse_unknown(given: Mapping[Any, Any], known: Mapping[str, Any] | tuple[str, ...], of: str, place: str) -> None:
    for key in given:
        if key not in known:
            near = nearest(str(key), known)
            hint = f"did you mean {near!r}?" if near else f"it has {', '.join(known)}"
            raise Unfit(f"{place}{str(key)[:80]}: {of} has no such field, {hint}")
