from __future__ import annotations

import pytest

from mesh.groups import is_pattern, is_wanted
from mesh.ids import GroupName, IllegalName


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["billing"], True),
        (["bill*"], True),
        (["b?lling", "other"], True),
        (["*"], True),
        (["Billing"], False),
        (["bill"], False),
        ([], False),
    ],
)
def test_a_subscription_means_groups_by_name_or_pattern(words: list[str], wanted: bool) -> None:
    assert is_wanted(GroupName("billing"), words) is wanted


def test_a_name_that_looks_like_a_pattern_means_itself() -> None:
    assert is_wanted(GroupName("a[b]"), ["a[b]"])


def test_a_pattern_is_told_from_a_name() -> None:
    assert [is_pattern(word) for word in ("billing", "bill*", "b?", "[ab]")] == [False, True, True, True]


@pytest.mark.parametrize("name", ["", "a\nb", "a\x1b[2J", "\u202ereversed", "x" * 256])
def test_a_name_that_could_disturb_a_terminal_is_none(name: str) -> None:
    with pytest.raises(IllegalName):
        GroupName(name)


def test_any_other_text_is_a_name() -> None:
    assert GroupName("Bücher / 2026: v1 ☂") == "Bücher / 2026: v1 ☂"
