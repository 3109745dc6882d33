"""MirrorMaker 2 as a dedicated process, what it is tuned by, and whether its log says that this is in force.

Tuned for throughput: large fetches, large batches, all acks and idempotence, a warm heap; heartbeats, ACLs and group
offsets are left out, since the gateways are not asked for their like either. As it comes: nothing is set but what it
needs to run (`bench.peer`), and the heap is that of Kafka's own start script. Each alias of the source is a mirror of
its own: its copies, its state and its groups are named after it.
"""

from __future__ import annotations

import re
from pathlib import Path

from bench.options import Workload
from bench.process import Child
from tests.support.java import java_command

MAIN = "org.apache.kafka.connect.mirror.MirrorMaker"
HEAP_MB = 2048
JVM = (f"-Xms{HEAP_MB}m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20")
JVM_AS_IT_COMES = (
    "-Xms256m",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
)
"""As connect-mirror-maker.sh starts it."""
ALIAS = "A"
TASKS = 4
"""Tuned: two for each core of the machine that the figures are from."""

CONSUMER = {
    "max.poll.records": "10000",
    "fetch.min.bytes": "262144",
    "max.partition.fetch.bytes": "8388608",
    "fetch.max.bytes": "67108864",
    "isolation.level": "read_committed",
    "receive.buffer.bytes": "-1",
}
PRODUCER = {
    "enable.idempotence": "true",
    "max.in.flight.requests.per.connection": "5",
    "batch.size": "524288",
    "linger.ms": "20",
    "buffer.memory": "134217728",
    "max.request.size": "10485760",
    "acks": "-1",
}
"""`acks` as the log prints what is set as `all`."""
FLUSH = {"offset.flush.interval.ms": "10000"}
REPLICATION = (
    "replication.factor",
    "offset-syncs.topic.replication.factor",
    "checkpoints.topic.replication.factor",
    "heartbeats.topic.replication.factor",
    "offset.storage.replication.factor",
    "status.storage.replication.factor",
    "config.storage.replication.factor",
)


def shown(settings: dict[str, str], jvm: tuple[str, ...] = JVM) -> dict[str, str]:
    """What belongs to a result: without the paths and ports of one run, with the JVM's options, under one alias."""
    changing = (".location", ".bootstrap.servers")
    alias = settings["clusters"].partition(",")[0]
    return {"jvm": " ".join([f"-Xmx{HEAP_MB}m", *jvm])} | {
        key.replace(alias, ALIAS): value.replace(alias, ALIAS)
        for key, value in settings.items()
        if not key.endswith(changing)
    }


def internal_topics(alias: str) -> list[str]:
    """At the destination: what a mirror of that alias leaves behind."""
    return [f"mm2-{kind}.{alias}.internal" for kind in ("configs", "offsets", "status")]


def start(directory: Path, settings: dict[str, str], jvm: tuple[str, ...] = JVM) -> Child:
    file = directory / "mm2.properties"
    file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    command = java_command(MAIN, [str(file)], jvm, heap_mb=HEAP_MB, log_level="info")
    return Child("mirrormaker2", command, directory / "mm2.log")


def check_log(log: str, workload: Workload) -> None:
    """Raises RuntimeError unless the mirror's own clients state every setting of ours in `log`."""
    for kind, wanted in (("Consumer", CONSUMER), ("Producer", _producer(workload))):
        if not any(wanted.items() <= block.items() for block in _blocks(log, kind)):
            raise RuntimeError(f"no {kind.lower()} of MirrorMaker has all of {wanted}; a setting is in the wrong place")


def _producer(workload: Workload) -> dict[str, str]:
    return {**PRODUCER, "compression.type": str(workload.codec)}


def _blocks(log: str, kind: str) -> list[dict[str, str]]:
    """What each client of a kind printed of its configuration."""
    found = re.findall(rf"{kind}Config values: ?\n((?:\t.*\n)+)", log)
    return [dict(_setting(line) for line in text.splitlines()) for text in found]


def _setting(line: str) -> tuple[str, str]:
    key, _, value = line.strip().partition(" =")
    return key, value.strip()
