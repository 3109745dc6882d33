"""A fake cluster whose n-th call of a kind fails."""

from __future__ import annotations

from collections import Counter

from mesh.testing.cluster import FakeCluster, Operation


class FailingCluster(FakeCluster):
    """`fail_at("append", 3, error)`: the fourth append fails, those before and after it do not."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._calls: Counter[str] = Counter()
        self._plan: dict[tuple[str, int], Exception] = {}
        self.failed = 0

    def fail_at(self, operation: Operation, call: int, error: Exception) -> None:
        self._plan[operation, call] = error

    def fail_from_now(self, operation: Operation, call: int, error: Exception) -> None:
        """As `fail_at`, with the calls counted from now on."""
        self.fail_at(operation, self._calls[operation] + call, error)

    def fail_no_more(self) -> None:
        self._plan.clear()

    def check(self, operation: Operation) -> None:
        super().check(operation)
        call = self._calls[operation]
        self._calls[operation] += 1
        if (operation, call) in self._plan:
            self.failed += 1
            raise self._plan[operation, call]
