"""Controls against malformed batches: threat 8."""

from __future__ import annotations

from tests.threats.table import Control

CONTROLS: tuple[Control, ...] = ()
