"""A steady load and its receipt, by one process and one clock: what a stock producer writes, a stock consumer receives.

Each record carries the moment at which `produce` was called for it, by the monotonic clock that also takes the moment
at which `poll` returned it at the destination. Records go to the partitions in turn.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from confluent_kafka import Consumer, Producer, TopicPartition

from bench.cpu import cpu_of

STAMP = struct.Struct(">IIq")
"""Window, number within it, moment in ns."""
RECORD_BYTES = 1000
APPEAR_S = 180.0
REST_S = 30.0
"""For what is still under way when a window has ended."""
PRODUCER = {"acks": "all", "enable.idempotence": True, "queue.buffering.max.messages": 1_000_000}
CONSUMER = {"enable.auto.commit": False, "isolation.level": "read_committed"}
"""Whatever else is the clients' default: a fetch is answered as soon as there is a byte."""


@dataclass
class Heard:
    """Of one window: the latency of each record in ns, in the order of receipt, and which numbers came."""

    latencies_ns: array[int] = field(default_factory=lambda: array("q"))
    numbers: set[int] = field(default_factory=set)

    @property
    def count(self) -> int:
        return len(self.latencies_ns)


@dataclass(frozen=True, slots=True)
class Window:
    """What was measured of a load of `wanted_per_s` over `seconds`, before anything is reckoned."""

    wanted_per_s: int
    linger_ms: float
    seconds: float
    sent: int
    heard_in_time: int
    """Received when the last one had just been sent."""
    heard: int
    """Received in the end, each number counted once."""
    twice: int
    latencies_ms: tuple[float, ...]
    """In the order of receipt."""
    cpu_s: Mapping[str, float]
    """By process, of these seconds."""


class Listener:
    """A stock consumer of every partition of a topic, in a thread, from the moment at which the topic is there."""

    def __init__(self, address: str, topic: str, partitions: int) -> None:
        self.heard: dict[int, Heard] = {}
        self._ended = threading.Event()
        self._failure = ""
        settings = {"bootstrap.servers": address, "group.id": uuid4().hex, "log_level": 2}
        self._consumer = Consumer(settings | CONSUMER)
        self._topic, self._partitions = topic, partitions
        self._thread = threading.Thread(target=self._run, name=f"listener of {topic}", daemon=True)
        self._thread.start()

    def window(self, number: int) -> Heard:
        """Raises RuntimeError where the consumer has failed."""
        if self._failure:
            raise RuntimeError(self._failure)
        return self.heard.get(number) or Heard()

    def close(self) -> None:
        self._ended.set()
        self._thread.join(30)

    def _run(self) -> None:
        try:
            self._assign()
            self._listen()
        finally:
            self._consumer.close()

    def _assign(self) -> None:
        while not self._ended.is_set():
            known = self._consumer.list_topics(timeout=10).topics.get(self._topic)
            if known is not None and len(known.partitions) == self._partitions:
                self._consumer.assign([TopicPartition(self._topic, at, 0) for at in range(self._partitions)])
                return
            self._ended.wait(0.2)

    def _listen(self) -> None:
        poll, unpack, now_ns = self._consumer.poll, STAMP.unpack_from, time.monotonic_ns
        while not self._ended.is_set():
            if (message := poll(0.2)) is None:
                continue
            at_ns = now_ns()
            if (error := message.error()) is not None:
                self._failure = f"{self._topic}: {error}"
                return
            window, number, sent_ns = unpack(message.value() or b"")
            heard = self.heard.get(window) or self.heard.setdefault(window, Heard())
            heard.latencies_ns.append(at_ns - sent_ns)
            heard.numbers.add(number)


@dataclass
class Load:
    """Writes windows of records into `topic` at `source` and hears of them from `listener`."""

    source: str
    topic: str
    partitions: int
    listener: Listener
    check: Callable[[], None]
    """Raises where the mirror has ended."""
    processes: Mapping[str, int]
    _number: int = 0
    _padding: bytes = field(default_factory=lambda: os.urandom(1 << 16))

    def until_heard(self) -> None:
        """Write a few records a second until the first of them has arrived: the mirror runs."""
        deadline = time.monotonic() + APPEAR_S
        self._number += 1
        with self._producer(0) as producer:
            sent = 0
            while not self.listener.window(self._number).count:
                self.check()
                if time.monotonic() > deadline:
                    raise RuntimeError(f"nothing of {self.topic} has arrived within {APPEAR_S:.0f} s")
                for _ in range(self.partitions):
                    self._produce(producer, sent)
                    sent += 1
                producer.flush(10)
                time.sleep(0.2)

    def run(self, per_s: int, seconds: float, linger_ms: float) -> Window:
        """One window. What was asked for may not be what was sent: `sent` and `seconds` say."""
        self._number += 1
        with self._producer(linger_ms) as producer:
            before, began_s = cpu_of(self.processes), time.monotonic()
            sent = self._send(producer, per_s, seconds)
            took_s = time.monotonic() - began_s
            after, in_time = cpu_of(self.processes), self.listener.window(self._number).count
            producer.flush(REST_S)
        heard = self._rest(sent)
        used = {name: after[name] - before[name] for name in after}
        latencies = tuple(each / 1e6 for each in heard.latencies_ns)
        every = len(heard.numbers)
        return Window(per_s, linger_ms, took_s, sent, in_time, every, heard.count - every, latencies, used)

    def _send(self, producer: Producer, per_s: int, seconds: float) -> int:
        """Each when it is due, or at once where it is late already; what is left when the time is over is not sent."""
        began_s = time.monotonic()
        sent, total = 0, int(per_s * seconds)
        while sent < total and (passed_s := time.monotonic() - began_s) < seconds * 1.02:
            due = min(total, int(passed_s * per_s) + 1)
            while sent < due:
                self._produce(producer, sent)
                sent += 1
            producer.poll(0)
            time.sleep(max(0.0, began_s + sent / per_s - time.monotonic()))
        self.check()
        return sent

    def _produce(self, producer: Producer, number: int) -> None:
        start = number * 997 % (len(self._padding) - RECORD_BYTES)
        padding = self._padding[start : start + RECORD_BYTES - STAMP.size]
        value = STAMP.pack(self._number, number, time.monotonic_ns()) + padding
        while True:
            try:
                producer.produce(self.topic, value, partition=number % self.partitions)
                return
            except BufferError:
                producer.poll(0.01)

    def _rest(self, sent: int) -> Heard:
        deadline = time.monotonic() + REST_S
        while self.listener.window(self._number).count < sent and time.monotonic() < deadline:
            self.check()
            time.sleep(0.05)
        return self.listener.window(self._number)

    @contextmanager
    def _producer(self, linger_ms: float) -> Iterator[Producer]:
        settings = {"bootstrap.servers": self.source, "linger.ms": linger_ms, "log_level": 2}
        producer = Producer(PRODUCER | settings)
        producer.list_topics(self.topic, timeout=10)  # what is asked for once is no record's latency
        yield producer
        if left := producer.flush(REST_S):
            raise RuntimeError(f"{left} records were never acknowledged by the source")


@contextmanager
def brisk_threads() -> Iterator[None]:
    """Sender and listener share an interpreter: neither keeps the other waiting for its usual 5 ms."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(0.0002)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)
