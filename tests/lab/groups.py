"""A consumer group at the source that goes on all the while, and is kept in step at the copy: is it where it should be?

The group commits positions as an application that reads now more, now less: any offset up to the end, markers and
holes included. When all is quiet, the copy's gateway must have put it where the same records are left to read.
"""

from __future__ import annotations

import threading
from random import Random

from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.lab.admin import NoAnswer, call
from tests.lab.collect import Where
from tests.lab.stage import LanePlace, Stage
from tests.support.organization import wait_for

GROUPS = "application-*"
EVERY_S = 0.3
IN_STEP_S = 30.0


class Application:
    """On Kafka. `settle` when nothing is written any more."""

    def __init__(self, stage: Stage) -> None:
        self._stage, self._chance = stage, Random(f"{stage.seed}/groups")
        self._group = GROUPS.replace("*", str(stage.seed))
        self._positions = dict.fromkeys(stage.lanes, 0)
        self._turns: set[int] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="application", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def settle(self) -> None:
        """Notes where the group stands on both sides."""
        wait_for("the group to be in step", self._is_in_step, IN_STEP_S)
        sources = self._committed(0, [lane.source for lane in self._positions])
        copies = self._committed(1, [lane.copy for lane in self._positions])
        for lane, before, after in zip(self._positions, sources, copies, strict=True):
            if before >= 0:
                self._stage.directory.note_move(self._group, lane.name, before, after)

    def _run(self) -> None:
        consumer = self._consumer(0)
        try:
            while not self._stop.wait(EVERY_S):
                self._go_on(consumer)
        finally:
            consumer.close()

    def _go_on(self, consumer: Consumer) -> None:
        lanes: list[LanePlace] = list(self._positions)
        try:
            ends = self._stage.logs[0].ends([lane.source for lane in lanes], stable=True)
            further = {
                lane: self._chance.randint(min(at, end), end)
                for (lane, at), end in zip(self._positions.items(), ends, strict=True)
            }
            places = [TopicPartition(lane.source.topic, lane.source.partition, at) for lane, at in further.items()]
            consumer.commit(offsets=places, asynchronous=False)
        except (KafkaException, OSError):
            return  # its broker is down, and it may have been committed: later positions are further on
        self._positions = further

    def _is_in_step(self) -> bool:
        try:
            told = call(self._stage.copy.organization, "GET", "/v1/groups/status")["groups"]
        except NoAnswer:
            return False
        if [each["state"] for each in told] != ["in-step"]:
            return False
        # One turn may have begun before the last commit: of the next one it is known that it knew it.
        self._turns.add(told[0]["as_of_ms"])
        return len(self._turns) > 2

    def _committed(self, side: int, places: list[Where]) -> list[int]:
        consumer = self._consumer(side)
        try:
            asked = [TopicPartition(each.topic, each.partition) for each in places]
            return [each.offset for each in consumer.committed(asked, timeout=30)]
        finally:
            consumer.close()

    def _consumer(self, side: int) -> Consumer:
        broker = self._stage.sites[side].broker
        assert broker is not None
        settings: dict[str, str | int | float | bool] = {
            "bootstrap.servers": broker.address, "group.id": self._group, "enable.auto.commit": False, "log_level": 0,
        }  # fmt: skip
        return Consumer({**settings, "error_cb": lambda _: None})
