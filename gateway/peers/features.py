"""The optional parts of the protocol that this gateway understands."""

from __future__ import annotations

from mesh.link.features import JOINED, PACKED
from mesh.link.seal import SEALED

MEASURES = "measures"
"""Of those who can say how much there is to copy."""
GROUPS = "groups"
BARE_DIGESTS = "bare-digests"
"""Of those who can tell records but for their timestamps."""
FEATURES = (BARE_DIGESTS, "bundles", "denials", GROUPS, JOINED, MEASURES, PACKED, SEALED)
