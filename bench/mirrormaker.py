"""MirrorMaker 2 as a dedicated process: its settings, and whether its log says that they are in force.

Tuned for throughput: large fetches, large batches, all acks and idempotence, a warm heap; heartbeats, ACLs and group
offsets are left out, since the gateways are not asked for their like either. It reads its source over TLS, as it would
between two companies, and writes to a broker beside it.
"""

from __future__ import annotations

import re
from pathlib import Path

from bench.options import Options
from bench.process import Child
from tests.support.brokers import Broker, java_command

MAIN = "org.apache.kafka.connect.mirror.MirrorMaker"
HEAP_MB = 2048
JVM = (f"-Xms{HEAP_MB}m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20")
ALIAS = "A"

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
REPLICATION = (
    "replication.factor",
    "offset-syncs.topic.replication.factor",
    "checkpoints.topic.replication.factor",
    "heartbeats.topic.replication.factor",
    "offset.storage.replication.factor",
    "status.storage.replication.factor",
    "config.storage.replication.factor",
)


def properties(options: Options, source: Broker, destination: Broker, topic: str) -> dict[str, str]:
    """mm2.properties: from `source` (over TLS) to `destination`."""
    assert source.config.tls is not None
    return {
        "clusters": "A,B",
        "A.bootstrap.servers": source.tls_address,
        "A.security.protocol": "SSL",
        "A.ssl.truststore.type": "PEM",
        "A.ssl.truststore.location": str(source.config.tls.ca),
        "B.bootstrap.servers": destination.address,
        "A->B.enabled": "true",
        "A->B.topics": topic,
        "B->A.enabled": "false",
        "tasks.max": str(options.partitions),
        "emit.heartbeats.enabled": "false",
        "emit.checkpoints.enabled": "false",
        "sync.topic.acls.enabled": "false",
        "offset.flush.interval.ms": "10000",
        **dict.fromkeys(REPLICATION, "1"),
        **{f"A.consumer.{key}": value for key, value in CONSUMER.items()},
        **{f"B.producer.{key}": value for key, value in _producer(options).items()},
    }


def shown(settings: dict[str, str]) -> dict[str, str]:
    """What belongs to a result: without the paths and ports of one run, with the JVM's options."""
    changing = (".location", ".bootstrap.servers")
    return {"jvm": " ".join([f"-Xmx{HEAP_MB}m", *JVM])} | {
        key: value for key, value in settings.items() if not key.endswith(changing)
    }


def start(directory: Path, settings: dict[str, str]) -> Child:
    file = directory / "mm2.properties"
    file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    command = java_command(MAIN, [str(file)], JVM, heap_mb=HEAP_MB, log_level="info")
    return Child("mirrormaker2", command, directory / "mm2.log")


def check_log(log: str, options: Options) -> None:
    """Raises RuntimeError unless the mirror's own clients state every setting of ours in `log`."""
    for kind, wanted in (("Consumer", CONSUMER), ("Producer", _producer(options))):
        if not any(wanted.items() <= block.items() for block in _blocks(log, kind)):
            raise RuntimeError(f"no {kind.lower()} of MirrorMaker has all of {wanted}; a setting is in the wrong place")


def _producer(options: Options) -> dict[str, str]:
    return {**PRODUCER, "compression.type": str(options.codec)}


def _blocks(log: str, kind: str) -> list[dict[str, str]]:
    """What each client of a kind printed of its configuration."""
    found = re.findall(rf"{kind}Config values: ?\n((?:\t.*\n)+)", log)
    return [dict(_setting(line) for line in text.splitlines()) for text in found]


def _setting(line: str) -> tuple[str, str]:
    key, _, value = line.strip().partition(" =")
    return key, value.strip()
