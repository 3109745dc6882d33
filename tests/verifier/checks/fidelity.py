"""6. A copy is its source record: key, value (null is not empty), headers in their order, timestamp and its type.

By the lane's terms `timestamps` are kept (a source's append time stays visible, as the time of creation), the
destination's own (append), or replaced where the destination refuses them (override). A batch that cannot be read is no
copy of anything.
"""

from __future__ import annotations

from tests.verifier.alignment import ALTERED, Alignment, batch_of
from tests.verifier.batches import APPEND_TIME
from tests.verifier.findings import Judgement, Tally
from tests.verifier.model import NONE, VISIBLE
from tests.verifier.preparing import Case, batch_told

NAME = "fidelity"


def check(case: Case) -> Judgement:
    tally = Tally(NAME, "copies")
    for found in case.aligned(tally):
        _judge_damage(found, tally)
        _judge_records(case, found, tally)
        _judge_types(found, tally)
    return tally.judgement()


def _judge_damage(found: Alignment, tally: Tally) -> None:
    for log in (found.source, found.destination):
        for each in log.damaged:
            told = {"log": str(log.place), "offset": each.offset, "position_in_file": each.position}
            tally.fail(f"{found.lane.name}: the batch at {each.offset} of {log.place} is damaged: {each.why}", **told)


def _judge_records(case: Case, found: Alignment, tally: Tally) -> None:
    source, copy, sources, kinds = found.source, found.destination, found.sources, found.kinds
    same_times = found.lane.timestamps == "kept"
    for record in range(found.first, found.last):
        at = sources[record]
        if at == NONE or source.kinds[at] != VISIBLE:
            continue
        tally.judged += 1
        what = ""
        if kinds[record] == ALTERED or copy.digest(record) != source.digest(at):
            what = "another key, value or headers"
        elif same_times and copy.timestamps[record] != source.timestamps[at] != NONE:
            what = f"the timestamp {copy.timestamps[record]}, not {source.timestamps[at]}"
        if what:
            where = f"the copy at {copy.offsets[record]} of source offset {source.offsets[at]}"
            evidence = {} if tally.is_full else {"source": case.told(source, at)} | case.told(copy, record)
            tally.fail(f"{found.lane.name}: {where} has {what}", **evidence)


def _judge_types(found: Alignment, tally: Tally) -> None:
    """Whose time a copy's timestamp is, the broker's or the record's own."""
    log = found.destination
    if found.first == found.last or found.lane.timestamps == "override":
        return
    wanted = found.lane.timestamps == "append"
    foreign = {batch_of(log, record) for record in found.foreign}
    for batch in range(max(0, batch_of(log, found.first)), batch_of(log, found.last - 1) + 1):
        if bool(log.attributes[batch] & APPEND_TIME) != wanted and batch not in foreign:
            kind = "the time of its append" if not wanted else "times of creation"
            tally.fail(
                f"{found.lane.name}: the batch at {log.base_offsets[batch]} carries {kind}", **batch_told(log, batch)
            )
