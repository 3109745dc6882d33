"""A stock producer that writes all the time, in order, until it is told to stop: what a mirror has to keep up with."""

from __future__ import annotations

import random
import threading
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from confluent_kafka import Producer

from tests.support.stock import Digests

PAUSE_S = 0.02


@dataclass
class Flow:
    """`written` are the digests of what was given to the producer, per partition, in order."""

    address: str
    topic: str
    partitions: int
    records_per_s: int
    seed: int
    written: Digests = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        chance = random.Random(f"{self.seed}/{self.topic}")
        self.written.update({(self.topic, number): array("q") for number in range(self.partitions)})
        settings = {"bootstrap.servers": self.address, "enable.idempotence": True, "linger.ms": 5}
        producer = Producer(settings | {"delivery.timeout.ms": 60_000, "error_cb": lambda _: None})
        at = 0
        while not self._stop.wait(PAUSE_S):
            for _ in range(max(1, int(self.records_per_s * PAUSE_S))):
                self._one(producer, chance, at)
                at += 1
            producer.poll(0)
        if left := producer.flush(60):
            self.failures.append(f"{left} records were never acknowledged")

    def _one(self, producer: Producer, chance: random.Random, at: int) -> None:
        key = None if at % 3 == 0 else b"key-%d" % (at % 997)
        value = None if at % 17 == 0 else b"%d:" % at + b"x" * chance.randrange(400)
        headers: list[tuple[str, str | bytes | None]] = [("trace", b"%d" % at)] if at % 5 == 0 else []
        timestamp_ms, number = int(time.time() * 1000), chance.randrange(self.partitions)
        producer.produce(
            self.topic, value, key, number, headers=headers, timestamp=timestamp_ms, on_delivery=self._delivered
        )
        self.written[self.topic, number].append(hash((key, value, tuple(headers), timestamp_ms)))

    def _delivered(self, error: object, _: object) -> None:
        if error is not None:
            self.failures.append(str(error))

    def stop(self) -> None:
        self._stop.set()


@contextmanager
def flowing(*flows: Flow) -> Iterator[None]:
    """They write while inside; afterwards everything that they gave is acknowledged."""
    threads = [threading.Thread(target=flow.run, name=f"flow {flow.topic}") for flow in flows]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for flow in flows:
            flow.stop()
        for thread in threads:
            thread.join(90)
    for flow in flows:
        assert not flow.failures, flow.failures[:3]
