from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.embedded.cluster import EmbeddedCluster
from mesh.batch.stamp import Producer, StampedBatch
from mesh.cluster_errors import BatchRefused
from mesh.ids import Partition
from tests.support.batches import numbered, stamped


def _flipped(header: bytes, at: int) -> bytes:
    return header[:at] + bytes([header[at] ^ 0x20]) + header[at + 1 :]


def _good() -> StampedBatch:
    return stamped(Producer(1, 0), 0, numbered(1, 2, 3))


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (replace(_good(), payload=b"other"), "length"),
        (replace(_good(), payload=bytes(len(_good().payload))), "checksum"),
        (replace(_good(), header=_flipped(_good().header, 40)), "checksum"),
        (replace(_good(), header=_flipped(_good().header, 22)), "control"),
        (replace(_good(), header=_flipped(_good().header, 26)), "dense"),
        (replace(_good(), header=_flipped(_good().header, 16)), "old format"),
        (replace(_good(), header=_good().header[:60]), "60 bytes"),
        (replace(_good(), header=_good().header + b"x"), "length"),
        (stamped(Producer(1, -1), 0, numbered(1)), "no epoch"),
        (stamped(Producer(1, 0), -1, numbered(1)), "no sequence"),
    ],
)
async def test_a_batch_that_a_broker_would_refuse_is_refused(
    log: EmbeddedCluster, partition: Partition, bad: StampedBatch, why: str
) -> None:
    with pytest.raises(BatchRefused, match=why):
        await log.destination.append(partition, bad)
    assert await log.destination.append(partition, _good()) == 0
