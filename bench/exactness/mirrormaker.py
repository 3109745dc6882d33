"""MirrorMaker 2 in three configurations, and what it says: positions by its checkpoints, trouble by its log.

`defaults`: nothing is set but what it needs. `tuned`: made to be as exact as its settings allow, at the price of work.
`exactly-once`: the same, with exactly-once source support. Aliases differ, so that the three share no internal topic.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, TopicPartition

from bench.exactness.topics import SIGN, TOPICS
from bench.mirrormaker import MAIN, REPLICATION
from bench.process import Child
from tests.support.java import java_command

HEAP_MB = 768
TUNED = {
    "tasks.max": "4",
    "offset.lag.max": "0",
    "emit.checkpoints.interval.seconds": "5",
    "sync.group.offsets.enabled": "true",
    "sync.group.offsets.interval.seconds": "5",
    "refresh.topics.interval.seconds": "5",
    "refresh.groups.interval.seconds": "5",
    "{target}.offset.flush.interval.ms": "1000",
    "{source}.consumer.isolation.level": "read_committed",
    "{source}.consumer.max.poll.records": "10000",
}
CONFIGURATIONS: dict[str, dict[str, str]] = {
    "defaults": {},
    "tuned": TUNED,
    "exactly-once": TUNED
    | {
        "{target}.exactly.once.source.support": "enabled",
        "dedicated.mode.enable.internal.rest": "true",
        "listeners": "http://127.0.0.1:0",
    },
}
DEFAULT_INTERVAL_S = 60
"""Of checkpoints, where nothing is set."""


@dataclass
class MirrorMaker:
    """One process with one configuration; its copy of a topic is `copy(topic)`."""

    configuration: str
    directory: Path
    source: str
    destination: str
    child: Child | None = None
    starts: int = field(default=0)

    @property
    def name(self) -> str:
        return f"MM2 {self.configuration}"

    @property
    def alias(self) -> str:
        return self.configuration.replace("-", "")

    def copy(self, topic: str) -> str:
        return f"{self.alias}.{topic}"

    def settings(self) -> dict[str, str]:
        source, target = self.alias, f"to{self.alias}"
        chosen = {
            key.format(source=source, target=target): value for key, value in CONFIGURATIONS[self.configuration].items()
        }
        return {
            "clusters": f"{source},{target}",
            f"{source}.bootstrap.servers": self.source,
            f"{target}.bootstrap.servers": self.destination,
            f"{source}->{target}.enabled": "true",
            f"{source}->{target}.topics": ",".join(TOPICS),
            f"{target}->{source}.enabled": "false",
            **dict.fromkeys(REPLICATION, "1"),
            **chosen,
        }

    def shown(self) -> dict[str, str]:
        """What was chosen, without what every mirror needs."""
        chosen = CONFIGURATIONS[self.configuration].items()
        return {key.format(source="source", target="target"): value for key, value in chosen if key != "listeners"}

    def start(self) -> None:
        self.starts += 1
        file = self.directory / f"{self.alias}.properties"
        file.write_text("".join(f"{key}={value}\n" for key, value in self.settings().items()))
        command = java_command(MAIN, [str(file)], ["-XX:+UseSerialGC"], heap_mb=HEAP_MB, log_level="info")
        self.child = Child(self.name, command, self.directory / f"{self.alias}-{self.starts}.log")

    def kill(self) -> None:
        assert self.child is not None
        self.child.kill()
        self.child = None

    def stop(self) -> None:
        if self.child is not None:
            self.child.stop()
            self.child = None

    def positions(self, groups: dict[str, str]) -> dict[str, int]:
        """Where each group (with its topic) goes on: by the last checkpoint, as RemoteClusterUtils reads it."""
        return {
            group: offset
            for (group, topic), offset in checkpoints(self.destination, f"{self.alias}.checkpoints.internal").items()
            if groups.get(group) == topic.removeprefix(f"{self.alias}.")
        }

    def complaints(self, topic: str) -> list[str]:
        """What its log says of the topic since the last start, warnings or worse, and not of every topic."""
        assert self.child is not None
        return complaints(self.child.output, topic, SIGN)


def complaints(log: str, topic: str, healthy: str) -> list[str]:
    """Warnings and errors that name `topic` alone, and tasks that failed; `healthy` is a topic that runs well."""
    lines = [line for line in log.splitlines() if " WARN " in line or " ERROR " in line]
    usual = {line.replace(healthy, topic) for line in lines if healthy in line}
    return [line for line in lines if (topic in line and line not in usual) or "being killed" in line]


def checkpoints(address: str, topic: str) -> dict[tuple[str, str], int]:
    """The destination offset of the last checkpoint by group and (remote) topic, partition 0."""
    settings = {"bootstrap.servers": address, "group.id": uuid4().hex, "enable.partition.eof": True}
    consumer = Consumer(settings | {"auto.offset.reset": "earliest", "isolation.level": "read_committed"})
    found: dict[tuple[str, str], int] = {}
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        while True:
            for message in consumer.consume(1000, 10):
                error = message.error()
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    return found
                if error is not None:
                    raise RuntimeError(f"{topic}: {error}")
                if message.key() and message.value():
                    group, remote, downstream = checkpoint(message.key() or b"", message.value() or b"")
                    found[group, remote] = downstream
    finally:
        consumer.close()


def checkpoint(key: bytes, value: bytes) -> tuple[str, str, int]:
    """Group, remote topic and downstream offset. Key: group, topic, partition; value: version, upstream, downstream."""
    group, rest = _string(key)
    topic, rest = _string(rest)
    return group, topic, int(struct.unpack_from(">q", value, 10)[0])


def _string(data: bytes) -> tuple[str, bytes]:
    (length,) = struct.unpack_from(">h", data)
    return data[2 : 2 + length].decode(), data[2 + length :]
