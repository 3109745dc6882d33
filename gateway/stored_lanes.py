"""Which lanes have begun, and where they stood when they last ran: known without running them.

A checkpoint may lie behind the log by what was on its way when a gateway was killed; the lane itself asks the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import structlog

from mesh.errors import MeshError
from mesh.ids import LaneId, SubscriptionName, TopicName
from mesh.lanes.checkpoint import Checkpoint, begun_lanes, load_checkpoint, load_ledger, prefix
from mesh.lanes.status import LaneStatus
from mesh.ports import StateStore
from mesh.shares import Subscription

log = structlog.get_logger()


async def stored_lanes(lanes: StateStore, subscription: Subscription) -> list[LaneId]:
    """The lanes of the subscription that have begun, in order."""
    return _begun(subscription, await lanes.load(f"lane/{subscription.name}/"))


def _begun(subscription: Subscription, stored: Mapping[str, bytes]) -> list[LaneId]:
    return [lane for lane in begun_lanes(subscription.name, stored) if subscription.destination_of(lane.topic)]


async def lost_copies(lanes: StateStore, lane: LaneId) -> tuple[range, ...]:
    """The destination offsets of copies whose records the source has lost since, by the lane's ledger.

    Raises LaneStateDamaged.
    """
    ledger = load_ledger(lane, await lanes.load(prefix(lane)))
    found = (range(entry.destination_offset, entry.next_destination_offset) for entry in ledger)
    return tuple(each for each in found if each)


async def stored_checkpoints(lanes: StateStore, subscription: Subscription) -> dict[LaneId, Checkpoint]:
    """The lanes of the subscription that have begun, in order; none where they cannot be read: their lanes say why."""
    try:
        stored = await lanes.load(f"lane/{subscription.name}/")
        found = {lane: load_checkpoint(lane, stored) for lane in _begun(subscription, stored)}
        return {lane: each for lane, each in found.items() if each.is_of(subscription.subscribed_ms)}
    except MeshError as error:
        log.warning("stored positions not read", subscription=subscription.name, code=error.code, reason=str(error))
        return {}


def with_checkpoint(status: LaneStatus, checkpoints: Mapping[LaneId, Checkpoint]) -> LaneStatus:
    """The status of a lane that does not know its position yet, with the stored one if there is any."""
    checkpoint = checkpoints.get(status.lane)
    if checkpoint is None or status.source_position >= 0:
        return status
    copied = checkpoint.ordinal - checkpoint.map_first_ordinal
    return replace(
        status,
        source_position=checkpoint.source_position,
        destination_end=checkpoint.destination_offset,
        records=checkpoint.ordinal,
        gaps=checkpoint.source_position - checkpoint.map_start - copied,
    )


async def leftovers(lanes: StateStore, name: str) -> list[LaneId]:
    """The lanes of a subscription of that name of which anything is stored, in order."""
    return sorted({_lane_of(key) for key in await lanes.load(f"lane/{name}/")})


async def clear_lane(lanes: StateStore, lane: LaneId) -> None:
    """Forget everything that is stored of a lane that has ended. Raises StateMoved where another gateway has it."""
    stored = await lanes.load(prefix(lane))
    if stored:
        await lanes.put(dict.fromkeys(stored))


def _lane_of(key: str) -> LaneId:
    _, subscription, topic, partition, _ = key.split("/", 4)
    return LaneId(SubscriptionName(subscription), TopicName(topic), int(partition))
