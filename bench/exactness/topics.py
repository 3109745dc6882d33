"""The topics that all mirrors copy, and both clusters as stock clients see them.

Each record's value begins with its number and is not repeated in its topic. Stock clients write and read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.exactness.judge import Entry
from tests.matrix.sources import batches_of, end_compaction, flush, send
from tests.support.organization import wait_for

PLAIN, TRANSACTIONS, COMPACTED = "plain", "transactions", "compacted"
KILLED, OVERRUN, RECREATED, SIGN = "killed", "overrun", "recreated", "sign-of-life"
TOPICS = (PLAIN, TRANSACTIONS, COMPACTED, KILLED, OVERRUN, RECREATED, SIGN)
MOVED = (PLAIN, TRANSACTIONS, COMPACTED)
"""Those that have consumer groups."""
LAGS = (0, 1_000, 100_000)
RECORDS = 150_000
KILLED_RECORDS = 200_000
PART = 20_000
"""Records of the topics that lose some: copied before, lost or written anew, written after."""
COMPACTION = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01"}
KEEP = {"retention.ms": "-1"}
PAD = b"." * 80


@dataclass(frozen=True, slots=True)
class Group:
    topic: str
    lag: int

    @property
    def name(self) -> str:
        return f"{self.topic}-lag-{self.lag}"


GROUPS = tuple(Group(topic, lag) for topic in MOVED for lag in LAGS)


class Cluster:
    """One cluster as stock clients see it."""

    def __init__(self, address: str, data: Path) -> None:
        self.address = address
        self.data = data
        settings: dict[str, str | int | float | bool] = {"bootstrap.servers": address, "log_level": 2}
        self.admin = AdminClient(settings)
        self.producer = Producer(settings | {"enable.idempotence": True, "linger.ms": 20})
        self.reader = Consumer(settings | {"group.id": "ends"})

    def create(self, name: str, config: dict[str, str]) -> None:
        self.admin.create_topics([NewTopic(name, 1, 1, config=config)])[name].result(30)

    def recreate(self, name: str) -> None:
        self.admin.delete_topics([name])[name].result(30)

        def made() -> bool:
            try:
                self.create(name, KEEP)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                    return False  # the name is not free until the deletion is done
                raise
            return True

        wait_for(f"{name} to be made again", made)

    def write(self, topic: str, numbers: range, mark: bytes = b"", pad: bytes = PAD) -> None:
        for number in numbers:
            send(self.producer, topic, b"%d %b" % (number, mark) + pad, None, 0)
        flush(self.producer)

    def cut(self, topic: str, offset: int) -> None:
        """Delete the records before the offset, as retention does."""
        place = TopicPartition(topic, 0, offset)
        self.admin.delete_records([place])[place].result(30)

    def end(self, topic: str) -> int:
        """The log end, 0 where there is no such topic yet."""
        try:
            return int(self.reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1])
        except KafkaException:
            self.reader.list_topics(topic, timeout=10)  # or the client would believe for minutes that there is none
            return 0

    def read(self, topic: str) -> list[Entry]:
        """All that a read_committed consumer sees."""
        return list(self._read(topic))

    def _read(self, topic: str) -> Iterator[Entry]:
        settings = {"bootstrap.servers": self.address, "group.id": uuid4().hex, "enable.auto.commit": False}
        settings |= {"enable.partition.eof": True, "auto.offset.reset": "earliest", "isolation.level": "read_committed"}
        consumer = Consumer(settings)
        try:
            consumer.assign([TopicPartition(topic, 0, 0)])
            while True:
                for message in consumer.consume(10_000, 1):
                    error = message.error()
                    if error is not None and error.code() == KafkaError._PARTITION_EOF:
                        return
                    if error is not None:
                        raise RuntimeError(f"{topic}: {error}")
                    yield Entry(message.offset() or 0, message.value() or b"")
        finally:
            consumer.close()

    def commit(self, group: str, topic: str, offset: int) -> None:
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": group})
        try:
            consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
        finally:
            consumer.close()


def fill(source: Cluster) -> None:
    """Everything that is there before the mirrors start."""
    for topic in TOPICS:
        source.create(topic, KEEP | (COMPACTION if topic == COMPACTED else {}))
    source.write(PLAIN, range(RECORDS))
    transactions(source)
    compacted(source)
    for topic in (OVERRUN, RECREATED):
        source.write(topic, range(PART))


def transactions(source: Cluster, size: int = 500) -> None:
    """One in ten aborts."""
    settings = {"bootstrap.servers": source.address, "transactional.id": "exactness", "linger.ms": 20}
    producer = Producer(settings | {"transaction.timeout.ms": 60_000, "log_level": 2})
    producer.init_transactions(60)
    for number in range(RECORDS // size):
        producer.begin_transaction()
        for at in range(number * size, (number + 1) * size):
            send(producer, TRANSACTIONS, b"%d " % at + PAD, None, 0)
        if number % 10 == 4:
            flush(producer)  # what aborts is to be in the log
            producer.abort_transaction(60)
        else:
            producer.commit_transaction(60)


def compacted(source: Cluster) -> None:
    """Every second record is superseded, and taken out by the broker's cleaner; then it is turned off."""
    for at in range(2 * RECORDS):
        key = b"%d" % (at % 1000 if at % 2 else at)
        send(source.producer, COMPACTED, b"%d " % at + PAD, key, 0)
    flush(source.producer)
    count = iter(range(1 << 30))

    def cleaned() -> bool:
        # a segment is closed by what comes after it, and only closed ones are cleaned
        send(source.producer, COMPACTED, b"roll %d" % next(count), b"roll", 0)
        flush(source.producer)
        return sum(records for records, _ in batches_of(source.data, COMPACTED)) < RECORDS * 5 // 4

    wait_for("the log cleaner", cleaned, 120)
    end_compaction(source.address, COMPACTED)


def commit_groups(source: Cluster, logs: dict[str, list[Entry]]) -> dict[Group, int]:
    """A group for each lag; where it stands: before the record that it has to read next."""
    positions = {}
    for group in GROUPS:
        log = logs[group.topic]
        offset = log[len(log) - group.lag].offset if group.lag else source.end(group.topic)
        source.commit(group.name, group.topic, offset)
        positions[group] = offset
    return positions
