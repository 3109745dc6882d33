"""Reads both sides of a lane as pages of digests: the copy from our own log, the source from the peer that has it.

Either log may have dropped its oldest records since they were mirrored; where the readable part begins is found
here, so that the rest can still be compared.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

from gateway.services import DigestPage, Services
from gateway.verify.digests import check_page, digest_page
from gateway.verify.errors import DigestsOutOfRange
from mesh.errors import MeshError
from mesh.ids import LaneId, Partition
from mesh.shares import OnTimestamp, Subscription

PAGE_RECORDS = 10_000
"""160 KB of digests: large beside a round trip, small beside memory; a few milliseconds to compare."""

Fetch: TypeAlias = Callable[[int, int, int], Awaitable[DigestPage]]
"""(start, end, max_records) -> the first records of [start, end)."""


def source_fetch(services: Services, subscription: Subscription, lane: LaneId) -> Fetch:
    """With bare digests where the mirror may leave a timestamp out."""
    bare = subscription.on_timestamp is OnTimestamp.OVERRIDE

    async def fetch(start: int, end: int, max_records: int) -> DigestPage:
        page = await services.links.digests(
            subscription.peer, subscription.share, lane.topic, lane.partition, start, end, max_records, bare=bare
        )
        check_page(page, start, end, bare=bare)
        return page

    return fetch


def copy_fetch(services: Services, partition: Partition) -> Fetch:
    async def fetch(start: int, end: int, max_records: int) -> DigestPage:
        return await digest_page(services.cluster.source, partition, start, end, max_records)

    return fetch


async def pages(fetch: Fetch, start: int, end: int, max_records: int = PAGE_RECORDS) -> AsyncIterator[DigestPage]:
    """The pages of [start, end), at least one; a log that ends early ends them early."""
    position = start
    while position < end:
        page = await fetch(position, end, max_records)
        if page.next_source_offset <= position:
            break
        yield page
        position = page.next_source_offset


async def first_readable(fetch: Fetch, start: int, end: int) -> int:
    """The first offset of [start, end) that the log still has, `end` where it has none of them.

    The wire tells only that an offset is out of range: bisect. A log drops its beginning, so readability rises.
    """
    if start >= end or await _readable(fetch, start, end):
        return start
    low, high = start, end
    while high - low > 1:
        middle = (low + high) // 2
        if await _readable(fetch, middle, end):
            high = middle
        else:
            low = middle
    return high


async def _readable(fetch: Fetch, offset: int, end: int) -> bool:
    try:
        await fetch(offset, end, 1)
    except MeshError as error:
        # The peer's refusal carries the code of what happened there; our own log raises it itself.
        if DigestsOutOfRange.code in {error.code, *map(str, error.data.values())}:
            return False
        raise
    return True
