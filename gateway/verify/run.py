"""`mesh verify`: compares every lane of a subscription, source against copy, as far as each is acknowledged.

It waits for nothing: where each lane stands is taken once, at the beginning, and what comes later is lag, not loss. A
lane that cannot be read is named and the others go on. Hashing and comparing run in threads, page by page,
while the next pages of both sides are on their way; the offset map is only appended to meanwhile, which readers in a
thread may see or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Protocol, TypeAlias

from gateway.services import DigestPage, Services
from gateway.stored_lanes import lost_copies, stored_lanes
from gateway.verify.compare import Comparison, Translations
from gateway.verify.errors import NothingLeft, NothingToVerify
from gateway.verify.findings import KINDS, Findings, closing_line
from gateway.verify.pages import PAGE_RECORDS, Fetch, copy_fetch, first_readable, pages, source_fetch
from mesh.errors import MeshError
from mesh.ids import LaneId, Partition
from mesh.offsets.answers import Exact, Foreign, InGap
from mesh.shares import Subscription

Report: TypeAlias = Callable[[Mapping[str, object]], Awaitable[None]]

AHEAD_PAGES = 2


class MapView(Translations, Protocol):
    """What is asked of a lane's map, as far as it is acknowledged."""

    @property
    def start(self) -> int: ...

    @property
    def position(self) -> int: ...

    @property
    def destination_start(self) -> int: ...

    @property
    def destination_offset(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Extent:
    """What is compared of a lane: [start, position) with [destination_start, destination_end)."""

    start: int
    position: int
    destination_start: int
    destination_end: int


@dataclass(frozen=True, slots=True)
class LaneJob:
    lane: LaneId
    destination: Partition
    view: MapView
    extent: Extent
    lag_records: int | None
    left_over: tuple[range, ...] = ()
    """Destination offsets of copies whose records the source has lost since."""


async def verify(services: Services, name: str, report: Report, page_records: int = PAGE_RECORDS) -> None:
    """Report `begin`, many `progress`, one `lane` for each lane, at last `result`.

    Raises SubscriptionAbsent, NothingToVerify.
    """
    subscription = services.registry.subscription(name)
    jobs, waiting = await _jobs(services, subscription)
    if not jobs:
        raise NothingToVerify(name)
    await report(_begin(subscription, jobs, waiting))
    total, done = sum(job.extent.position - job.extent.start for job in jobs), 0
    lanes: list[dict[str, object]] = []
    for job in jobs:
        lanes.append(
            await _verify_lane(services, subscription, job, _Progress(report, job.lane, done, total), page_records)
        )
        await report({"event": "lane", **lanes[-1]})
        done += job.extent.position - job.extent.start
    await report(_result(subscription, lanes, waiting))


async def _jobs(services: Services, subscription: Subscription) -> tuple[list[LaneJob], list[LaneId]]:
    """The lanes that have begun, each as far as it is now, and those that have not."""
    jobs, waiting = [], []
    lags = {each.lane: each.lag_records for each in services.lanes.statuses() if each.lane[0] == subscription.name}
    # those that do not run now, of a paused or promoted subscription, are known by their stored state alone
    for lane in sorted({*lags, *await stored_lanes(services.cluster.lanes, subscription)}):
        view = await services.lanes.offset_map(lane)
        topic = subscription.destination_of(lane.topic)
        if view is None or topic is None:
            waiting.append(lane)
            continue
        extent = Extent(view.start, view.position, view.destination_start, view.destination_offset)
        left_over = await lost_copies(services.cluster.lanes, lane)
        jobs.append(LaneJob(lane, Partition(topic, lane.partition), view, extent, lags.get(lane), left_over))
    return jobs, waiting


@dataclass(frozen=True, slots=True)
class _Progress:
    """Progress of the whole, in source offsets, from that of a lane."""

    report: Report
    lane: LaneId
    done_before: int
    total: int

    async def at(self, lane_done: int, findings: Findings) -> None:
        await self.report(
            {
                "event": "progress", "lane": str(self.lane), "done": self.done_before + lane_done,
                "total": self.total, "records": findings.records,
            }
        )  # fmt: skip


async def _verify_lane(
    services: Services, subscription: Subscription, job: LaneJob, progress: _Progress, page_records: int
) -> dict[str, object]:
    source = source_fetch(services, subscription, job.lane)
    copy = copy_fetch(services, job.destination)
    try:
        extent = await _readable_extent(job, source, copy)
        findings = await _compare(job, extent, source, copy, progress, page_records)
    except MeshError as error:
        return _lane_answer(job, job.extent, Findings(), error)
    return _lane_answer(job, extent, findings, None)


async def _readable_extent(job: LaneJob, source: Fetch, copy: Fetch) -> Extent:
    """The part of the lane that both logs still have; the map says what belongs together at its beginning."""
    whole = job.extent
    destination_start = await first_readable(copy, whole.destination_start, whole.destination_end)
    start = whole.start
    if destination_start > whole.destination_start:
        back = job.view.translate_back(destination_start)
        start = back[0] if isinstance(back, Exact | Foreign) else whole.position
    first = await first_readable(source, start, whole.position)
    if first > start:
        answer = job.view.translate(first) if first < whole.position else None
        following = answer.offset if isinstance(answer, Exact) else None
        following = answer.next_offset if isinstance(answer, InGap) else following
        destination_start = whole.destination_end if following is None else following
    if first == whole.position > whole.start:
        raise NothingLeft(str(job.lane))
    return Extent(first, whole.position, destination_start, whole.destination_end)


async def _compare(
    job: LaneJob, extent: Extent, source: Fetch, copy: Fetch, progress: _Progress, page_records: int
) -> Findings:
    comparison = Comparison(job.view, extent.start, extent.destination_start, left_over=job.left_over)
    try:
        async with asyncio.TaskGroup() as group:
            a, b = _Ahead(), _Ahead()
            group.create_task(a.read(pages(source, extent.start, extent.position, page_records)))
            group.create_task(b.read(pages(copy, extent.destination_start, extent.destination_end, page_records)))
            while not comparison.fed:
                side = (a, comparison.source) if comparison.wants_source else (b, comparison.destination)
                page = await side[0].next()
                await asyncio.to_thread(_feed, side[1], page)
                if side[0] is a and page is not None:
                    await progress.at(page.next_source_offset - job.extent.start, comparison.findings)
            return await asyncio.to_thread(comparison.finish, extent.position, extent.destination_end)
    except BaseExceptionGroup as group_error:
        # Either reader may fail; the first failure is the lane's.
        raise _first(group_error) from group_error


def _feed(side: Callable[..., None], page: DigestPage | None) -> None:
    if page is None:
        side((), (), ended=True)
    else:
        side(page.offsets, page.digests, *([page.bare] if page.bare else []))


class _Ahead:
    """Pages read ahead of the comparison, a few; None at the end."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[DigestPage | None] = asyncio.Queue(AHEAD_PAGES)

    async def read(self, source: AsyncIterator[DigestPage]) -> None:
        async for page in source:
            await self._queue.put(page)
        await self._queue.put(None)

    async def next(self) -> DigestPage | None:
        return await self._queue.get()


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _begin(subscription: Subscription, jobs: list[LaneJob], waiting: list[LaneId]) -> dict[str, object]:
    return {
        "event": "begin",
        "subscription": subscription.name,
        "peer": subscription.peer,
        "lanes": [{"lane": str(job.lane), **asdict(job.extent), "lag_records": job.lag_records} for job in jobs],
        "not_begun": [str(lane) for lane in waiting],
        "total": sum(job.extent.position - job.extent.start for job in jobs),
    }


def _lane_answer(job: LaneJob, extent: Extent, findings: Findings, error: MeshError | None) -> dict[str, object]:
    evidence = [item._asdict() for item in findings.evidence]
    return {
        "lane": str(job.lane),
        "destination": str(job.destination),
        **asdict(extent),
        "lag_records": job.lag_records,
        "not_compared": extent.start - job.extent.start,
        **(asdict(findings) | {"evidence": evidence}),
        "failure": None if error is None else _error(error),
    }


def _error(error: MeshError) -> dict[str, object]:
    return {"code": error.code, "sentence": str(error), "remedy": error.remedy}


def _result(subscription: Subscription, lanes: list[dict[str, object]], waiting: list[LaneId]) -> dict[str, object]:
    totals = {name: sum(int(str(lane[name] or 0)) for lane in lanes) for name in _TOTALS}
    unreadable = [str(lane["lane"]) for lane in lanes if lane["failure"] is not None]
    clean = not unreadable and not any(totals[kind] for kind in KINDS)
    return {
        "event": "result", "subscription": subscription.name, "peer": subscription.peer, "ok": clean, **totals,
        "unreadable": unreadable, "not_begun": [str(lane) for lane in waiting], "lanes": lanes,
        "closing": closing_line(totals["records"], totals),
    }  # fmt: skip


_TOTALS = (
    "records", *KINDS, "foreign", "left_over", "overridden", "filtered", "translations", "translations_left_out",
    "lag_records", "not_compared",
)  # fmt: skip
