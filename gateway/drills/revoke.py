"""The drill of a revocation: revoke a grant in use, measure until nothing of it is served, restore it, see it resume.

A. Whatever ends a drill, the grant is active again before it ends: also a client that leaves, or a lane that does not
   stop. Only a gateway that dies between the two leaves it revoked; the result was then never shown.
B. A lane resumes at what the importer acknowledged, or further: otherwise the drill fails.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, ClassVar, NamedTuple, cast

from gateway.registry_errors import GrantAbsent
from gateway.services import Services
from mesh.errors import CallerError, OperatorError
from mesh.shares import Grant, GrantState

MAX_RUNS = 1000
STOP_S = 10.0
"""Ten times what is promised: beyond it the measurement itself is the finding."""
RESUME_S = 60.0
"""The importer asks again with growing pauses."""
POLL_S = 0.005


@dataclass(eq=False)
class DrillRefused(CallerError):
    grant: str
    why: str

    code: ClassVar[str] = "drill-refused"
    sentence: ClassVar[str] = "no drill with grant '{grant}': {why}"
    hint: ClassVar[str] = "see what is being read with: mesh status"


@dataclass(eq=False)
class DrillFailed(OperatorError):
    grant: str
    why: str

    code: ClassVar[str] = "drill-failed"
    sentence: ClassVar[str] = "the drill with grant '{grant}' failed: {why}; the grant is active again"
    hint: ClassVar[str] = "look at the lanes with: mesh status, and at the gateway's log"


class Run(NamedTuple):
    """`stop_ms` is from the order to the end of the last lane, the durable write of the revocation included."""

    lanes: int
    stop_ms: float
    resume_ms: float


Places = Mapping[tuple[str, int], int]
"""How far each lane is acknowledged, by topic and partition."""


async def drill_revoke(services: Services, grant_id: str, runs: int) -> AsyncIterator[Mapping[str, object]]:
    """One event a run, then the result. Raises GrantAbsent, DrillRefused, DrillFailed."""
    grant = _grant(services, grant_id)
    if not 1 <= runs <= MAX_RUNS:
        raise DrillRefused(grant_id, f"the number of runs is not from 1 to {MAX_RUNS}")
    if not _served(services, grant):
        raise DrillRefused(grant_id, "nothing of it is being read at the moment")
    done: list[Run] = []
    for number in range(runs):
        done.append(await _run(services, grant))
        yield {"event": "run", "number": number + 1, **done[-1]._asdict()}
    stops, resumes = [run.stop_ms for run in done], [run.resume_ms for run in done]
    yield {"event": "result", "runs": runs, "stop_ms": _figures(stops), "resume_ms": _figures(resumes)}


def _grant(services: Services, grant_id: str) -> Grant:
    grant = services.registry.grants.get(grant_id)
    if grant is None:
        raise GrantAbsent(grant_id[:300])
    if grant.state is not GrantState.ACTIVE:
        raise DrillRefused(grant_id, f"it is {grant.state}")
    return grant


async def _run(services: Services, grant: Grant) -> Run:
    before = _served(services, grant)
    begun_s = time.perf_counter()
    try:
        await services.registry.revoke_grant(grant.share, grant.peer)
        async with asyncio.timeout(STOP_S):
            await services.links.stopped(grant.peer, grant.share)
            while _served(services, grant):  # noqa: ASYNC110  # a lane leaves the list a turn after its end
                await asyncio.sleep(0)
        stopped_s = time.perf_counter()
    except TimeoutError as error:
        raise DrillFailed(grant.id, f"a lane was still served after {STOP_S:g} s") from error
    finally:
        await _restore(services, grant)
    restored_s = time.perf_counter()
    await _resumed(services, grant, before)
    return Run(len(before), (stopped_s - begun_s) * 1000, (time.perf_counter() - restored_s) * 1000)


async def _restore(services: Services, grant: Grant) -> None:
    async with asyncio.timeout(STOP_S):
        if services.registry.grants[grant.id].state is GrantState.REVOKED:
            await services.registry.create_grant(grant, services.now_ms())


async def _resumed(services: Services, grant: Grant, before: Places) -> None:
    deadline_s = time.perf_counter() + RESUME_S
    while not set(now := _served(services, grant)) >= set(before):  # the importer's side decides when
        if time.perf_counter() > deadline_s:
            missing = ", ".join(f"{topic}[{partition}]" for topic, partition in sorted(set(before) - set(now)))
            raise DrillFailed(grant.id, f"not resumed after {RESUME_S:g} s: {missing}")
        await asyncio.sleep(POLL_S)
    for place, acknowledged in before.items():
        if now[place] < acknowledged:
            raise DrillFailed(grant.id, f"{place[0]}[{place[1]}] resumed at {now[place]}, before {acknowledged}")


def _served(services: Services, grant: Grant) -> Places:
    """The lanes of the grant that are open, with how far they have come."""
    found: dict[tuple[str, int], int] = {}
    for lane in cast(list[dict[str, Any]], services.links.exports()):
        if lane["peer"] == grant.peer and lane["share"] == grant.share and lane["log_end"] >= 0:
            # before the first acknowledgement on a link a lane stands where it was opened
            come = lane["acknowledged"] if lane["acknowledged"] >= 0 else lane["position"]
            found[lane["topic"], lane["partition"]] = come
    return found


def _figures(values: Sequence[float]) -> Mapping[str, float]:
    """By nearest rank, in milliseconds."""
    ordered = sorted(values)
    at = {name: ordered[ceil(share * len(ordered)) - 1] for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}
    return {name: round(value, 3) for name, value in at.items()}
