"""The twelve checks, each a pure function from what was prepared to a judgement."""

from __future__ import annotations

from collections.abc import Callable

from tests.verifier.checks import (
    accounting,
    acknowledgements,
    authorization,
    doubles,
    fencing,
    fidelity,
    liveness,
    one_value,
    order,
    phantoms,
    prefix,
    translation,
)
from tests.verifier.findings import Judgement
from tests.verifier.preparing import Case

CHECKS: dict[str, Callable[[Case], Judgement]] = {
    module.NAME: module.check
    for module in (
        prefix, doubles, order, phantoms, one_value, fidelity, translation, acknowledgements, fencing, authorization,
        accounting, liveness,
    )
}  # fmt: skip
"""In the order of their numbers."""
