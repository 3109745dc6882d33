"""7. The table says where each copy is, for every source offset, holes and both ends included, and back.

What was copied where is known from the two logs; the table must tile the offsets from the lane's start to its
position, rise on both sides, and say of each offset what is so. T(o), the first copy at or after o, then follows for
every offset, and a group that was moved must stand at T of where it stood. Records that are lost, twice or strangers
are other checks' matter: here only what the table says of them counts.
"""

from __future__ import annotations

from bisect import bisect_left

from tests.verifier.alignment import COPY, EXPECTED, LATE, NOT_EXPECTED, Alignment
from tests.verifier.findings import Judgement, Tally
from tests.verifier.model import ABORTED, CONTROL_RECORD, NONE, RUN, Entry, Moved, Table
from tests.verifier.preparing import Case

NAME = "translation"
MARKER_REASON, ABORTED_REASON, HOLE_REASON = "marker", "aborted", "compacted"


def check(case: Case) -> Judgement:
    tally = Tally(NAME, "source offsets")
    for lane in case.lanes:
        found, table = case.alignments.get(lane.name), case.run.tables.get(lane.name)
        if found is None or table is None:
            tally.absent(f"{lane.name}: there is no table, or no raw reading of both logs")
            continue
        _judge(case, found, table, tally)
    for move in case.run.moves or ():
        if (found := case.alignments.get(move.lane)) is not None:
            _judge_move(found, move, tally)
    return tally.judgement()


def _judge(case: Case, found: Alignment, table: Table, tally: Tally) -> None:
    tally.judged += max(0, table.position - table.start)
    _judge_ends(found, table, tally)
    _judge_tiling(found, table, tally)
    for entry in table.entries:
        if entry.reason == RUN:
            _judge_run(case, found, entry, tally)
        else:
            _judge_gap(case, found, entry, tally)
    for answer in table.answers:
        _judge_answer(found, answer, tally)


def _judge_ends(found: Alignment, table: Table, tally: Tally) -> None:
    lane, source = found.lane, found.source
    if table.start != lane.source_start and not (table.entries and table.start > lane.source_start):
        tally.fail(f"{lane.name}: the table begins at {table.start}, the lane at {lane.source_start}")
    if lane.settled and table.position < source.last_stable:
        uncovered = range(bisect_left(source.offsets, table.position), bisect_left(source.offsets, source.last_stable))
        # Where records are missing too, it is a matter of the prefix.
        if all(found.expected[at] != EXPECTED for at in uncovered):
            tally.fail(f"{lane.name}: the table ends at {table.position}, the source at {source.last_stable}")
    if table.position > max(source.end, lane.source_start):
        tally.fail(f"{lane.name}: the table ends at {table.position}, the source's log ends at {source.end}")


def _judge_tiling(found: Alignment, table: Table, tally: Tally) -> None:
    position, destination = table.start, NONE
    # A table that tells of copies out of order is right; that they are is another check's matter.
    in_order = LATE not in found.kinds
    for entry in table.entries:
        if entry.first != position:
            tally.fail(f"{table.lane}: between {position} and {entry.first} the table has a hole or speaks twice")
        if entry.reason == RUN:
            if in_order and entry.destination < destination:
                tally.fail(f"{table.lane}: from source offset {entry.first} on, destination offsets fall")
            destination = max(destination, entry.destination + entry.end - entry.first)
        position = entry.end
    if position != table.position:
        tally.fail(f"{table.lane}: the entries end at {position}, the table says {table.position}")
    if destination > table.destination_end:
        tally.fail(f"{table.lane}: the runs end at {destination}, the table says {table.destination_end}")


def _judge_run(case: Case, found: Alignment, entry: Entry, tally: Tally) -> None:
    """Each offset of a run is a record, and the copy of it is where the run says."""
    source, copy, copies = found.source, found.destination, found.copies
    at, record = bisect_left(source.offsets, entry.first), bisect_left(copy.offsets, entry.destination)
    size, copied, distance = len(source), len(copy), entry.destination - entry.first
    for offset in range(entry.first, entry.end):
        present = at < size and source.offsets[at] == offset
        place = offset + distance
        while record < copied and copy.offsets[record] < place:
            record += 1
        held = found.sources[record] if record < copied and copy.offsets[record] == place else NONE
        if not present:
            if not found.lane.compacted:
                tally.fail(f"{found.lane.name}: the table has a record at source offset {offset}, the source has none")
            continue
        if held != at and not (held == NONE and copies[at] == NONE):
            _wrong_place(case, found, at, place, tally)
        at += 1


def _wrong_place(case: Case, found: Alignment, at: int, place: int, tally: Tally) -> None:
    offset, actual = found.source.offsets[at], found.copies[at]
    where = f"its copy is at {found.destination.offsets[actual]}" if actual != NONE else "it has no copy"
    sentence = f"{found.lane.name}: source offset {offset} is translated to {place}; {where}"
    tally.fail(sentence, **({} if tally.is_full else case.told(found.source, at)))


def _judge_gap(case: Case, found: Alignment, entry: Entry, tally: Tally) -> None:
    """No record of a gap has a copy, and the reason is the right one, offset by offset."""
    source, lane = found.source, found.lane
    at, size = bisect_left(source.offsets, entry.first), len(source)
    if entry.reason in lane.allowed_gaps and entry.end <= source.first:
        return
    for offset in range(entry.first, entry.end):
        if not (at < size and source.offsets[at] == offset):
            if entry.reason not in _hole_reasons(found, offset):
                tally.fail(f"{lane.name}: the gap at {offset} is said to be {entry.reason}, nothing is there")
            continue
        if found.copies[at] != NONE:
            sentence = f"{lane.name}: source offset {offset} is said to have no copy ({entry.reason})"
            tally.fail(sentence, **({} if tally.is_full else case.told(found.destination, found.copies[at])))
        elif (wanted := _reason(found, at)) and entry.reason != wanted:
            tally.fail(f"{lane.name}: the gap at {offset} is said to be {entry.reason}, it is {wanted}")
        at += 1


def _reason(found: Alignment, at: int) -> str:
    """Of a source offset without a copy; empty where a record is missing, which is not judged here."""
    if found.expected[at] != NOT_EXPECTED:
        return ""
    return {CONTROL_RECORD: MARKER_REASON, ABORTED: ABORTED_REASON}.get(found.source.kinds[at], "")


def _hole_reasons(found: Alignment, offset: int) -> frozenset[str]:
    reasons = {HOLE_REASON} | ({MARKER_REASON, ABORTED_REASON} if found.lane.compacted else set())
    return frozenset(reasons) | found.lane.allowed_gaps


def _judge_answer(found: Alignment, answer: dict[str, object], tally: Tally) -> None:
    """One that the gateway gave to a question, forward or back."""
    tally.judged += 1
    name, kind = found.lane.name, answer["answer"]
    source, destination = answer.get("source_offset"), answer.get("destination_offset")
    if answer.get("reverse"):
        wanted = _source_of(found, _whole(destination))
        if (kind == "exact") != (wanted is not None) or (kind == "exact" and wanted != source):
            tally.fail(f"{name}: destination offset {destination} was answered {kind} {source}; it holds {wanted}")
        return
    asked = _whole(source)
    if destination != translate(found, asked) and not (destination is None and kind == "gap"):
        tally.fail(f"{name}: source offset {asked} was answered {destination}, it is {translate(found, asked)}")


def _whole(value: object) -> int:
    return value if isinstance(value, int) else NONE


def translate(found: Alignment, source_offset: int) -> int:
    """T: the copy of the first record at or after the offset; the end of the copies where there is none."""
    offsets, copies = found.source.offsets, found.copies
    for at in range(bisect_left(offsets, source_offset), len(offsets)):
        if copies[at] != NONE and found.expected[at]:
            return found.destination.offsets[copies[at]]
    return copies_end(found)


def copies_end(found: Alignment) -> int:
    for record in range(found.last - 1, found.first - 1, -1):
        if found.sources[record] != NONE:
            return found.destination.offsets[record] + 1
    return found.lane.destination_start


def _source_of(found: Alignment, destination_offset: int) -> int | None:
    at = bisect_left(found.destination.offsets, destination_offset)
    if at == len(found.destination) or found.destination.offsets[at] != destination_offset:
        return None
    return found.source.offsets[found.sources[at]] if found.sources[at] != NONE else None


def _judge_move(found: Alignment, move: Moved, tally: Tally) -> None:
    tally.judged += 1
    wanted = _translate_back(found, move.before) if move.reverse else [translate(found, move.before)]
    if move.after not in wanted:
        direction = "back from" if move.reverse else "from"
        tally.fail(
            f"{move.lane}: the group {move.group} was moved {direction} {move.before} to {move.after}, not to "
            f"{wanted[0]}: it reads again or skips",
        )


def _translate_back(found: Alignment, destination_offset: int) -> list[int] | range:
    """Every source position from which a reader sees just what a reader of the copy has left."""
    copy, source = found.destination, found.source
    at = bisect_left(copy.offsets, destination_offset)
    while at < found.last and found.kinds[at] != COPY:
        at += 1
    before, after = _visible_before(found, at), found.sources[at] if at < found.last else NONE
    first = source.offsets[before] + 1 if before != NONE else found.lane.source_start
    last = source.offsets[after] if after != NONE else max(first, source.end)
    return range(last, first - 1, -1)


def _visible_before(found: Alignment, at: int) -> int:
    for record in range(min(at, found.last) - 1, found.first - 1, -1):
        if found.kinds[record] == COPY:
            return found.sources[record]
    return NONE
