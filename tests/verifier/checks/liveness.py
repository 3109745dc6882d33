"""12. What the source had when a fault ended is copied within a bound; else lag is bounded; in the end nothing is left.

Judged by where the lanes stood over time. A heal that is followed by another fault within the bound promises nothing.
"""

from __future__ import annotations

from tests.verifier.findings import Judgement, Tally
from tests.verifier.model import Event, Lane, Probe
from tests.verifier.preparing import Case

NAME = "liveness"
_NEVER = float("inf")


def check(case: Case) -> Judgement:
    tally = Tally(NAME, "heals and probes")
    run = case.run
    if run.probes is None or run.events is None:
        tally.absent("there is no journal of faults and heals, or of where the lanes stood")
        return tally.judgement()
    for lane in case.lanes:
        probes = sorted((each for each in run.probes if each.lane == lane.name), key=lambda each: each.at_s)
        events = sorted((e for e in run.events if not e.lanes or lane.name in e.lanes), key=lambda each: each.at_s)
        if not probes:
            tally.absent(f"{lane.name}: nobody looked where it stood")
            continue
        for at, event in enumerate(events):
            if event.what == "heal":
                _judge_heal(lane, event, _next_fault(events[at:]), probes, run.described.heal_bound_s, tally)
        if run.described.lag_bound_records is not None:
            _judge_lag(lane, events, probes, run.described.heal_bound_s, run.described.lag_bound_records, tally)
        _judge_end(lane, probes[-1], tally)
    return tally.judgement()


def _judge_heal(
    lane: Lane, heal: Event, next_fault_s: float, probes: list[Probe], bound_s: float, tally: Tally
) -> None:
    deadline = heal.at_s + bound_s
    if next_fault_s < deadline:
        return
    tally.judged += 1
    wanted = max((each.source_end for each in probes if each.at_s <= heal.at_s), default=lane.source_start)
    if any(each.position >= wanted for each in probes if each.at_s <= deadline):
        return
    if probes[-1].at_s < deadline:
        tally.absent(f"{lane.name}: after the heal at {heal.at_s} s it was not watched for {bound_s} s")
        return
    reached = next((each for each in probes if each.position >= wanted), None)
    if reached is not None and not any(heal.at_s <= each.at_s <= deadline for each in probes):
        tally.absent(f"{lane.name}: nobody looked between the heal at {heal.at_s} s and {deadline} s")
        return
    when = f"it came at {reached.at_s} s" if reached is not None else "it never came"
    tally.fail(
        f"{lane.name}: healed at {heal.at_s} s, {bound_s} s later it did not have what the source had then: {when}",
        wanted=wanted,
        last_probe=probes[-1]._asdict(),
    )


def _judge_lag(
    lane: Lane, events: list[Event], probes: list[Probe], bound_s: float, bound_records: int, tally: Tally
) -> None:
    for probe in probes:
        before = [each for each in events if each.at_s <= probe.at_s]
        if before and (before[-1].what == "fault" or probe.at_s < before[-1].at_s + bound_s):
            continue
        tally.judged += 1
        lag = probe.source_end - probe.position
        if lag > bound_records:
            tally.fail(f"{lane.name}: at {probe.at_s} s, without a fault, its lag was {lag}, over {bound_records}",
                       probe=probe._asdict())  # fmt: skip


def _judge_end(lane: Lane, last: Probe, tally: Tally) -> None:
    tally.judged += 1
    if lane.settled and last.position < last.source_end:
        tally.fail(f"{lane.name}: {last.source_end - last.position} offsets were left at the end", probe=last._asdict())


def _next_fault(events: list[Event]) -> float:
    return next((each.at_s for each in events if each.what == "fault"), _NEVER)
