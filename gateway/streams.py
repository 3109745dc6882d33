"""A bound on how many streams are open at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mesh.errors import MeshError


class Streams:
    def __init__(self, limit: int, refusal: Callable[[int], MeshError]) -> None:
        """`refusal` of the limit is what one too many gets."""
        self._limit = limit
        self._refusal = refusal
        self.open = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Raises the refusal."""
        if self.open >= self._limit:
            raise self._refusal(self._limit)
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1
