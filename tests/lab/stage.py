"""What a fault of the laboratory is given, and what it is: the contract between runs and faults.

A run sets up two sites, a mirror from the first (`source`) to the second (`copy`) and writers that go on all the while.
Then it lets faults strike, one after the other: `strike`, some time, `heal`, and the next record to arrive. A fault
changes sites only through what stands here, so that the run can bring up again whatever it left lying.

All of it is synchronous; faults may use threads of their own and end them in `heal`.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Protocol

from tests.lab.collect import RunDirectory, Where
from tests.lab.logs import Logs
from tests.lab.wire.between import Between
from tests.lab.wire.proxy import Proxy
from tests.support.brokers import Broker
from tests.support.organization import Organization, wait_for

PATIENCE_S = 90.0


class Counters:
    """How often something that a fault aims at really came about. What never did fails a campaign."""

    def __init__(self) -> None:
        self._met: Counter[str] = Counter()
        self._lock = threading.Lock()

    def sometimes(self, name: str, times: int = 1) -> None:
        with self._lock:
            self._met[name] += times

    def of(self, name: str) -> int:
        return self._met[name]

    def all(self) -> dict[str, int]:
        with self._lock:
            return dict(sorted(self._met.items()))

    def never(self, aims: Iterable[str]) -> list[str]:
        return [name for name in aims if not self._met[name]]


@dataclass
class Site:
    """One side: an organization, its gateway process, and its broker, None on the embedded log.

    For the next start of the gateway: `organization.environment`, `.settings`, `.advertised` (where peers dial it) and
    `.dialled` (where it dials its broker).
    """

    name: str
    """Of its cluster in the run directory."""
    organization: Organization
    broker: Broker | None = None
    wire: Proxy | None = None
    """Between the gateway and its broker, where the run has one."""

    def bring_up(self) -> None:
        """Broker and gateway, whichever does not run, also where it died by itself; returns when both are ready."""
        if self.broker is not None and (self.broker.process is None or self.broker.process.poll() is not None):
            self.broker.restart()
        if self.organization.process is not None and self.organization.process.poll() is not None:
            self.organization.kill()  # nothing but its remains
        if self.organization.process is None:
            self.organization.start()

    @property
    def data(self) -> Path:
        """The directory of the embedded log."""
        return self.organization.home / "data"

    @property
    def state(self) -> Path:
        return self.organization.home / "state"


@dataclass(frozen=True, slots=True)
class LanePlace:
    """A lane of the run, and where its two logs are."""

    name: str
    subscription: str
    source: Where
    copy: Where


@dataclass(frozen=True, slots=True)
class Recovery:
    """After a kill: from then, and from when all processes were ready again, to the next record's arrival."""

    victims: str
    from_kill_s: float
    from_ready_s: float


@dataclass
class Stage:
    """`chance` is seeded: draw everything that is drawn from it."""

    seed: int
    chance: Random
    directory: RunDirectory
    counters: Counters
    source: Site
    copy: Site
    logs: tuple[Logs, Logs]
    """Of the source's and the copy's cluster, read past the gateways."""
    lanes: list[LanePlace] = field(default_factory=list)
    scratch: Path = Path()
    """A directory for what faults need; it is kept with the run."""
    link: Between | None = None
    """Between the two gateways, where the run has one."""
    kills: int = 0
    """SIGKILLs of gateways and brokers so far."""
    recoveries: list[Recovery] = field(default_factory=list)
    on_kill: Callable[[Site], None] = lambda site: None
    """The run's: makes a copy of what is durable, now that the gateway of `site` is dead."""
    _killed: tuple[str, float] | None = None

    @property
    def sites(self) -> tuple[Site, Site]:
        return self.source, self.copy

    @property
    def on_kafka(self) -> bool:
        return self.copy.broker is not None

    # --- striking

    def kill(self, *victims: Site) -> None:
        """SIGKILL to the gateways, at this very moment; the run brings them up again."""
        for site in victims:
            site.organization.kill()
        self.killed(*victims)

    def killed(self, *victims: Site) -> None:
        """These have just died by SIGKILL."""
        self.kills += len(victims)
        self._note_killed("+".join(f"{site.name}'s gateway" for site in victims))
        for site in victims:
            self.on_kill(site)

    def kill_broker(self, *victims: Site) -> None:
        for site in victims:
            assert site.broker is not None
            site.broker.kill()
        self.kills += len(victims)
        self._note_killed("+".join(f"{site.name}'s broker" for site in victims))

    def _note_killed(self, victims: str) -> None:
        self._killed = (
            (f"{self._killed[0]}+{victims}", self._killed[1]) if self._killed else (victims, time.monotonic())
        )

    def bring_up(self) -> None:
        """Whatever does not run; returns when all of it is ready."""
        for site in self.sites:
            site.bring_up()

    def recover(self, timeout_s: float = PATIENCE_S) -> None:
        """Bring up what does not run, and wait for the next record: how long that took after a kill is noted."""
        self.bring_up()
        self.note_recovery(self.wait_progress, timeout_s)

    def note_recovery(self, arrival: Callable[..., object], timeout_s: float = PATIENCE_S) -> None:
        """All is ready since just now; `arrival` returns with the next record."""
        ready_s = time.monotonic()
        arrival(timeout_s=timeout_s)
        killed, self._killed = self._killed, None
        if killed is not None:
            now_s = time.monotonic()
            self.recoveries.append(Recovery(killed[0], now_s - killed[1], now_s - ready_s))

    # --- looking

    def progress(self) -> int:
        """How many records lie in the copy's partitions, all lanes together.

        Asked of the logs themselves, so that it is known while the gateway is down. Raises OSError where they do not
        answer.
        """
        return sum(self.logs[1].ends([lane.copy for lane in self.lanes]))

    def try_progress(self) -> int | None:
        """As `progress`; None where nobody answers."""
        try:
            return self.progress()
        except OSError:
            return None

    def wait_progress(self, beyond: int | None = None, timeout_s: float = PATIENCE_S) -> int:
        """Until more has arrived than `beyond` (default: than now); how much that is."""
        if beyond is None:
            (beyond,) = wait_for("the copy's log to say where it ends", self._first, timeout_s)
        return wait_for(f"progress beyond {beyond}", lambda: self._more(beyond), timeout_s)

    def _first(self) -> tuple[int] | None:
        found = self.try_progress()
        return None if found is None else (found,)

    def _more(self, beyond: int) -> int | None:
        found = self.try_progress()
        return found if found is not None and found > beyond else None


class Fault(Protocol):
    """One kind of fault. Make a new one for each time that it strikes.

    The run notes `fault` before `strike` and `heal` after `heal`; after that everything must work again. The run brings
    up what does not run and waits for the next record itself. `heal` is called even where `strike` raised. What a fault
    kills, it kills by `stage.kill` and `stage.kill_broker`.
    """

    @property
    def row(self) -> str:
        """The row of the fault table that it belongs to, in the words of docs/reliability.md."""

    @property
    def aims(self) -> tuple[str, ...]:
        """What must be met (`stage.counters.sometimes`) at least once in a campaign, else the row does not count."""

    def strike(self, stage: Stage) -> None: ...

    def heal(self, stage: Stage) -> None: ...
