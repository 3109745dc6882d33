"""How a lane shows that this gateway does not run because it is another's."""

from __future__ import annotations

from dataclasses import replace

from mesh.lanes.status import LaneState, LaneStatus
from mesh.ports import Ownership


def placed(status: LaneStatus, ownership: Ownership) -> LaneStatus:
    """The status of a lane as it is to be shown; what we own stays as it is."""
    if ownership.owns(status.lane):
        return replace(status, gateway=ownership.gateway)
    owner = ownership.owner(status.lane)
    if owner and owner != ownership.gateway:
        return replace(status, state=LaneState.ELSEWHERE, gateway=owner, code="", reason="", remedy="")
    return replace(
        status,
        state=LaneState.WAITING,
        code="",
        reason=ownership.trouble() or "the gateways are sharing out the lanes",
        remedy="wait some seconds; if it goes on, see the gateway's log for its group",
    )
