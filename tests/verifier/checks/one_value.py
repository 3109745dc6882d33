"""5. One value at one offset, for all readers and over time; what a writer was told is there, is there.

Readings of one incarnation are compared; what the run says was rewritten (an unclean election) is left out.
"""

from __future__ import annotations

from bisect import bisect_left

from tests.verifier.alignment import batch_of
from tests.verifier.batches import APPEND_TIME
from tests.verifier.findings import Judgement, Tally
from tests.verifier.merging import merge
from tests.verifier.model import CONTROL_RECORD, FAILED, KINDS, NONE, OK, Journal, Log, Place
from tests.verifier.preparing import Case, rewritten_from

NAME = "one value"
_NO_LIMIT = 1 << 62


def check(case: Case) -> Judgement:
    tally = Tally(NAME, "records")
    run = case.run
    if not run.logs:
        tally.absent("there is no raw reading")
    if run.journal is None and not run.seen and all(len(each) < 2 for each in run.logs.values()):
        tally.absent("nothing was read twice, and there is no write journal")
    for place in sorted(run.logs):
        limit = rewritten_from(run.described, place)
        limit = _NO_LIMIT if limit is None else limit
        references = []
        for readings in _incarnations(run.logs[place]):
            references.append(merge(readings).log)
            for other in readings[:-1]:
                _compare(case, references[-1], other, limit, tally)
        for seen in run.seen.get(place, []):
            _compare(case, references[-1], seen, limit, tally, must_be_there=True)
        if run.journal is not None and place in run.journal.place_names:
            _compare_contents(case, run.journal, references, tally)
            _compare_offsets(case, run.journal, place, references, limit, tally)
    return tally.judgement()


def _incarnations(readings: list[Log]) -> list[list[Log]]:
    """By topic id, the present one last."""
    found: dict[str, list[Log]] = {}
    for each in readings:
        found.setdefault(each.topic_id, []).append(each)
    return list(found.values())


def _compare(case: Case, log: Log, other: Log, limit: int, tally: Tally, *, must_be_there: bool = False) -> None:
    at, offsets = 0, log.offsets
    previous = NONE
    for record, offset in enumerate(other.offsets):
        if offset >= limit:
            return
        tally.judged += 1
        if offset <= previous:
            tally.fail(f"{other.reader} saw offset {offset} of {log.place} after {previous}")
        previous = offset
        while at < len(offsets) and offsets[at] < offset:
            at += 1
        if at == len(offsets) or offsets[at] != offset:
            if must_be_there and log.first <= offset < log.end:
                tally.fail(f"{other.reader} saw a record at {offset} of {log.place} where the log has none")
            continue
        same = log.digest(at) == other.digest(record) and log.timestamps[at] == other.timestamps[record]
        if not same or (must_be_there and log.kinds[at] == CONTROL_RECORD):
            tally.fail(
                f"{other.reader} at {other.at_s} s saw another record at {offset} of {log.place} than {log.reader}",
                before=_told(other, record),
                **case.told(log, at),
            )


def _told(log: Log, record: int) -> dict[str, object]:
    return {
        "digest": log.digest(record).hex(),
        "timestamp_ms": log.timestamps[record],
        "kind": KINDS[log.kinds[record]],
    }


def _compare_contents(case: Case, journal: Journal, logs: list[Log], tally: Tally) -> None:
    """What a log has of a write is what was written."""
    for log in logs:
        for record, write in enumerate(log.writes):
            if write != NONE:
                tally.judged += 1
                _compare_write(case, journal, log, record, write, tally)


def _compare_offsets(case: Case, journal: Journal, place: Place, logs: list[Log], limit: int, tally: Tally) -> None:
    """A write lies where its writer was told, in one of the incarnations."""
    compacted = any(each.compacted for each in case.lanes if each.source == place)
    number = journal.place_names.index(place)
    for write, where in enumerate(journal.places):
        offset = journal.offsets[write]
        if where != number or journal.outcomes[write] != OK or not 0 <= offset < limit:
            continue
        inside = [log for log in logs if log.first <= offset < log.end]
        if len(inside) < len(logs) or any(_holds(journal, log, offset, write) for log in inside):
            continue
        log = inside[-1]
        at = bisect_left(log.offsets, offset)
        if at < len(log) and log.offsets[at] == offset:
            tally.fail(f"{place} was said to have a write at {offset} and has another",
                       expected=journal.told(write), **case.told(log, at))  # fmt: skip
        elif not compacted and offset >= log.start:
            tally.fail(f"{place} was said to have a write at {offset} and has none", expected=journal.told(write))


def _holds(journal: Journal, log: Log, offset: int, write: int) -> bool:
    at = bisect_left(log.offsets, offset)
    if at == len(log) or log.offsets[at] != offset:
        return False
    return log.writes[at] == write or (log.writes[at] == NONE and log.digest(at) == journal.digest(write))


def _compare_write(case: Case, journal: Journal, log: Log, record: int, write: int, tally: Tally) -> None:
    if journal.digest(write) != log.digest(record):
        tally.fail(f"{log.place} has at {log.offsets[record]} another content than was written",
                   written_digest=journal.digest(write).hex(), **case.told(log, record))  # fmt: skip
    elif journal.timestamps[write] != log.timestamps[record] and not _is_append_time(log, record):
        tally.fail(f"{log.place} has at {log.offsets[record]} another timestamp than was written",
                   written_ms=journal.timestamps[write], **case.told(log, record))  # fmt: skip
    elif journal.outcomes[write] == FAILED:
        tally.info(f"{log.place} has at {log.offsets[record]} a write that its writer holds for failed",
                   **case.told(log, record))  # fmt: skip


def _is_append_time(log: Log, record: int) -> bool:
    return bool(log.attributes[batch_of(log, record)] & APPEND_TIME)
