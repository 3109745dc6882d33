"""A process that is killed in the middle of appends has lost nothing that it acknowledged."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.embedded.cluster import open_embedded
from mesh.ids import Partition
from tests.support.batches import NOBODY, records_in

_ROOT = Path(__file__).parents[3]
_APPEND_FOR_EVER = """
import asyncio, sys
from pathlib import Path
from gateway.embedded.cluster import open_embedded
from mesh.batch.stamp import Producer
from mesh.ids import Partition
from tests.support.batches import stamped

async def main():
    log = await open_embedded(Path(sys.argv[1]), now_ms=0)
    await log.topics.create("orders", 1, {})
    producer, partition, pending = await log.destination.producer(), Partition("orders", 0), []
    for number in range(1 << 30):
        batch = stamped(producer, number, [b"%d " % number + b"x" * int(sys.argv[2])])
        state = lambda offset: {"lane/position": b"%d" % (offset + 1)}
        pending.append(log.destination.append(partition, batch, state))
        if len(pending) == 8:
            print(await pending.pop(0), flush=True)

asyncio.run(main())
"""


def _killed_after(directory: Path, answers: int, size_bytes: int) -> int:
    """The last offset acknowledged by a process that was killed while it appended."""
    arguments = [sys.executable, "-c", _APPEND_FOR_EVER, str(directory), str(size_bytes)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=_ROOT) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(answers)]
        writer.kill()
        lines += writer.stdout.readlines()
        # The kill may have cut the last line.
        return max(int(line) for line in lines if line.endswith(b"\n"))


@pytest.mark.parametrize("size_bytes", [10, 100_000])
async def test_what_was_acknowledged_before_a_kill_is_there(tmp_path: Path, size_bytes: int) -> None:
    acknowledged = await asyncio.to_thread(_killed_after, tmp_path, 50, size_bytes)
    log = await open_embedded(tmp_path, now_ms=0)
    partition = Partition("orders", 0)
    end = (await log.source.range(partition)).end
    assert end > acknowledged
    numbers: list[int] = []
    while len(numbers) < end:
        fetched = await log.source.fetch(partition, len(numbers), None, 1 << 20, 0)
        numbers += [int(value.split()[0]) for _, value in records_in(fetched.data) if value is not None]
    assert numbers == list(range(end))
    assert await log.lanes.load("lane/") == {"lane/position": b"%d" % end}
    producer = NOBODY._replace(id=1, epoch=0)
    assert (await log.destination.witness(partition, producer, 0)).last_sequence == end - 1
    await log.close()
