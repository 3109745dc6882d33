"""A bound on how many streams are open at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mesh.local.errors import TooManyReaders


class Streams:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.open = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Raises TooManyReaders."""
        if self.open >= self._limit:
            raise TooManyReaders(self._limit)
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1
