"""Batches of a segment as one zstd frame, and back within bounds.

What is packed is the segment's `batches` fields as they would stand in it otherwise, so it unpacks to the same bytes.
A frame states its size, and nothing is allocated that is above what the receiver allows.
"""

from __future__ import annotations

import zstandard

from mesh.batch.stamp import Buffer
from mesh.link.errors import FrameMalformed

LEVEL = 1
"""Half a CPU second per GB faster than 3, for a few in a hundred bytes."""


def packed(fields: bytes) -> bytes:
    """One frame that states its content's size."""
    return zstandard.ZstdCompressor(LEVEL, write_content_size=True, write_checksum=False).compress(fields)


def unpacked(data: Buffer, most_bytes: int) -> bytes:
    """Raises FrameMalformed where `data` is no such frame, or one of more than `most_bytes`."""
    try:
        size = zstandard.frame_content_size(data)
        if not 0 <= size <= most_bytes:
            raise FrameMalformed(f"packed batches of {size} bytes; {most_bytes} are allowed")
        return zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise FrameMalformed(f"its packed batches cannot be read: {error}") from error
