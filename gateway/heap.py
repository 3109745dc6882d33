"""What the allocator of the C library keeps of freed memory.

By default it gives the end of its heap back at each chance, and the pages of the next megabyte are faulted in anew,
zeroed by the kernel: up to half a CPU second per GB. Where the C library has no such setting nothing changes.
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
KEPT_BYTES = 6 << 20
"""At the end of the heap: some messages of a megabyte and the batches made of them."""
OF_ITS_OWN_BYTES = 4 << 20
"""From here on a buffer is mapped by itself and returned when it is freed: the largest batches are 16 MiB."""


def keep_pages() -> None:
    """To be called once, early: it holds for the whole process."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_MMAP_THRESHOLD, OF_ITS_OWN_BYTES)
    mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
