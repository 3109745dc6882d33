"""A lane into the embedded log: its state is of one transaction with its records, and none overtakes another."""

from __future__ import annotations

from pathlib import Path

from gateway.embedded.cluster import open_embedded
from tests.support.mirror import DESTINATION, Mirror, holey, mirroring, source_of


async def test_a_log_with_many_breaks_is_copied_exactly_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    log = holey(120)
    source = await source_of(log)
    for restart in range(3):
        cluster = await open_embedded(tmp_path, now_ms=0)
        try:
            if not restart:
                await cluster.topics.create(DESTINATION, 1, {"retention.ms": "-1"})
            mirror = Mirror(source, cluster, log=log)
            async with mirroring(mirror):
                await mirror.until_copied()
                mirror.grow(log)
                await mirror.until_copied()
            await mirror.check(log)
        finally:
            await cluster.close()
