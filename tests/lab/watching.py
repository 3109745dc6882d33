"""Looks at a run all the while: what is acknowledged, where the lanes stand, as whom they write, what comes in.

One thread asks both gateways and both clusters' logs a few times a second. Whoever does not answer is down, which is
what runs are about. What a gateway tells is noted as told when its answer is here; where a log ends is asked of the
log itself, past the gateways.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from tests.lab.admin import NoAnswer, status
from tests.lab.collect import RunDirectory
from tests.lab.logs import Logs
from tests.lab.stage import LanePlace, Site

EVERY_S = 0.25
QUICK_S = 2.0


class Watcher:
    """Between `start` and `stop`; `look` may be called by others, too."""

    def __init__(
        self, directory: RunDirectory, lanes: Sequence[LanePlace], source: Site, copy: Site, logs: tuple[Logs, Logs]
    ) -> None:
        self._directory, self._lanes = directory, lanes
        self._source, self._copy = source, copy
        self._source_logs, self._copy_logs = logs
        self._by_key = {(each.subscription, each.source.topic, each.source.partition): each for each in lanes}
        self._by_source = {(each.source.topic, each.source.partition): each for each in lanes}
        self._producers: set[tuple[str, int, int]] = set()
        self._acked: dict[str, int] = {}
        self._positions: dict[str, int] = {}
        self.backlog = 0
        """Source offsets that are not mirrored yet, all lanes together, as of the last look."""
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            self.look()

    def look(self) -> bool:
        """Whether everybody answered, and every lane has all that its source has."""
        with self._lock:
            try:
                self._measure()
                asked_s = time.monotonic()
                told = status(self._copy.organization, QUICK_S)["lanes"]
                self._acknowledged(told)
                self._exported()
                return self._standing(asked_s, told)
            except OSError:
                return False

    def producer(self, lane: str, producer_id: int, epoch: int, by: str) -> None:
        if producer_id >= 0 and (lane, producer_id, epoch) not in self._producers:
            self._producers.add((lane, producer_id, epoch))
            self._directory.note_producer(lane, producer_id, epoch, by)

    def _measure(self) -> None:
        """Of the logs alone: gateways may be down."""
        sources = self._source_logs.ends([each.source for each in self._lanes], stable=True)
        copies = self._copy_logs.ends([each.copy for each in self._lanes])
        self.backlog = sum(
            end - max(copied, self._positions.get(lane.name, 0))
            for lane, end, copied in zip(self._lanes, sources, copies, strict=True)
        )

    def _acknowledged(self, told: list[dict[str, Any]]) -> None:
        for each in told:
            lane = self._by_key.get((each["subscription"], each["topic"], each["partition"]))
            if lane is not None:
                self._ack(lane.name, each["source_position"])
                self.producer(lane.name, each["producer_id"], each["producer_epoch"], each["gateway"])

    def _exported(self) -> None:
        """What the source's side knows as acknowledged; it may be down."""
        try:
            exports = status(self._source.organization, QUICK_S)["exports"]
        except NoAnswer:
            return
        for each in exports:
            lane = self._by_source.get((each["topic"], each["partition"]))
            if lane is not None:
                self._ack(lane.name, each["acknowledged"])

    def _ack(self, lane: str, position: int) -> None:
        if position >= 0 and position > self._acked.get(lane, -1):
            self._acked[lane] = position
            self._directory.note_ack(lane, position)

    def _standing(self, asked_s: float, told: list[dict[str, Any]]) -> bool:
        positions = {(each["subscription"], each["topic"], each["partition"]): each["source_position"] for each in told}
        sources = self._source_logs.ends([each.source for each in self._lanes], stable=True)
        copies = self._copy_logs.ends([each.copy for each in self._lanes])
        is_all = True
        for (key, lane), source_end, copy_end in zip(self._by_key.items(), sources, copies, strict=True):
            position = positions.get(key, -1)
            is_all &= position >= source_end
            self._positions[lane.name] = max(position, self._positions.get(lane.name, 0))
            if position >= 0:
                self._directory.note_standing(lane.name, asked_s, source_end, position, copy_end)
        return is_all
