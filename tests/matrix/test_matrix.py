"""Every kind of source through every fault, on real brokers: each record and each offset is compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.matrix.faults import FAULTS
from tests.matrix.field import Field
from tests.matrix.judge import Evidence, findings
from tests.matrix.sources import KINDS, Kind
from tests.matrix.table import Matrix

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(180)]


def offsets(lane: Evidence) -> int:
    return len(lane.forward) + len(lane.back)


Found = dict[str, list[Evidence]]


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with ExitStack() as stack:
        yield Field.build(stack, Path(tmp_path_factory.mktemp("matrix")))


@pytest.fixture(scope="module", params=FAULTS, ids=lambda fault: str(fault.name))
def mirrored(request: pytest.FixtureRequest, field: Field) -> tuple[str, Found]:
    """All kinds, mirrored through one fault."""
    return request.param.name, field.run(request.param)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.name))
def test_every_record_and_every_offset_is_exact(mirrored: tuple[str, Found], kind: Kind, matrix: Matrix) -> None:
    fault, found = mirrored
    wrong = [finding for lane in found[kind.name] for finding in findings(lane, kind.hole)]
    matrix.rows = [each.name for each in KINDS]
    matrix.columns = [each.name for each in FAULTS]
    matrix.cells[kind.name, fault] = "FAIL" if wrong else "ok"
    matrix.judged(sum(len(lane.source.records) for lane in found[kind.name]), sum(map(offsets, found[kind.name])))
    assert not wrong, "\n".join(wrong)
