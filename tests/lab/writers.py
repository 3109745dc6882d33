"""Writers that go on all the while as real clients do, each with its journal: what was tried, and what became of it.

`KafkaWriter` is a stock producer (librdkafka), one per topic; with `transactional` it ends every other handful of
records with a commit or an abort. `EmbeddedWriter` appends by the admin API, as `mesh topic append` does. What nobody
answered is `info`: it may have happened.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from confluent_kafka import KafkaException, Message, Producer

from tests.lab.admin import NoAnswer, send
from tests.lab.collect import RunDirectory
from tests.lab.writing import Headers, Sent, WriteJournal
from tests.support.organization import Organization

PAUSE_S = 0.05
FLUSH_S = 60.0
TRANSACTION_S = 30.0
SIZES = (0, 20, 100, 400, 2000)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of source. `codec` as the topic's writer compresses."""

    topic: str
    codec: str
    partitions: int = 2
    transactional: bool = False
    append_time: bool = False
    records_per_s: int = 60


KAFKA_KINDS = (
    Kind("plain", "none"),
    Kind("packed", "zstd"),
    Kind("quick", "lz4", 1),
    Kind("old-codecs", "gzip", 1),
    Kind("snappy", "snappy", 1),
    Kind("deeds", "lz4", 2, transactional=True),
    Kind("stamped", "none", 1, append_time=True),
)
EMBEDDED_KINDS = (Kind("plain", "none"), Kind("packed", "zstd"), Kind("quick", "lz4", 2), Kind("old-codecs", "gzip", 1))


@dataclass
class Writer:
    """Writes `kind` until `stop`. Draws from a chance of its own, so that what it writes does not hang on timing."""

    kind: Kind
    cluster: str
    seed: int
    directory: RunDirectory
    failures: list[str] = field(default_factory=list)
    holds: Callable[[], bool] = lambda: False
    """Whether to write nothing now: the mirror has work enough, and a slow machine is no fault."""

    def __post_init__(self) -> None:
        self._chance = Random(f"{self.seed}/{self.kind.topic}")
        ids = Random(f"{self.seed}/{self.kind.topic}/ids")
        self.journal = WriteJournal(self.directory.path, self.kind.topic, self.cluster, ids)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._guarded, name=f"writer of {self.kind.topic}", daemon=True)
        self._written = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends when everything is answered, or nobody answers any more."""
        self._stop.set()

    def join(self) -> None:
        self._thread.join(FLUSH_S + TRANSACTION_S + 10)
        if self._thread.is_alive():
            self.failures.append("it did not end")
        self.journal.close()

    def _guarded(self) -> None:
        try:
            self._run()
        except Exception as error:  # a thread's failure is the run's
            self.failures.append(repr(error))

    def _run(self) -> None:
        raise NotImplementedError

    def _partition(self) -> int:
        return self._chance.randrange(self.kind.partitions)

    def _handful(self) -> int:
        """How many records to write now, so that the rate comes out right; it goes on and off."""
        if self.holds():
            return 0
        return self._chance.randrange(2 * max(1, int(self.kind.records_per_s * PAUSE_S)) + 1)

    def _draw(self, number: int, transaction: str | None = None) -> Sent:
        chance, at = self._chance, self._written
        self._written += 1
        key = None if at % 5 == 0 else b"" if at % 31 == 0 else b"key-%d" % chance.randrange(100)
        value = None if at % 17 == 0 else chance.randbytes(chance.choice(SIZES) // 2).hex().encode()
        headers: Headers = [("trace", b"%d" % at), ("trace", None), ("kind", b"")] if at % 3 == 0 else []
        timestamp_ms = int(time.time() * 1000) - chance.randrange(5000)
        return self.journal.sent(self.kind.topic, number, key, value, headers, timestamp_ms, transaction)


@dataclass
class KafkaWriter(Writer):
    address: str = ""

    def _run(self) -> None:
        while not self._stop.is_set():
            producer = self._producer()
            if self.kind.transactional:
                self._transactions(producer)
            else:
                while not self._stop.wait(PAUSE_S):
                    for _ in range(self._handful()):
                        self._produce(producer, self._draw(self._partition()))
                    producer.poll(0)
            producer.flush(FLUSH_S)

    def _producer(self) -> Producer:
        settings: dict[str, str | int | float | bool] = {
            "bootstrap.servers": self.address,
            "compression.type": self.kind.codec,
            "linger.ms": 50,
            "delivery.timeout.ms": 60_000,
            "reconnect.backoff.max.ms": 500,
            "enable.idempotence": True,
        }
        if self.kind.transactional:
            settings |= {
                "transactional.id": f"lab-{self.seed}-{self.kind.topic}",
                "transaction.timeout.ms": 20_000,
                "delivery.timeout.ms": 20_000,
            }
        return Producer({**settings, "error_cb": lambda _: None, "log_level": 0})

    def _transactions(self, producer: Producer) -> None:
        """Until `stop`, or until this producer is of no use any more: the next one ends what it left open."""
        try:
            producer.init_transactions(TRANSACTION_S)
        except KafkaException:
            self._stop.wait(0.5)
            return
        while not self._stop.wait(PAUSE_S):
            if not self._transaction(producer):
                return

    def _produce(self, producer: Producer, sent: Sent) -> None:
        def answered(error: object, message: Message) -> None:
            if error is not None:
                self.journal.answered(sent, "info")  # perhaps the answer alone was lost
            else:
                self.journal.answered(sent, "ok", message.offset())

        while True:
            try:
                producer.produce(
                    sent.topic, sent.value, sent.key, sent.partition, headers=list(sent.headers),
                    timestamp=sent.timestamp_ms, on_delivery=answered,
                )  # fmt: skip
                return
            except BufferError:
                producer.poll(0.1)

    def _transaction(self, producer: Producer) -> bool:
        """False where another producer must go on."""
        name = f"{self.kind.topic}-{self._written}"
        aborts = self._chance.random() < 0.3
        is_long = self._chance.random() < 0.1
        try:
            producer.begin_transaction()
            for _ in range(1 + self._handful()):  # one at least, or it would leave nothing in the log
                self._produce(producer, self._draw(self._partition(), name))
            if is_long:
                producer.flush(FLUSH_S)
                self._stop.wait(1.0)
            if aborts:
                producer.flush(FLUSH_S)
                producer.abort_transaction(TRANSACTION_S)
            else:
                producer.commit_transaction(TRANSACTION_S)
        except KafkaException as error:
            return self._rescued(producer, name, error)
        self.journal.ended(name, "aborted" if aborts else "committed")
        return True

    def _rescued(self, producer: Producer, name: str, error: KafkaException) -> bool:
        self.journal.ended(name, "info")
        if not error.args[0].txn_requires_abort():
            return False
        try:
            producer.abort_transaction(TRANSACTION_S)
        except KafkaException:
            return False
        return True


@dataclass
class EmbeddedWriter(Writer):
    """One request at a time, so that the offsets of what was appended follow each other."""

    organization: Organization | None = None

    def _run(self) -> None:
        while not self._stop.wait(PAUSE_S):
            number = self._partition()
            if records := [self._draw(number) for _ in range(self._handful())]:
                self._append(records)

    def _append(self, records: list[Sent]) -> None:
        assert self.organization is not None
        try:
            append(self.organization, self.kind.topic, records, self.journal, self.kind.codec)
        except NoAnswer:
            for each in records:
                self.journal.answered(each, "info")
            self._stop.wait(0.1)


def append(
    organization: Organization, topic: str, records: list[Sent], journal: WriteJournal, codec: str = "lz4"
) -> None:
    """In one request, all to one partition; the journal has the answers. Raises NoAnswer."""
    path = f"/v1/topics/{topic}/records?codec={codec}"
    lines = "".join(json.dumps(_line(each)) + "\n" for each in records).encode()
    report = send(organization, "POST", path, lines, "application/x-ndjson")
    (told,) = report["partitions"]
    assert told["records"] == report["appended"] == len(records), report
    end = told["last_offset"] + 1
    for each, offset in zip(records, range(end - len(records), end), strict=True):
        journal.answered(each, "ok", offset)


def _line(sent: Sent) -> dict[str, object]:
    headers = [
        [name, None if field is None else {"b64": base64.b64encode(field).decode()}] for name, field in sent.headers
    ]
    told: dict[str, object] = {"headers": headers, "timestamp": sent.timestamp_ms, "partition": sent.partition}
    for name, content in (("key", sent.key), ("value", sent.value)):
        told |= {name: None} if content is None else {f"{name}_b64": base64.b64encode(content).decode()}
    return told
