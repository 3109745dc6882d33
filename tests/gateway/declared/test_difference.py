"""What applying declared objects would change, as laws over whatever there is and whatever is wanted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.declared import documents
from gateway.declared.difference import Action, Change, applied, by_key, difference
from gateway.declared.kinds import FIELDS, Declared, Kind
from gateway.declared.requests import requests

NOW_MS = 100
ORGS = ("globex.example", "initech.example")
SHARES = ("flights", "orders")

subsets = st.lists(st.sampled_from(["a.example:1", "b.example:2"]), unique=True).map(tuple)
topics = st.lists(st.sampled_from(["arrivals", "departures", "orders.*"]), unique=True).map(lambda t: tuple(sorted(t)))
mappings = st.sampled_from([(("*", "*"),), (("departures", "copy"),), (("departures", "copy"), ("orders.*", "x.*"))])
groups = st.sampled_from([(), ("billing",), ("billing", "search")])
VALUES: dict[Kind, dict[str, st.SearchStrategy[Any]]] = {
    Kind.PEER: {"state": st.sampled_from(["pending", "active", "suspended", "revoked"]), "addresses": subsets},
    Kind.SHARE: {"topics": topics},
    Kind.GRANT: {
        "state": st.sampled_from(["active", "revoked"]),
        "start": st.sampled_from([0, 40]),
        "end": st.sampled_from([None, 30, 60, 500]),
        "groups": st.sampled_from(["none", "read", "write"]),
        "onward": st.booleans(),
    },
    Kind.SUBSCRIPTION: {
        "peer": st.sampled_from(ORGS),
        "share": st.sampled_from(SHARES),
        "topics": mappings,
        "start": st.sampled_from(["earliest", "offset:7"]),
        "state": st.sampled_from(["active", "paused", "promoting", "promoted"]),
        "on_foreign_write": st.sampled_from(["stop", "report"]),
        "on_loss": st.sampled_from(["stop", "continue"]),
        "on_timestamp": st.sampled_from(["stop", "override", "quarantine"]),
        "follow_config": st.booleans(),
        "groups": groups,
    },
}
NAMES = {
    Kind.PEER: ORGS,
    Kind.SHARE: SHARES,
    Kind.GRANT: tuple(f"{share}@{org}" for share in SHARES for org in ORGS),
    Kind.SUBSCRIPTION: ("flights", "orders-of-globex"),
}
few = settings(max_examples=50)
KEYS = [(kind, name) for kind, names in NAMES.items() for name in names]


@st.composite
def objects(draw: st.DrawFn, *, whole: bool) -> list[Declared]:
    """`whole`: with all of their fields, as there are; otherwise with what somebody states."""
    found = []
    for kind, name in draw(st.lists(st.sampled_from(KEYS), unique=True)):
        fields = VALUES[kind]
        stated = list(fields) if whole else draw(st.lists(st.sampled_from(list(fields)), unique=True))
        found.append(Declared(kind, name, {field: draw(fields[field]) for field in fields if field in stated}))
    return found


def effective(changes: list[Change]) -> list[Change]:
    return [change for change in changes if change.is_effective]


@few
@given(objects(whole=True))
def test_what_was_exported_changes_nothing_when_it_is_applied(present: list[Declared]) -> None:
    changes = difference(present, by_key(present), NOW_MS)

    assert {change.action for change in changes} <= {Action.KEEP}


@few
@given(objects(whole=True), objects(whole=False))
def test_applied_again_the_same_objects_change_nothing(present: list[Declared], wanted: list[Declared]) -> None:
    first = difference(wanted, by_key(present), NOW_MS)
    after = applied(by_key(present), first)
    second = difference(wanted, after, NOW_MS)

    assert effective(second) == []
    assert [change.name for change in second if change.action is Action.REFUSE] == [
        change.name for change in first if change.action is Action.REFUSE
    ]
    assert applied(after, second) == after


@few
@given(objects(whole=True), objects(whole=False))
def test_what_is_stated_holds_afterwards_and_what_is_not_stays(present: list[Declared], wanted: list[Declared]) -> None:
    before, stated = by_key(present), by_key(wanted)

    for change in effective(difference(wanted, before, NOW_MS)):
        key = (change.kind, change.name)
        said, result = stated[key].spec, change.result
        assert result is not None
        if said.get("state") == "revoked":  # nothing else counts of what ends
            said = {"state": "revoked"}
        was = before[key].spec if key in before else {name: field.default for name, field in FIELDS[key[0]].items()}
        assert result.spec == {**was, **said}
        assert requests(change)


@few
@given(objects(whole=True), objects(whole=False))
def test_what_is_refused_says_why_and_what_to_do_and_asks_for_nothing(
    present: list[Declared], wanted: list[Declared]
) -> None:
    for change in difference(wanted, by_key(present), NOW_MS):
        if not change.is_effective:
            assert requests(change) == []
            assert bool(change.reason) == bool(change.remedy) == (change.action is Action.REFUSE)


@few
@given(objects(whole=True), st.sampled_from(["yaml", "toml"]))
def test_what_is_written_is_read_as_the_same_objects(present: list[Declared], form: documents.Form) -> None:
    text = documents.written(present, form)

    found = documents.read(text, "file", form)

    assert [each.key for each in found] == [each.key for each in present]
    for each, there in zip(found, present, strict=True):
        begun = {"start": 0} if there.kind is Kind.GRANT else {}
        assert {**begun, **each.spec} == there.spec


def peer(**spec: Any) -> Declared:
    return Declared(Kind.PEER, "globex.example", {"state": "active", "addresses": (), **spec})


def grant(**spec: Any) -> Declared:
    whole = {"state": "active", "start": 0, "end": None, "groups": "none", "onward": False}
    return Declared(Kind.GRANT, "flights@globex.example", {**whole, **spec})


def share() -> Declared:
    return Declared(Kind.SHARE, "flights", {"topics": ("departures",)})


def only(wanted: Declared, *present: Declared) -> Change:
    (change,) = difference([wanted], by_key(present), NOW_MS)
    return change


def stated(kind: Kind, name: str, **spec: Any) -> Declared:
    return Declared(kind, name, spec)


def test_a_peer_that_is_not_paired_with_is_refused_and_the_way_to_pair_is_named() -> None:
    change = only(stated(Kind.PEER, "globex.example", addresses=("globex.example:7463",)))

    assert change.action is Action.REFUSE
    assert "not paired" in change.reason
    assert "mesh peer invite --expect-domain globex.example" in change.remedy


def test_a_pending_peer_is_approved_by_a_person_only() -> None:
    change = only(stated(Kind.PEER, "globex.example", state="active"), peer(state="pending"))

    assert "mesh peer approve globex.example" in change.remedy


def test_a_revoked_peer_never_comes_back() -> None:
    assert only(stated(Kind.PEER, "globex.example", state="active"), peer(state="revoked")).action is Action.REFUSE
    assert only(stated(Kind.PEER, "globex.example"), peer(state="revoked")).action is Action.KEEP


def test_a_file_that_says_nothing_of_a_state_does_not_undo_what_an_operator_decided() -> None:
    change = only(stated(Kind.PEER, "globex.example", addresses=("a.example:1",)), peer(state="suspended"))
    assert change.result == peer(state="suspended", addresses=("a.example:1",))
    kept = only(stated(Kind.GRANT, "flights@globex.example"), grant(state="revoked"), share(), peer())
    assert kept.action is Action.KEEP


def test_a_revoked_grant_is_given_anew_only_where_the_file_says_active() -> None:
    present = (grant(state="revoked"), share(), peer())

    assert only(stated(Kind.GRANT, "flights@globex.example", onward=True), *present).action is Action.REFUSE
    again = only(stated(Kind.GRANT, "flights@globex.example", state="active", onward=True), *present)
    assert again.action is Action.CREATE
    assert again.result == grant(onward=True)


def test_a_grant_needs_its_share_and_an_active_peer() -> None:
    wanted = stated(Kind.GRANT, "flights@globex.example")

    assert "there is no share flights" in only(wanted, peer()).reason
    assert "peer globex.example is not known" in only(wanted, share()).reason
    assert "peer globex.example is suspended" in only(wanted, share(), peer(state="suspended")).reason
    assert only(wanted, share(), peer()).action is Action.CREATE


def test_objects_of_one_file_need_each_other_in_any_order() -> None:
    changes = difference([stated(Kind.GRANT, "flights@globex.example"), share()], by_key([peer()]), NOW_MS)

    assert [(change.action, change.kind) for change in changes] == [
        (Action.CREATE, Kind.SHARE),
        (Action.CREATE, Kind.GRANT),
    ]


WHOLE = {name: each.default for name, each in FIELDS[Kind.SUBSCRIPTION].items()}
MIRROR = Declared(Kind.SUBSCRIPTION, "flights", {**WHOLE, "peer": "globex.example", "share": "flights"})


@pytest.mark.parametrize(
    ("field", "value"),
    [("peer", "initech.example"), ("share", "orders"), ("start", "latest"), ("topics", (("a", "b"),))],
)
def test_what_a_subscription_copies_is_not_changed_under_it(field: str, value: object) -> None:
    change = only(stated(Kind.SUBSCRIPTION, "flights", **{field: value}), MIRROR, peer())

    assert change.action is Action.REFUSE
    assert change.reason == f"{field} cannot be changed"


def test_a_mirror_is_not_ended_by_a_file() -> None:
    wanted = stated(Kind.SUBSCRIPTION, "flights", state="promoted", peer="globex.example", share="flights")

    assert only(wanted, peer()).action is Action.KEEP  # there is nothing to be ended
    assert "mesh subscription promote" in only(wanted, MIRROR, peer()).remedy
