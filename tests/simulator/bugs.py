"""Mistakes planted into the code under test, by which the simulator itself is tried: each must be found.

with planted("aborts ignored"):
    ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from unittest.mock import patch

from gateway import exporter
from gateway.importer import lane, pipeline, recovery
from gateway.importer.pipeline import Pipeline
from gateway.importer.replay import Replay
from mesh.batch.header import BatchHeader
from mesh.batch.records import Record, records_of
from mesh.lanes import export
from mesh.lanes.progress import LaneProgress
from mesh.lanes.recovery import Resume
from mesh.spans import GapReason

Planted = list[tuple[Any, str, Any]]


def _acknowledged_before_durable() -> Planted:
    add = Pipeline._add

    async def early(self: Pipeline, step: Any) -> None:
        self._lane.acknowledge(step.end.source_offset)
        await add(self, step)

    def tell(self: Pipeline) -> None:
        owed_bytes, self._owed_bytes = self._owed_bytes, 0
        if owed_bytes:
            self._lane.credit(owed_bytes)

    return [(Pipeline, "_add", early), (Pipeline, "_tell", tell)]


def _breaks_not_stored() -> Planted:
    """A break is stored when a checkpoint happens to be due."""

    def state(self: Pipeline, size_bytes: int, *, free: bool) -> Any:
        self._since_checkpoint += size_bytes
        return self._checkpoint() if free or self._is_due() else (None, {})

    return [(Pipeline, "_state", state)]


def _log_not_asked() -> Planted:
    def decide(lane_id: Any, checkpoint: Any, witnesses: Any) -> Resume:
        return Resume(0, (), False, 0, witnesses.range.end)

    return [(recovery, "decide_resume", decide)]


def _new_producer_on_retry() -> Planted:
    resume = recovery.resume_lane

    async def renewed(cluster: Any, lane_id: Any, partition: Any) -> Any:
        found = await resume(cluster, lane_id, partition)
        if found is not None:
            progress, resumed = found
            progress.producer = await cluster.destination.producer()
            progress.reopen(Resume(0, (), False, 0, resumed.log_end))
        return found

    return [(lane, "resume_lane", renewed)]


def _sequence_not_from_ordinal() -> Planted:
    numbers = count()
    return [(pipeline, "sequence_of", lambda ordinal: next(numbers))]


def _foreign_write_unnoticed() -> Planted:
    answer = Pipeline._answer

    def expected(self: Pipeline, step: Any, append: Any) -> int:
        answer(self, step, append)
        return int(step.base_offset)

    return [(Pipeline, "_answer", expected)]


def _aborts_ignored() -> Planted:
    return [(export._Aborted, "hides", lambda self, header: False)]


def _aborts_unsorted() -> Planted:
    def init(self: Any, transactions: Any) -> None:
        self._waiting, self._open = list(transactions), set()

    return [(export._Aborted, "__init__", init)]


def _last_record_instead_of_batch_end() -> Planted:
    gap = export._Taken.gap

    def short(self: Any, end: int, reason: Any) -> None:
        if self.spans and self.spans[-1].reason is None and reason is GapReason.COMPACTED:
            return
        gap(self, end, reason)

    return [(export._Taken, "gap", short)]


def _replay_not_compared() -> Planted:
    return [(Replay, "_same", lambda self, given, held: True)]


def _topic_id_ignored() -> Planted:
    fetch = exporter._fetch

    async def any_topic(
        cluster: Any, partition: Any, position: int, topic_id: Any, max_bytes: int, wait_s: float, epoch: int
    ) -> Any:
        return await fetch(cluster, partition, position, None, max_bytes, wait_s, epoch)  # type: ignore[arg-type]

    return [(exporter, "_fetch", any_topic)]


def _truncation_unnoticed() -> Planted:
    fetch = exporter._fetch

    async def any_history(
        cluster: Any, partition: Any, position: int, topic_id: Any, max_bytes: int, wait_s: float, epoch: int
    ) -> Any:
        return await fetch(cluster, partition, position, topic_id, max_bytes, wait_s, -1)

    return [(exporter, "_fetch", any_history)]


def _null_turned_empty() -> Planted:
    def emptied(header: BatchHeader, *rest: Any) -> Iterator[Record]:
        return (record._replace(key=record.key or b"") for record in records_of(header, *rest))

    return [(export, "records_of", emptied)]


def _headers_reordered() -> Planted:
    def reordered(header: BatchHeader, *rest: Any) -> Iterator[Record]:
        return (record._replace(headers=record.headers[::-1]) for record in records_of(header, *rest))

    return [(export, "records_of", reordered)]


def _retention_passed_silently() -> Planted:
    """What retention took becomes a gap like any other: the lane goes on where the log begins."""
    fetch = exporter._fetch

    async def from_start(
        cluster: Any, partition: Any, position: int, topic_id: Any, max_bytes: int, wait_s: float, epoch: int
    ) -> Any:
        log_range = await cluster.source.range(partition)
        return await fetch(
            cluster, partition, max(position, log_range.start), topic_id, max_bytes, wait_s, -1 if epoch < 0 else epoch
        )

    return [(exporter, "_fetch", from_start)]


def _run_not_cut_at_foreign() -> Planted:
    """What others wrote since the checkpoint is not passed over."""

    def stay(self: LaneProgress) -> None:
        return None

    return [(LaneProgress, "_pass_foreign_tail", stay)]


BUGS: dict[str, Callable[[], Planted]] = {
    "acknowledged before durable": _acknowledged_before_durable,
    "breaks not stored before the acknowledgement": _breaks_not_stored,
    "resent without asking the log": _log_not_asked,
    "new producer on retry": _new_producer_on_retry,
    "sequence not from the ordinal": _sequence_not_from_ordinal,
    "foreign write unnoticed": _foreign_write_unnoticed,
    "foreign tail not passed": _run_not_cut_at_foreign,
    "aborts ignored": _aborts_ignored,
    "aborts unsorted": _aborts_unsorted,
    "last record instead of batch end": _last_record_instead_of_batch_end,
    "replay not compared": _replay_not_compared,
    "topic id ignored": _topic_id_ignored,
    "truncation unnoticed": _truncation_unnoticed,
    "retention passed silently": _retention_passed_silently,
    "null turned empty": _null_turned_empty,
    "headers reordered": _headers_reordered,
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """While it lasts, the code under test has the mistake."""
    patches = [patch.object(*each) for each in BUGS[name]()]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()
