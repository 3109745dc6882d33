"""The table of threats: each control, where it is, the tests that show it, and the patch that takes it out.

A. A control counts only if its tests fail with its patch (`python -m tests.threats`): a test that passes without the
   control shows nothing about it.
B. A threat may have several controls, told apart by letters; each has a patch of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

THREATS = {
    1: "identity spoofed across trust domains",
    2: "confused deputy: a peer makes us act beyond its rights",
    3: "races with revocation and with the end of a certificate or a grant",
    4: "replay of an invitation",
    5: "names that are paths, controls or somebody else's",
    6: "batches that unpack to far more than they are",
    7: "oversized messages",
    8: "malformed batches that stop consumers",
    9: "slow, silent and half-open connections",
    10: "floods of streams, resets and headers",
    11: "requests forged by the addresses that a partner names",
    12: "one partner learns of another",
    13: "forged lines in logs",
    14: "secrets in logs, files and process lists",
    15: "the local API reached through a browser or by other users",
    16: "keys that others can read or replace",
    17: "downgrade of TLS, version or features",
    18: "frames replayed, dropped, swapped or changed on the way",
    19: "a source that lies about its offsets",
}
WITHOUT = Path(__file__).parent / "without"


@dataclass(frozen=True, slots=True)
class Control:
    """`id` is the number of the threat, with a letter where it has several controls."""

    id: str
    control: str
    where: str
    """The file of the product that holds it."""
    tests: tuple[str, ...]
    """Node ids, of a function or of one of its cases. Each has a case that fails without the control."""
    without: str
    """The patch in `without/` that takes the control out, and nothing else."""
    fails: str = ""
    """What the failures say, where they are no assertions: the kind of an exception."""

    @property
    def threat(self) -> int:
        match = re.fullmatch(r"([0-9]+)[a-z]?", self.id)
        assert match is not None, self.id
        return int(match[1])

    @property
    def patch(self) -> Path:
        return WITHOUT / self.without


def controls() -> tuple[Control, ...]:
    """All of them, in order."""
    from tests.threats import rows_batches, rows_input, rows_trust

    found = (*rows_trust.CONTROLS, *rows_input.CONTROLS, *rows_batches.CONTROLS)
    return tuple(sorted(found, key=lambda control: (control.threat, control.id)))
