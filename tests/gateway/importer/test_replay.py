"""Records that the log held when it was asked, compared with it."""

from __future__ import annotations

import pytest

from gateway.importer.replay import Replay
from mesh.batch.limits import DEFAULT_LIMITS
from mesh.batch.records import Record
from mesh.lanes.recovery import FreezeReason, LaneFrozen
from mesh.testing.cluster import FakeCluster
from tests.support.mirror import LANE, TO


async def test_a_copy_that_was_cut_after_the_log_was_asked_freezes_the_lane() -> None:
    destination = FakeCluster()
    await destination.ports.topics.create(TO.topic, 1, {})
    replay = Replay(LANE, destination.ports.source, TO, DEFAULT_LIMITS)
    with pytest.raises(LaneFrozen, match="holds 0 to 0") as frozen:
        await replay.is_at(3, Record(0, 0, None, b"copied once"))
    assert frozen.value.reason is FreezeReason.TAIL_LOST
