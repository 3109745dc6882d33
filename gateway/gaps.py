"""The ledger of a subscription as it is shown: the source offsets without a copy, and what the source has lost.

Gaps come from the offset maps, losses from the ledgers beside them; a stretch that retention took is both, and is told
once. A lane that has stopped for a loss shows its range as pending: nothing was skipped yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.services import Services
from gateway.stored_lanes import stored_lanes
from mesh.ids import LaneId
from mesh.lanes.checkpoint import load_checkpoint, load_ledger, prefix
from mesh.lanes.ledger import LedgerEntry
from mesh.lanes.losses import LossKind, LostRange
from mesh.lanes.status import LaneStatus
from mesh.offsets.answers import Gap
from mesh.offsets.view import OffsetView
from mesh.shares import Subscription
from mesh.spans import GapReason

Shown = dict[str, object]


async def gaps_of(services: Services, subscription: Subscription, limit: int) -> list[Shown]:
    """In the order of the lanes, what is pending last; one more than `limit` at most."""
    statuses = {each.lane: each for each in services.lanes.statuses() if each.lane.subscription == subscription.name}
    listed: list[Shown] = []
    for lane in sorted(statuses.keys() | set(await stored_lanes(services.cluster.lanes, subscription))):
        for shown in await _of_lane(services, lane, statuses.get(lane)):
            listed.append({"topic": lane.topic, "partition": lane.partition} | shown)
            if len(listed) > limit:
                return listed
    return listed


async def _of_lane(services: Services, lane: LaneId, status: LaneStatus | None) -> Iterator[Shown]:
    stored = await services.cluster.lanes.load(prefix(lane))
    ledger = load_ledger(lane, stored)
    present = load_checkpoint(lane, stored).incarnation if ledger else 0
    offset_map = await services.lanes.offset_map(lane)
    return _shown(offset_map, ledger, present, status.lost if status is not None else None)


def _shown(
    offset_map: OffsetView | None, ledger: Sequence[LedgerEntry], present: int, pending: LostRange | None
) -> Iterator[Shown]:
    trimmed = [entry for entry in ledger if entry.kind is LossKind.TRIMMED and entry.incarnation == present]
    told: list[LedgerEntry] = []
    for gap in offset_map.gaps() if offset_map is not None else ():
        entries = [each for each in trimmed if _covers(gap, each)] if gap.reason is GapReason.LOST else []
        told += entries
        yield _gap(gap, entries)
    for entry in ledger:
        if entry not in told:
            yield _loss(entry)
    if pending is not None:
        extent = _extent(pending.source_offset, pending.next_source_offset)
        yield extent | {"reason": _reason(pending.kind), "kind": str(pending.kind), "pending": True}


def _covers(gap: Gap, entry: LedgerEntry) -> bool:
    return gap.source_offset <= entry.source_offset and entry.next_source_offset <= gap.source_offset + gap.length


def _gap(gap: Gap, entries: Sequence[LedgerEntry]) -> Shown:
    shown = _extent(gap.source_offset, gap.source_offset + gap.length) | {"reason": str(gap.reason)}
    if entries:
        shown |= {"kind": str(LossKind.TRIMMED), "noticed_ms": entries[0].noticed_ms}
    for entry in entries:
        if entry.unmapped:
            shown |= _copies(entry)
    return shown


def _loss(entry: LedgerEntry) -> Shown:
    return _extent(entry.source_offset, entry.next_source_offset) | {
        "reason": _reason(entry.kind),
        "kind": str(entry.kind),
        "noticed_ms": entry.noticed_ms,
        "topic_id": entry.topic_id,
        "incarnation": entry.incarnation,
        **_copies(entry),
    }


def _copies(entry: LedgerEntry) -> Shown:
    return {
        "destination_offset": entry.destination_offset,
        "next_destination_offset": entry.next_destination_offset,
        "unmapped": entry.unmapped,
    }


def _extent(first: int, end: int) -> Shown:
    return {"source_offset": first, "next_source_offset": end, "offsets": end - first}


def _reason(kind: LossKind) -> str:
    return str(GapReason.RECREATED if kind is LossKind.RECREATED else GapReason.LOST)
