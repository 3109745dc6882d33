"""The most telling faults of the wire, short: links are damaged, held one way until given up, and cut at many bytes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.faults.wire_damage import Damaged
from tests.lab.faults.wire_ends import GREETING, CutSweep, every_byte
from tests.lab.faults.wire_partition import Partition
from tests.lab.wire.between import Toward
from tests.lab.wire.rig import rig
from tests.lab.wire.weather import Way

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SEED = 11
STRIDE = 997
"""Prime to the bytes of a greeting: eight points of a sweep lie everywhere in it."""


def strided() -> Iterator[tuple[Way, int]]:
    points = list(itertools.islice(every_byte(), sum(GREETING.values())))
    return (points[number * STRIDE % len(points)] for number in itertools.count())


def test_what_a_wire_does_costs_no_record_and_doubles_none(tmp_path: Path) -> None:
    with rig(tmp_path, SEED) as made:
        made.suffer(Damaged("flipped", Toward.COPY))
        made.suffer(Damaged("doubled", Toward.SOURCE))
        made.suffer(Partition(Toward.COPY, outlives=True))
        made.suffer(CutSweep(strided()))
        assert made.finish() > 0
