"""An offset map as far as it is acknowledged: what readers are told while appends are under way."""

from __future__ import annotations

from collections.abc import Iterator

from mesh.offsets.answers import After, Answer, Gap, InGap, Run
from mesh.offsets.map import OffsetMap


class OffsetView:
    """The part of `offset_map` below `position` (source side) and `destination_offset`. A view: no copy.

    The map may be ahead: what lies beyond is planned, not durable, and answered as After.
    """

    def __init__(self, offset_map: OffsetMap, position: int, destination_offset: int) -> None:
        self._map = offset_map
        self.position = position
        self.destination_offset = destination_offset

    @property
    def start(self) -> int:
        return self._map.start

    @property
    def destination_start(self) -> int:
        return self._map.destination_start

    def translate(self, source_offset: int) -> Answer:
        """As `OffsetMap.translate`."""
        if source_offset >= self.position:
            return After(self.position)
        answer = self._map.translate(source_offset)
        if isinstance(answer, InGap) and (answer.next_offset or 0) >= self.destination_offset:
            return InGap(answer.reason, None)
        return answer

    def translate_back(self, destination_offset: int) -> Answer:
        """As `OffsetMap.translate_back`."""
        if destination_offset >= self.destination_offset:
            return After(self.destination_offset)
        return self._map.translate_back(destination_offset)

    def runs(self) -> Iterator[Run]:
        for run in self._map.runs():
            if run.source_offset >= self.position:
                return
            yield run._replace(length=min(run.length, self.position - run.source_offset))

    def gaps(self) -> Iterator[Gap]:
        for gap in self._map.gaps():
            if gap.source_offset >= self.position:
                return
            yield gap._replace(length=min(gap.length, self.position - gap.source_offset))
