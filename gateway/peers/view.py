"""What an operator sees of the links: plain values of the table as it is now."""

from __future__ import annotations

from gateway.peers.table import LinkTable
from gateway.services import LinkStatus


def link_statuses(table: LinkTable) -> list[LinkStatus]:
    """Of the open links."""
    return [
        LinkStatus(
            org,
            str(link.session.peer or ""),
            link.role,
            link.since_ms,
            link.address,
            leaf_end_ms=link.leaf_end_ms,
            exports=len(link.session.exports()),
            imports=link.session.import_count,
            version=link.version,
            clock_skew_ms=link.clock_skew_ms,
        )
        for org, link in table.all()
        if link.session.is_open
    ]


def exports_shown(table: LinkTable) -> list[dict[str, object]]:
    """Each lane that we serve: offsets are -1 while they are not known."""
    return [
        {
            "peer": str(org),
            "share": lane.opening.share,
            "topic": lane.opening.topic,
            "partition": lane.opening.partition,
            "position": lane.position,
            "acknowledged": lane.acknowledged,
            "log_end": lane.log_end,
        }
        for org, link in table.all()
        for lane in link.session.exports()
    ]
