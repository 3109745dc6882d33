"""The table is whole: patches apply, tests exist, its page is current, and it tells red from broken."""

from __future__ import annotations

import ast
from functools import cache

import pytest

from tests.planted.copies import ROOT, check, touched
from tests.threats.judging import Case, Verdict, verdict
from tests.threats.page import PAGE, page
from tests.threats.table import THREATS, WITHOUT, Control, controls

ids = pytest.mark.parametrize("control", controls(), ids=lambda control: control.id)


@cache
def functions(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@ids
def test_the_patch_applies_and_takes_something_from_the_product_only(control: Control) -> None:
    assert check(control.patch) == ""
    changed = touched(control.patch)
    assert changed
    assert not [each for each in changed if each.startswith("tests/")]
    assert (ROOT / control.where).is_file()
    assert control.patch.read_text(encoding="utf-8").startswith("# ")


@ids
def test_its_tests_exist(control: Control) -> None:
    assert control.tests
    for test in control.tests:
        file, _, name = test.partition("[")[0].partition("::")
        assert name in functions(file), test


def test_every_control_has_an_id_and_a_patch_of_its_own() -> None:
    found = controls()
    assert len({control.id for control in found}) == len(found)
    assert sorted(control.without for control in found) == sorted(path.name for path in WITHOUT.glob("*.patch"))
    assert {control.threat for control in found} <= set(THREATS)


def test_the_committed_page_is_the_generated_one() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.threats --page"


TEST = "tests/a/test_b.py::test_c"


@pytest.mark.parametrize(
    ("kind", "message", "expected"),
    [
        ("passed", "", Verdict.PASSED),
        ("failure", "assert 1 == 2", Verdict.FAILED),
        ("failure", "AssertionError: no\nassert 1 == 2", Verdict.FAILED),
        ("failure", "Failed: DID NOT RAISE <class 'LeafRefused'>", Verdict.FAILED),
        ("failure", "ImportError: cannot import name 'x'", Verdict.BROKEN),
        ("failure", "NameError: name 'x' is not defined", Verdict.BROKEN),
        ("error", "collection failure", Verdict.BROKEN),
        ("skipped", "", Verdict.BROKEN),
    ],
)
def test_only_a_failed_assertion_shows_that_a_control_is_missed(kind: str, message: str, expected: Verdict) -> None:
    assert verdict(TEST, [Case(TEST, "", kind, message)])[0] is expected


def test_another_failure_shows_it_where_the_table_names_it() -> None:
    cases = [Case(TEST, "[a]", "passed", ""), Case(TEST, "[b]", "failure", "TimeoutError: nothing came")]
    assert verdict(TEST, cases)[0] is Verdict.BROKEN
    assert verdict(TEST, cases, "TimeoutError")[0] is Verdict.FAILED
    assert verdict(f"{TEST}[a]", cases)[0] is Verdict.PASSED
    assert verdict(f"{TEST}[c]", cases)[0] is Verdict.ABSENT
