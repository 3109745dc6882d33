"""Controls of trust between organizations: threats 1 to 4, 11, 12, 14, 16, 17 and 19."""

from __future__ import annotations

from tests.threats.table import Control

CONTROLS: tuple[Control, ...] = ()
