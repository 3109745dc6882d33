"""10. Nothing is appended outside of a grant's time, nobody is let in as somebody else, no canary is seen elsewhere.

When a lane appended is known from where its destination ended at moments: after a grant was revoked (and the bound has
passed) until it is opened again, and before it is opened first, that end moves for foreign writes only. Canaries are
records of topics that were granted to nobody, and texts that only some organizations may know.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.verifier.alignment import FOREIGN, HIDDEN, PHANTOM, Alignment
from tests.verifier.checks.phantoms import is_canary
from tests.verifier.findings import Judgement, Tally
from tests.verifier.model import Lane, Probe, Run, TrustEvent
from tests.verifier.preparing import Case

NAME = "authorization"
_NO_END = 1 << 62


def check(case: Case) -> Judgement:
    tally = Tally(NAME, "moments of trust and copies")
    _judge_trust(case, tally)
    _judge_records(case, tally)
    _judge_texts(case.run, tally)
    return tally.judgement()


def _judge_trust(case: Case, tally: Tally) -> None:
    run = case.run
    if run.trust is None:
        tally.absent("there is no journal of grants, revocations and admissions")
        return
    for event in run.trust:
        if event.what == "admitted":
            tally.judged += 1
            if event.claimed != event.issuer:
                tally.fail(f"at {event.at_s} s a certificate of {event.issuer} was admitted as {event.claimed}")
    for lane in case.lanes:
        events = sorted((each for each in run.trust if each.grant == lane.grant), key=lambda each: each.at_s)
        found = case.alignments.get(lane.name)
        if not lane.grant:
            continue
        if not events or run.probes is None or found is None:
            tally.absent(
                f"{lane.name}: nothing is told of its grant, of where its destination ended over time, or of its logs"
            )
            continue
        probes = sorted((each for each in run.probes if each.lane == lane.name), key=lambda each: each.at_s)
        for first, end, why in _closed(lane, events, probes, run.described.revocation_bound_s, tally):
            tally.judged += 1
            _judge_range(case, found, first, end, why, tally)


def _closed(
    lane: Lane, events: list[TrustEvent], probes: list[Probe], bound_s: float, tally: Tally
) -> Iterator[tuple[int, int, str]]:
    """Ranges of destination offsets that were written while the grant was not open."""
    opened = next((each.at_s for each in events if each.what == "opened"), None)
    if opened is not None:
        before = [each.destination_end for each in probes if each.at_s <= opened]
        yield (
            lane.destination_start,
            max(before, default=lane.destination_start),
            f"before the grant opened at {opened} s",
        )
    for event in events:
        if event.what != "revoked":
            continue
        again = next((each.at_s for each in events if each.what == "opened" and each.at_s > event.at_s), None)
        after = [each for each in probes if each.asked_s >= event.at_s + bound_s]
        if not after:
            tally.absent(f"{lane.name}: nobody looked after the revocation at {event.at_s} s")
            continue
        last = [each.destination_end for each in after if again is not None and each.at_s <= again]
        end = _NO_END if again is None else max(last, default=after[0].destination_end)
        yield after[0].destination_end, end, f"after the grant was revoked at {event.at_s} s"


def _judge_range(case: Case, found: Alignment, first: int, end: int, why: str, tally: Tally) -> None:
    for record in range(found.first, found.last):
        offset = found.destination.offsets[record]
        if first <= offset < end and found.kinds[record] not in (FOREIGN, HIDDEN):
            tally.fail(f"{found.lane.name}: destination offset {offset} was appended {why}",
                       **case.told(found.destination, record))  # fmt: skip
            return


def _judge_records(case: Case, tally: Tally) -> None:
    if case.run.described.granted_topics is None:
        return
    if case.run.journal is None:
        tally.absent("there is no write journal that would tell canaries")
        return
    for found in case.alignments.values():
        tally.judged += found.last - found.first
        for record in found.of_kind(PHANTOM):
            if is_canary(case, found, record):
                offset = found.destination.offsets[record]
                tally.fail(f"{found.lane.name}: destination offset {offset} is of a topic granted to nobody",
                           **case.told(found.destination, record))  # fmt: skip


def _judge_texts(run: Run, tally: Tally) -> None:
    canaries = run.described.canaries
    if canaries and run.texts is None:
        tally.absent("there are canaries, and nothing that the organizations logged or answered")
        return
    for org, files in (run.texts or {}).items():
        for name, text in files.items():
            tally.judged += 1
            for canary, known_to in canaries:
                if org not in known_to and (at := text.find(canary)) >= 0:
                    tally.fail(f"{org} knows '{canary}'", file=name, near=text[max(0, at - 80) : at + len(canary) + 80])
