"""The optional parts of the link protocol that concern the frames themselves: in use where both hellos name them."""

from __future__ import annotations

from mesh.link.frames import Hello

JOINED = "joined-batches"
"""An entry of a segment's batches may be several whole batches, one after another, as they lie in a log."""

PACKED = "packed-batches"
"""The batches of a segment may be compressed for the way: `mesh.wire.packing`."""


def agreed(feature: str, ours: Hello, theirs: Hello | None) -> bool:
    """Whether both sides understand `feature`; the hellos are signed, so nobody between them takes it away."""
    return theirs is not None and feature in ours.features and feature in theirs.features
