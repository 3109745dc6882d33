"""Every kind of source through every fault, on real brokers: each record and each offset is compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.matrix.faults import FAULTS, FAULTS_OF_THREE, Fault
from tests.matrix.field import Field
from tests.matrix.judge import Evidence, findings
from tests.matrix.sources import KINDS, Kind
from tests.matrix.table import Matrix

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(420)]


def offsets(lane: Evidence) -> int:
    return len(lane.forward) + len(lane.back)


Found = dict[str, list[Evidence]]


COLUMNS = [(1, fault) for fault in FAULTS] + [(3, fault) for fault in FAULTS_OF_THREE]
NOT_JUDGED = {("compacted", "kill-source-leader")}
"""Each replica is compacted by itself: the new leader's log need not be the one that was mirrored."""


@pytest.fixture(scope="module")
def field(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with ExitStack() as stack:
        yield Field.build(stack, Path(tmp_path_factory.mktemp("matrix")), request.param)


@pytest.fixture(scope="module")
def mirrored(request: pytest.FixtureRequest, field: Field) -> tuple[str, Found]:
    """All kinds, mirrored through one fault."""
    fault: Fault = request.param
    return fault.name, field.run(fault)


CELLS = [
    pytest.param(brokers, fault, kind, id=f"{fault.name}-{kind.name}")
    for brokers, fault in COLUMNS
    for kind in KINDS
    if (kind.name, fault.name) not in NOT_JUDGED
]


@pytest.mark.parametrize(("field", "mirrored", "kind"), CELLS, indirect=["field", "mirrored"], scope="module")
def test_every_record_and_every_offset_is_exact(mirrored: tuple[str, Found], kind: Kind, matrix: Matrix) -> None:
    fault, found = mirrored
    matrix.rows = [each.name for each in KINDS]
    matrix.columns = [fault.name for _, fault in COLUMNS]
    matrix.left_out = NOT_JUDGED
    wrong = [finding for lane in found[kind.name] for finding in findings(lane, kind.hole)]
    matrix.cells[kind.name, fault] = "FAIL" if wrong else "ok"
    matrix.judged(sum(len(lane.source.records) for lane in found[kind.name]), sum(map(offsets, found[kind.name])))
    assert not wrong, "\n".join(wrong)
