"""Whether this gateway is alive and ready: named checks, asked when somebody asks.

Ready means that this gateway can do its work (store open, own certificate valid, listeners up, cluster reached once),
not that every peer is connected. While it stops it is not ready.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

Check = Callable[[], str]
"""Empty where all is well, otherwise why not."""


class CheckResult(NamedTuple):
    name: str
    ok: bool
    why: str


class Health:
    """The checks of one gateway. `stopping` turns it not ready for good."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._advice: dict[str, Check] = {}
        self._stopping = False

    def __repr__(self) -> str:
        return f"<Health {'stopping' if self._stopping else 'ready' if self.ready else 'not ready'}>"

    def add(self, name: str, check: Check) -> None:
        self._checks[name] = check

    def advise(self, name: str, check: Check) -> None:
        """Shown like a check, but whatever it says, the gateway stays ready."""
        self._advice[name] = check

    def stopping(self) -> None:
        self._stopping = True

    def results(self) -> list[CheckResult]:
        found = [CheckResult("not-stopping", not self._stopping, "the gateway is stopping" if self._stopping else "")]
        found += [CheckResult(name, not (why := check()), why) for name, check in self._checks.items()]
        return found + [CheckResult(name, True, check()) for name, check in self._advice.items()]

    @property
    def ready(self) -> bool:
        return all(result.ok for result in self.results())
