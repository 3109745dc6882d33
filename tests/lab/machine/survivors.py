"""What must be true of an embedded log that was recorded (tests.lab.machine.recording) and met with misfortune.

`check` opens it with the gateway's own code. Everything that was promised is there, a lane's records, checkpoint and
map belong together, and what belongs to one transaction is whole or absent. `go_on` lets the lane run to its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.embedded.cluster import EmbeddedCluster, open_embedded
from mesh.cluster_errors import TopicAbsent
from mesh.lanes.checkpoint import load_lane, prefix
from mesh.offsets.answers import Exact, InGap
from tests.lab.machine.recording import GROUP, source_log
from tests.support.mirror import DESTINATION, LANE, TO, Mirror, mirroring, records_of_partition, source_of
from tests.support.source_log import SourceLog


@dataclass(frozen=True, slots=True)
class Promised:
    """The last of each kind; -1 where nothing was."""

    topic: bool
    lane: int
    audit: int
    control: int
    group: int

    @classmethod
    def by(cls, notes: Sequence[bytes]) -> Promised:
        last = {"lane": -1, "audit": -1, "control": -1, "group": -1}
        for kind, _, number in (note.decode().partition(" ") for note in notes):
            if number:
                last[kind] = int(number)
        return cls(b"topic" in notes, **last)


async def check(directory: Path, promised: Promised) -> None:
    """Raises AssertionError, and what opening or reading the log raises."""
    cluster = await open_embedded(directory, now_ms=0)
    try:
        await _check(cluster, promised)
    finally:
        await cluster.close()


async def go_on(directory: Path) -> None:
    """The lane takes up what is there and copies the rest; then everything is as if nothing had happened."""
    log = source_log()
    fake = await source_of(log)
    cluster = await open_embedded(directory, now_ms=0)
    try:
        if not [topic for topic in await cluster.topics.list() if topic.name == DESTINATION]:
            await cluster.topics.create(DESTINATION, 1, {})
        mirror = Mirror(fake, cluster, log=log)
        async with mirroring(mirror):
            await mirror.until_copied()
        await mirror.check(log)
    finally:
        await cluster.close()


async def _check(cluster: EmbeddedCluster, promised: Promised) -> None:
    await _check_beside(cluster, promised)
    try:
        await _check_lane(cluster, source_log(), promised.lane)
    except TopicAbsent:
        assert not promised.topic, "the topic is gone"


async def _check_beside(cluster: EmbeddedCluster, promised: Promised) -> None:
    end = await cluster.audit.end()
    assert end >= promised.audit, f"the audit log ends at {end}, {promised.audit} entries were durable"
    assert await cluster.audit.read(0, end + 1) == [b"entry %d" % number for number in range(end)]
    control = {key: int(value) for key, value in (await cluster.control.load("")).items()}
    assert len(set(control.values())) <= 1, f"half of a change: {control}"
    assert len(control) in (0, 2), f"half of a change: {control}"
    assert control.get("one", -1) >= promised.control, f"{control}, and {promised.control} was durable"
    positions = (await cluster.groups.describe(GROUP, [DESTINATION])).positions
    assert positions.get(TO, -1) >= promised.group, f"{positions}, and {promised.group} was durable"


async def _check_lane(cluster: EmbeddedCluster, log: SourceLog, acknowledged: int) -> None:
    copied = await records_of_partition(cluster, TO)
    visible = sorted(log.visible)
    assert [record[1:] for _, record in copied] == [log.visible[offset][1:] for offset in visible[: len(copied)]]
    assert [offset for offset, _ in copied] == list(range(len(copied)))
    assert [offset for offset in visible if offset < acknowledged] == visible[: len(copied)][
        : sum(offset < acknowledged for offset in visible)
    ], f"{len(copied)} records are there, {acknowledged} was acknowledged"
    stored = load_lane(LANE, await cluster.lanes.load(prefix(LANE)))
    if stored is None:
        assert not copied, "the lane's state is gone"
        assert acknowledged <= 0, "the lane's state is gone"
        return
    checkpoint, offset_map = stored
    assert checkpoint.source_position >= acknowledged
    assert offset_map.destination_offset <= len(copied)
    places = {offset: place for place, offset in enumerate(visible)}
    for offset in range(offset_map.start, checkpoint.source_position):
        answer = offset_map.translate(offset)
        if offset in places:
            assert answer == Exact(places[offset]), (offset, answer)
        else:
            assert isinstance(answer, InGap), (offset, answer)
            assert answer.reason == log.gaps[offset], (offset, answer)
    witnesses = await cluster.destination.witness(TO, checkpoint.producer, 0)
    assert witnesses.last_sequence == (len(copied) - 1 if copied else None)
