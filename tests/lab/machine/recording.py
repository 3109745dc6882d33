"""A lane that copies into an embedded log, every step recorded: `python -m tests.lab.machine.recording FILE`.

It runs in a process of its own, since the shim that records lies below all of SQLite. Beside the lane the log gets
audit entries, control state and positions of groups. What anybody was promised is noted where it was promised, so
that of each prefix of the steps it is known what must be there. The write-ahead log is checkpointed often.
"""

from __future__ import annotations

import asyncio
import pickle
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

import gateway.embedded.schema as schema
from gateway.embedded.cluster import EmbeddedCluster, open_embedded
from gateway.embedded.mark import MARK_FILE, Mark
from gateway.link.lanes import ExportLane
from gateway.link.session import Session
from mesh.ids import GroupName
from tests.lab.machine.trace import Step
from tests.support.mirror import DESTINATION, TO, Mirror, holey, mirroring, source_of
from tests.support.source_log import SourceLog

BATCHES = 40
CHECKPOINT_PAGES = 24
GROUP = GroupName("readers")


def source_log() -> SourceLog:
    """What is copied: batches with holes, aborted transactions and gaps."""
    return holey(BATCHES)


class Recorder:
    """The steps in the order in which they came; several threads write."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.acknowledged: ExportLane | None = None
        self._lock = threading.Lock()
        self._said = -1

    def add(self, step: Step) -> None:
        if step.what != "note" and not step.file:
            return  # a temporary file of SQLite's, which nobody reads again
        with self._lock:
            lane = self.acknowledged
            if lane is not None and lane.acknowledged != self._said:
                self._said = lane.acknowledged
                self.steps.append(Step("note", data=b"lane %d" % self._said))
            self.steps.append(step)

    def note(self, text: str) -> None:
        self.add(Step("note", data=text.encode()))


class _File(apsw.VFSFile):
    def __init__(self, recorder: Recorder, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._recorder = recorder
        self._name = Path(name.filename() if isinstance(name, apsw.URIFilename) else name or "").name
        super().__init__("unix", name, flags)

    def xWrite(self, data: Any, offset: int) -> None:
        super().xWrite(data, offset)
        self._recorder.add(Step("write", self._name, offset, bytes(data)))

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._recorder.add(Step("sync", self._name))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        self._recorder.add(Step("cut", self._name, size))


class _Files(apsw.VFS):
    """Below the shim of checksums, which takes what is the default when it is loaded."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        super().__init__("recording", "unix", makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return _File(self._recorder, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        self._recorder.add(Step("remove", Path(filename).name))


def record(directory: Path) -> list[Step]:
    recorder = Recorder()
    files = _Files(recorder)
    schema.CHECKPOINT_PAGES = CHECKPOINT_PAGES
    write = Mark.write

    def marked(mark: Mark, commits: int) -> None:
        write(mark, commits)
        recorder.add(Step("write", MARK_FILE, 0, (directory / MARK_FILE).read_bytes()))

    Mark.write = marked  # type: ignore[assignment, method-assign]
    asyncio.run(_run(directory, recorder))
    del files
    return recorder.steps


@dataclass
class _Recorded(Mirror):
    recorder: Recorder = field(default_factory=Recorder)

    async def _export(self, session: Session, lane: ExportLane) -> None:
        self.recorder.acknowledged = lane
        await super()._export(session, lane)


async def _run(directory: Path, recorder: Recorder) -> None:
    log = source_log()
    fake = await source_of(log)
    cluster = await open_embedded(directory, now_ms=0)
    await cluster.topics.create(DESTINATION, 1, {})
    recorder.note("topic")

    mirror = _Recorded(fake, cluster, log=log, recorder=recorder)
    async with mirroring(mirror):
        for number in range(30):
            await _beside(cluster, recorder, number)
        await mirror.until_copied()
    await cluster.close()


async def _beside(cluster: EmbeddedCluster, recorder: Recorder, number: int) -> None:
    await cluster.audit.append([b"entry %d" % number], number)
    recorder.note(f"audit {number + 1}")
    # two keys that change together: half of it is never seen
    await cluster.control.put({"one": b"%d" % number, "two": b"%d" % number})
    recorder.note(f"control {number}")
    await cluster.groups.commit(GROUP, {TO: number})
    recorder.note(f"group {number}")


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        steps = record(Path(directory) / "log")
    Path(sys.argv[1]).write_bytes(pickle.dumps(steps))


if __name__ == "__main__":
    main()
