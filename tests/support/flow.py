"""Records that flow all the time: a stock producer in a thread, and when each partition's copy has caught up with it.

Source and copy have the same offsets, so a record written after a moment has arrived in a partition when the copy's end
has passed the source's end of that moment.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from tests.support.figures import percentile
from tests.support.stock import Digests, Key

LOOK_S = 0.02
UNSETTLED = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART}


@dataclass
class Flow:
    """Writes to `partitions` of `topic` in turn, `rate` records a second, from `__enter__` to `__exit__`."""

    address: str
    topic: str
    partitions: int
    rate: int = 400
    written: Digests = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.written = {(self.topic, number): array("q") for number in range(self.partitions)}
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Returns when everything is written."""
        self._stop.set()
        self._thread.join(30)

    @property
    def counts(self) -> dict[Key, int]:
        return {key: len(each) for key, each in self.written.items()}

    def _write(self) -> None:
        producer = Producer({"bootstrap.servers": self.address, "enable.idempotence": True, "linger.ms": 5})
        at = 0
        while not self._stop.wait(0.01):
            for _ in range(self.rate // 100):
                number, timestamp_ms = at % self.partitions, time.time_ns() // 1_000_000
                key, value = b"key-%d" % (at % 97), b"value-%d" % at
                producer.produce(self.topic, value, key, number, timestamp=timestamp_ms)
                self.written[self.topic, number].append(hash((key, value, (), timestamp_ms)))
                at += 1
            producer.poll(0)
        assert producer.flush(30) == 0


class Ends:
    """The ends of a topic's partitions, asked of its broker."""

    def __init__(self, address: str, topic: str, partitions: int) -> None:
        self._consumer = Consumer({"bootstrap.servers": address, "group.id": "ends", "enable.auto.commit": False})
        self._partitions = [TopicPartition(topic, number) for number in range(partitions)]

    def look(self) -> list[int]:
        return [self._end(each) for each in self._partitions]

    def _end(self, partition: TopicPartition) -> int:
        give_up = time.monotonic() + 10
        while True:
            try:
                return int(self._consumer.get_watermark_offsets(partition, timeout=10)[1])
            except KafkaException as error:  # a topic that was just made: its leader is not known everywhere yet
                if error.args[0].code() not in UNSETTLED or time.monotonic() > give_up:
                    raise
                time.sleep(LOOK_S)

    def close(self) -> None:
        self._consumer.close()


def progress(source: Ends, copy: Ends, timeout_s: float = 30) -> list[float]:
    """In how many seconds from now each partition's copy holds a record that is not written yet."""
    began, marks = time.monotonic(), source.look()
    arrived: dict[int, float] = {}
    while len(arrived) < len(marks):
        for number, end in enumerate(copy.look()):
            if end > marks[number]:
                arrived.setdefault(number, time.monotonic() - began)
        assert time.monotonic() - began < timeout_s, f"no progress in {timeout_s:g} s: {sorted(arrived)} of {marks}"
        time.sleep(LOOK_S)
    return [arrived[number] for number in sorted(arrived)]


def figures(times_s: Sequence[float]) -> str:
    return f"p50 {percentile(times_s, 0.5):.2f} s, p99 {percentile(times_s, 0.99):.2f} s, max {max(times_s):.2f} s"
