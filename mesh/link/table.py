"""The states of a link and of a lane, and which frame moves which: the tables are the program.

`machine.py` looks every frame up here, in both directions; what is not in a table is refused. The diagrams in
docs/design/link.md are printed from these tables (`python -m mesh.link.table`) and a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class LinkState(StrEnum):
    NEW = "new"
    GREETING = "greeting"
    """Our hello is sent; the peer's has not come."""
    PROVING = "proving"
    """Both hellos are known; the peer's proof has not come."""
    OPEN = "open"
    DRAINING = "draining"
    """One side said go-away: open lanes go on, new ones are refused."""
    CLOSED = "closed"


class LaneState(StrEnum):
    IDLE = "idle"
    ASKED = "asked"
    OPEN = "open"
    ENDED = "ended"


SEND = ">"
RECEIVE = "<"

# Our proof answers their hello, so it is sent while we wait for theirs; theirs may come first.
LINK: Mapping[tuple[LinkState, str], LinkState] = {
    (LinkState.NEW, "> hello"): LinkState.GREETING,
    (LinkState.GREETING, "< hello"): LinkState.PROVING,
    (LinkState.PROVING, "> proof"): LinkState.PROVING,
    (LinkState.PROVING, "< proof"): LinkState.OPEN,
    (LinkState.OPEN, "> go_away"): LinkState.DRAINING,
    (LinkState.OPEN, "< go_away"): LinkState.DRAINING,
    (LinkState.DRAINING, "> go_away"): LinkState.DRAINING,
    (LinkState.DRAINING, "< go_away"): LinkState.DRAINING,
}

# Frames that belong to no lane and change no state.
BESIDE: Mapping[LinkState, frozenset[str]] = {
    LinkState.NEW: frozenset(),
    LinkState.GREETING: frozenset(),
    LinkState.PROVING: frozenset(),
    LinkState.OPEN: frozenset({"heartbeat", "request", "reply"}),
    LinkState.DRAINING: frozenset({"heartbeat", "request", "reply"}),
    LinkState.CLOSED: frozenset(),
}

# The side that opened the lane: it receives data.
IMPORTING: Mapping[tuple[LaneState, str], LaneState] = {
    (LaneState.IDLE, "> lane_open"): LaneState.ASKED,
    (LaneState.ASKED, "< lane_opened"): LaneState.OPEN,
    (LaneState.ASKED, "< lane_end"): LaneState.ENDED,
    (LaneState.ASKED, "> lane_end"): LaneState.ENDED,
    (LaneState.OPEN, "< data"): LaneState.OPEN,
    (LaneState.OPEN, "< lane_status"): LaneState.OPEN,
    (LaneState.OPEN, "> credit"): LaneState.OPEN,
    (LaneState.OPEN, "> acknowledgement"): LaneState.OPEN,
    (LaneState.OPEN, "< lane_end"): LaneState.ENDED,
    (LaneState.OPEN, "> lane_end"): LaneState.ENDED,
}

_MIRRORED = {SEND: RECEIVE, RECEIVE: SEND}

# The side that serves it: the same table seen from the other end.
EXPORTING: Mapping[tuple[LaneState, str], LaneState] = {
    (state, _MIRRORED[move[0]] + move[1:]): after for (state, move), after in IMPORTING.items()
}

# What may still be under way when the lane was ended by us: dropped, not an error.
LATE: frozenset[str] = frozenset({"lane_opened", "data", "lane_status", "credit", "acknowledgement", "lane_end"})


def diagram(table: Mapping[tuple[LinkState, str], LinkState] | Mapping[tuple[LaneState, str], LaneState]) -> str:
    """The table as a Mermaid state diagram."""
    moves: dict[tuple[str, str], list[str]] = {}
    for (before, move), after in table.items():
        moves.setdefault((before.value, after.value), []).append(move.replace(">", "send").replace("<", "receive"))
    lines = [f"    {before} --> {after}: {', '.join(names)}" for (before, after), names in moves.items()]
    return "\n".join(["stateDiagram-v2", *lines])


if __name__ == "__main__":
    for title, table in (("Link", LINK), ("Lane, importer", IMPORTING), ("Lane, exporter", EXPORTING)):
        print(f"### {title}\n\n```mermaid\n{diagram(table)}\n```\n")
