"""Controls against what a peer, or somebody at the port, sends us: threats 5 to 7, 9, 10, 13, 15 and 18."""

from __future__ import annotations

from tests.threats.table import Control

CONTROLS: tuple[Control, ...] = ()
