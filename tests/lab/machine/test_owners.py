"""Two gateways that both write one lane, kept apart by nobody: every place is taken once, by the right record.

Neither knows of the other: each has a client and an ownership of its own on the same broker, as two configurations
without the group would. With records of today, and with records so old that a broker forgets who wrote them.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from mesh.lanes.status import LaneState, LaneStatus
from tests.support.brokers import open_cluster
from tests.support.damage import OLD_MS, Pairing, running
from tests.support.kills import new_seed
from tests.support.losing import values_of
from tests.support.mirror import Mirror

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(90)]
RECORDS = 20
REPORTS = {"", "lane-frozen"}
"""Whoever finds the other at work where it must go on says so and stops; or it begins anew by asking the log."""


async def _end(mirror: Mirror) -> LaneStatus:
    return await mirror.until(lambda status: status.state is LaneState.STOPPED or status.source_position == RECORDS)


@pytest.mark.parametrize("timestamp_ms", [None, OLD_MS], ids=["new", "old"])
async def test_two_owners_of_one_lane(timestamp_ms: int | None) -> None:
    seed = new_seed()
    print(f"SCENARIO_SEED={seed}")
    chance = random.Random(seed)
    async with open_cluster() as ours, open_cluster() as theirs:
        one = await Pairing.make(ours)
        other = replace(one, cluster=theirs)
        async with running(one) as first, running(other) as second:
            for _ in range(RECORDS // 2):
                await one.produce(2, timestamp_ms=timestamp_ms)
                await asyncio.sleep(chance.random() * 0.02)  # so that they meet in other ways each time
            ends = await asyncio.gather(_end(first), _end(second))
        assert {end.code for end in ends} <= REPORTS
        assert any(end.source_position == RECORDS for end in ends), ends
        assert await values_of(ours, one.destination) == one.account.copies
    # whoever has it alone afterwards goes on, with an exact map
    async with open_cluster() as alone:
        last = replace(one, cluster=alone)
        await last.produce(2, timestamp_ms=timestamp_ms)
        await last.copy()
        await last.check()
