"""Patterns of topics: what they match, and what a subscriber makes of the names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ids import IllegalName
from mesh.patterns import IllegalPattern, PatternMapping, checked_pattern, matches

names = st.text("ab._-", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("pattern", "name", "belongs"),
    [
        ("*", "departures", True),
        ("orders.*", "orders.eu", True),
        ("orders.*", "orders.", True),
        ("orders.*", "orders", False),
        ("orders.*", "ordersXeu", False),
        ("*.eu", "orders.eu", True),
        ("order?", "orders", True),
        ("order?", "order", False),
        ("a*b*c", "a-b-b-c", True),
        ("orders", "orders", True),
    ],
)
def test_a_pattern_matches_as_a_shell_does(pattern: str, name: str, belongs: bool) -> None:
    assert matches(pattern, name) is belongs


@pytest.mark.parametrize("name", ["__consumer_offsets", "_mesh.control", "_private", "_"])
def test_no_pattern_matches_what_begins_with_an_underscore(name: str) -> None:
    assert not matches("*", name)
    assert not matches("?*", name)


@pytest.mark.parametrize("name", ["..", ".", "a b", "a/b", "ü", "x" * 250, ""])
def test_no_pattern_matches_what_is_no_topic(name: str) -> None:
    assert not matches("*", name)


@pytest.mark.parametrize("pattern", ["", "a b", "[ab]", "orders/*", "*" * 9, "_x*", "x" * 250])
def test_an_illegal_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(IllegalPattern):
        checked_pattern(pattern)


@pytest.mark.parametrize(
    "pair", [("a", "b*"), ("a*", "b"), ("a**", "b*"), ("a*", "b*c*"), ("a?*", "b*"), ("a*", "b/*")]
)
def test_a_mapping_has_one_star_on_both_sides(pair: tuple[str, str]) -> None:
    with pytest.raises(IllegalPattern):
        PatternMapping.parsed(*pair)


def test_a_mapping_carries_over_what_the_star_stands_for() -> None:
    mapping = PatternMapping.parsed("orders.*.v1", "acme.*")
    assert mapping.destination_of("orders.eu.v1") == "acme.eu"
    assert mapping.destination_of("orders.eu.v2") is None


def test_a_mapping_never_makes_an_internal_name() -> None:
    with pytest.raises(IllegalName):
        PatternMapping.parsed("x*", "_mesh.*").destination_of("xcontrol")


@given(names, names, names)
def test_two_sources_never_get_one_name(before: str, first: str, second: str) -> None:
    mapping = PatternMapping.parsed(f"x{before}*", f"y{before}*")
    one, other = (mapping.destination_of(f"x{before}{middle}") for middle in (first, second))
    assert (one == other) is (first == second)


@given(names)
def test_everything_keeps_its_name(name: str) -> None:
    found = PatternMapping.parsed("*", "*").destination_of(name)
    assert found == (None if name.startswith("_") or name in {".", ".."} else name)
