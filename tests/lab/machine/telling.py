"""How a command of this package ends: what it came to, the first of what was wrong, and the exit code."""

from __future__ import annotations

import time
from collections.abc import Sequence

SHOWN = 20


def told(found: object, wrong: Sequence[str], began_s: float) -> int:
    """`began_s` by the monotonic clock; 1 where anything was wrong."""
    print(f"{found}; {time.monotonic() - began_s:.0f} s")
    for each in wrong[:SHOWN]:
        print(f"  {each}")
    return 1 if wrong else 0
