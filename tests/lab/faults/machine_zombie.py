"""A gateway frozen for longer than its session at a named place of an append, another in its stead, and its return.

It holds batches that the other has long written when it wakes; every place must have been taken once (the verifier's
judgement), and the one that woke must do nothing that it no longer may. Needs Kafka, which keeps the gateways apart.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from uuid import uuid4

from gateway.failpoints import Place
from tests.lab.faults.processes import REACHED_S, Struck, under_way
from tests.lab.stage import Stage
from tests.support.organization import Organization, wait_for

SESSION_S = 6.0
PLACES = (Place.APPEND, Place.APPENDING, Place.APPENDED, Place.STORE, Place.ACKNOWLEDGE)
MOST_PASSES = 20
LEFT_BEHIND = "group left behind"
"""What a member says that finds itself put out of the group."""


@dataclass
class Zombie:
    place: Place
    row: str = "zombie: frozen beyond its session, replaced, woken"
    _spare: Organization | None = field(default=None, init=False)
    _is_frozen: bool = field(default=False, init=False)

    @property
    def aims(self) -> tuple[str, ...]:
        return (f"replaced while frozen at {self.place}", "woke and found itself replaced")

    def strike(self, stage: Stage) -> None:
        site = stage.copy
        frozen = site.organization
        under_way(stage)
        assert frozen.stop() == 0
        struck = Struck(stage.scratch / "struck.jsonl")
        passes = 1 + stage.chance.randrange(MOST_PASSES)
        frozen.launch(environment=struck.environment(self.place, "freeze", passes))
        if not struck.comes(self.place, 2 * REACHED_S):
            stage.kill(site)  # else it would freeze later, when nobody thaws it
            return
        self._is_frozen = True
        began = time.monotonic()
        self._spare = frozen.joined(stage.scratch / f"spare-{uuid4().hex[:8]}", "gw-2")
        self._spare.settings = tuple(each for each in frozen.settings if not each.startswith("listen."))
        self._spare.start()
        wait_for("the session of the frozen one to end", lambda: time.monotonic() - began > SESSION_S + 1)
        stage.wait_progress()
        stage.counters.sometimes(self.aims[0])
        seen = len(frozen.log)
        self._thaw(stage)
        stage.wait_progress()
        wait_for("the one that woke to say so", lambda: LEFT_BEHIND in frozen.log[seen:], 30)
        stage.counters.sometimes(self.aims[1])

    def _thaw(self, stage: Stage) -> None:
        self._is_frozen = False
        stage.copy.organization.thaw()
        stage.copy.organization.wait_ready()  # its lanes ran, and it may have been struck, before it was

    def heal(self, stage: Stage) -> None:
        """The first one is alone again."""
        if self._is_frozen:
            self._thaw(stage)
        if self._spare is not None:
            self._spare.stop()
        stage.recover()
