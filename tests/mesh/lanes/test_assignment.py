from __future__ import annotations

from collections import Counter
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.lanes.assignment import NEVER, Application, Sharing, assign, share_out

names = st.sampled_from([f"gw-{number}" for number in range(1, 8)])
groups = st.sets(names, min_size=1)


@given(groups, st.integers(0, 40), st.lists(st.one_of(names, st.just("")), max_size=50))
def test_every_partition_has_one_owner_and_shares_differ_by_one_at_most(
    gateways: set[str], partitions: int, before: list[str]
) -> None:
    owners = assign(gateways, partitions, before)
    assert len(owners) == partitions
    counts = Counter(owners)
    assert counts.keys() <= gateways
    shares = [counts[name] for name in gateways]
    assert max(shares) - min(shares) <= 1


@given(groups, st.integers(0, 40), st.lists(names, max_size=50))
def test_the_result_does_not_depend_on_who_reckons(gateways: set[str], partitions: int, before: list[str]) -> None:
    assert assign(sorted(gateways), partitions, before) == assign(sorted(gateways, reverse=True), partitions, before)


@given(groups, st.integers(0, 40), st.lists(names, max_size=50))
def test_nothing_moves_while_nobody_comes_or_goes(gateways: set[str], partitions: int, before: list[str]) -> None:
    owners = assign(gateways, partitions, before)
    assert assign(gateways, partitions, owners) == owners


@settings(max_examples=60)
@given(st.sets(st.sampled_from("abc"), min_size=1), st.lists(st.sampled_from("abcd"), max_size=6))
def test_no_balanced_result_moves_fewer(gateways: set[str], before: list[str]) -> None:
    found = assign(gateways, len(before), before)

    def moves(owners: tuple[str, ...]) -> int:
        return sum(new != old for new, old in zip(owners, before, strict=True))

    def is_balanced(owners: tuple[str, ...]) -> bool:
        shares = [owners.count(name) for name in gateways]
        return max(shares) - min(shares) <= 1

    every = [each for each in product(sorted(gateways), repeat=len(before)) if is_balanced(each)]
    assert moves(found) == min(map(moves, every))


def test_a_newcomer_takes_its_share_from_each() -> None:
    before = assign(["gw-1", "gw-2"], 8, ())
    after = assign(["gw-1", "gw-2", "gw-3"], 8, before)
    assert Counter(after) == {"gw-1": 3, "gw-2": 3, "gw-3": 2}
    assert sum(new != old for new, old in zip(after, before, strict=True)) == 2


def test_a_gateway_that_was_restarted_gets_what_it_had() -> None:
    before = ("gw-2", "gw-1", "gw-2", "gw-1")
    sharing = share_out({"a": Application("gw-1", 7, before), "b": Application("gw-2")}, 4)
    assert sharing == Sharing(before)


def test_the_newest_sharing_out_is_the_one_to_keep() -> None:
    members = {"a": Application("gw-1", 3, ("gw-1", "gw-2")), "b": Application("gw-2", 5, ("gw-2", "gw-1"))}
    assert share_out(members, 2).owners == ("gw-2", "gw-1")


def test_of_two_gateways_of_one_name_the_newcomer_is_refused() -> None:
    members = {"a": Application("gw-1", NEVER), "b": Application("gw-1", 4, ("gw-1",)), "c": Application("gw-2")}
    sharing = share_out(members, 2)
    assert sharing.refused == {"a"}
    assert sharing.of("gw-1") == {0}
    assert sharing.of("gw-2") == {1}


def test_a_member_that_cannot_be_read_is_refused_and_the_others_go_on() -> None:
    assert share_out({"a": None, "b": Application("gw-1")}, 1) == Sharing(("gw-1",), frozenset({"a"}))


def test_nobody_runs_anything_where_there_is_nobody() -> None:
    assert share_out({"a": None}, 2) == Sharing(("", ""), frozenset({"a"}))


@given(st.builds(Application, names, st.integers(-1, 1 << 31), st.lists(names).map(tuple)))
def test_applications_go_through_bytes(application: Application) -> None:
    assert Application.from_bytes(application.to_bytes()) == application


@given(st.builds(Sharing, st.lists(names).map(tuple), st.frozensets(st.text(max_size=9))))
def test_sharings_go_through_bytes(sharing: Sharing) -> None:
    assert Sharing.from_bytes(sharing.to_bytes()) == sharing


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"{}", b'{"format": 1}', b'{"format": 1, "owners": [1]}'])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Application.from_bytes(data)
    with pytest.raises(ValueError, match=r"."):
        Sharing.from_bytes(data)
