"""Every planted bug can be planted: its patch applies, is small, touches the product alone and says what it does."""

from __future__ import annotations

import pytest

from tests.planted.__main__ import closing
from tests.planted.copies import check, touched
from tests.planted.hunting import Caught
from tests.planted.table import BEYOND, PATCHES, SIMULATOR, TWENTY, Bug, known_seeds
from tests.verifier.checks import CHECKS

PRODUCT = ("mesh/", "gateway/", "certs/")
MOST_LINES = 12


@pytest.mark.parametrize("bug", TWENTY + BEYOND, ids=lambda bug: bug.patch)
def test_a_planted_bug_is_a_small_mistake_in_the_product(bug: Bug) -> None:
    assert check(bug.path) == ""
    assert touched(bug.path)
    assert all(name.startswith(PRODUCT) for name in touched(bug.path))
    lines = bug.path.read_text().splitlines()
    assert lines[0].endswith(".")
    assert not lines[0].startswith(("-", "+", "diff"))
    changed = [line for line in lines if line[:1] in ("+", "-") and line[:3] not in ("+++", "---")]
    assert 0 < len(changed) <= MOST_LINES


def test_the_table_names_every_patch_and_every_patch_is_in_the_table() -> None:
    assert {bug.path for bug in TWENTY + BEYOND} == set(PATCHES.glob("*.patch"))
    assert len(TWENTY) == 20
    assert {bug.check for bug in TWENTY} <= set(CHECKS)
    assert set(known_seeds()) >= {bug.patch for bug in TWENTY if bug.by == SIMULATOR}


def test_what_another_check_finds_does_not_count(capsys: pytest.CaptureFixture[str]) -> None:
    bug, other = TWENTY[:2]
    right = Caught(bug, 4, bug.check, "…", 4)
    assert right.is_caught
    assert not Caught(bug, 4, "prefix", "…", 4).is_caught
    assert not Caught(bug, trouble="it does not start").is_caught
    assert closing([right, Caught(other)], [])
    assert capsys.readouterr().out.splitlines()[-1] == "planted bugs caught: 1/2"


def test_what_is_found_without_a_bug_is_no_success() -> None:
    bug = TWENTY[0]
    right = Caught(bug, 4, bug.check, "…", 4)
    assert not closing([right], [Caught(Bug("", "nothing", ""))])
    assert closing([right], [Caught(Bug("", "nothing", ""), 4, "prefix", "…", 4)])
