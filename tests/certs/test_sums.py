"""Damage of a JSON file is told by the sum that it carries."""

from __future__ import annotations

import json

import pytest

from certs.sums import check_sum, summed

DOCUMENT = {"peers": {"a": {"epoch": 5, "denied": ["x", "y"]}}, "format": 1, "none": None}


def test_what_was_summed_is_what_is_read() -> None:
    assert check_sum(json.loads(json.dumps(summed(DOCUMENT), indent=2))) == DOCUMENT


@pytest.mark.parametrize("document", [{}, [], None, 1, DOCUMENT])
def test_what_has_no_sum_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match="it has no sum"):
        check_sum(document)


@pytest.mark.parametrize("digit", ["4", "7"])
def test_another_digit_is_refused(digit: str) -> None:
    text = json.dumps(summed(DOCUMENT)).replace('"epoch": 5', f'"epoch": {digit}')
    with pytest.raises(ValueError, match="does not fit its sum"):
        check_sum(json.loads(text))
