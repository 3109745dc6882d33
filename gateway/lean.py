"""Importing the daemon's parts at the least cost: a quarter of it is work for which a gateway has no use.

A. Nothing is collected meanwhile. What imports make stays for good, and looking for garbage among it, time after time,
   is a tenth of a start; afterwards all of it is set aside, so that later collections need not look at it either.
B. Some libraries import others only because they are there. Beside tests hypothesis is, and kio tells it of every type.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

UNUSED = ("hypothesis", "rich.traceback")
"""kio imports the first, structlog the second; both do without."""
GC_THRESHOLD = 10_000
"""New containers before the youngest are looked at; the default of 700 costs 3 % of a busy gateway's CPU."""


@contextmanager
def lean_imports() -> Iterator[None]:
    """For the body, which imports; to be used once in a process that goes on as a daemon."""
    absent = [name for name in UNUSED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: there is no such module
    gc.disable()
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)
        gc.enable()
