"""How a command of this package is told its seed, and how it ends: what it came to, what was wrong, the exit code."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence

SHOWN = 20


def seeded(description: str | None) -> argparse.ArgumentParser:
    """A parser that knows `--seed`, which is drawn where it is not given."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    return parser


def told(found: object, wrong: Sequence[str], began_s: float) -> int:
    """`began_s` by the monotonic clock; 1 where anything was wrong."""
    print(f"{found}; {time.monotonic() - began_s:.0f} s")
    for each in wrong[:SHOWN]:
        print(f"  {each}")
    return 1 if wrong else 0
