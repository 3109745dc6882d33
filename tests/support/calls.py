"""Counts of calls, Python's and built-in ones, by what they serve: what a path costs, the same on every machine.

A call counts for the nearest function on the stack whose file stands in `stages`; so the standard library and what
several stages share count for whoever uses them. What fakes and tests do counts for nobody.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

ROOT = Path(__file__).parent.parent.parent
FAKES = ("tests/", "mesh/testing/")
_NOBODY, _CALLER = object(), object()


class Calls:
    """`by_stage` counts; `stages` are beginnings of paths below the root, the first that fits decides."""

    def __init__(self, stages: Mapping[str, tuple[str, ...]]) -> None:
        self.by_stage: Counter[str] = Counter()
        self._stages = stages
        self._owners: dict[CodeType, object] = {}

    @contextmanager
    def counting(self) -> Iterator[None]:
        sys.setprofile(self._called)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _called(self, frame: FrameType, event: str, _: Callable[..., object] | None) -> None:
        if event != "call" and event != "c_call":
            return
        owners, each = self._owners, frame
        while (owner := owners.get(each.f_code) or self._owner(each.f_code)) is _CALLER:
            if each.f_back is None:
                return
            each = each.f_back
        if owner is not _NOBODY:
            self.by_stage[str(owner)] += 1

    def _owner(self, code: CodeType) -> object:
        found = self._owners[code] = self._owner_of(code.co_filename)
        return found

    def _owner_of(self, file: str) -> object:
        path = Path(file)
        if not path.is_relative_to(ROOT):
            return _CALLER
        place = str(path.relative_to(ROOT))
        if place.startswith(FAKES):
            return _NOBODY
        return next((stage for stage, places in self._stages.items() if place.startswith(places)), _CALLER)
