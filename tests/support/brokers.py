"""A real Apache Kafka broker as a child process, for tests, scenarios and benchmarks.

One node in KRaft combined mode with its own directory and its own ports on loopback, which a restart keeps. It is
ready when it answers Metadata with itself as a live broker. Nothing outlives us: the kernel kills the child when we
die, `atexit` kills its process group, and a stopped broker takes its directory along.

    with Broker.start() as broker:
        broker.address            # "127.0.0.1:40123", PLAINTEXT
        broker.kill()             # SIGKILL
        broker.restart()          # same ports, same data
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from kio.schema.delete_records.v2 import DeleteRecordsRequest, DeleteRecordsResponse
from kio.schema.delete_records.v2.request import DeleteRecordsPartition, DeleteRecordsTopic
from kio.schema.types import TopicName
from kio.static.primitive import i32, i32Timedelta, i64

from gateway.kafka import KafkaConfig, open_kafka
from gateway.kafka.dial import dial
from gateway.kafka.messages import call
from mesh.ids import Partition
from mesh.ports import Cluster
from tests.support.java import QUICK_JVM, WARM_JVM, archiving, java_command, quick_jvm, start_process
from tests.support.ports import free_ports

CLUSTER_ID = "bWVzaC10ZXN0LWNsdXN0ZQ"
ARCHIVED_S = 60.0
SETTINGS = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "auto.create.topics.enable": "false",
}
# A restarted broker is let in when the session of its killed incarnation has ended: 9 s by default.
QUICK_SETTINGS = {"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500"}


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of a TLS listener: `identity` holds private key and certificate, `ca` verifies clients."""

    identity: Path
    ca: Path
    client_auth: bool = False


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    heap_mb: int = 512
    warm: bool = False
    """For benchmarks: all of the compiler, and the production collector."""
    node_id: int = 1
    tls: TlsFiles | None = None
    """Adds a TLS listener: `Broker.tls_address`."""
    users: Mapping[str, str] = field(default_factory=dict)
    """Names and passwords; adds a listener that takes them by PLAIN and SCRAM: `sasl_address`, `sasl_tls_address`."""
    behind: bool = False
    """Adds a plain listener whose callers are told to come back to `Broker.front`, a proxy before it."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """Further server.properties, e.g. `message.max.bytes`."""
    log_level: str = "warn"

    @property
    def listeners(self) -> dict[str, str]:
        """Listener names and their security protocols."""
        wanted = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"}
        if self.tls:
            wanted["TLS"] = "SSL"
        if self.users:
            wanted["SASL"] = "SASL_PLAINTEXT"
        if self.users and self.tls:
            wanted["SASLTLS"] = "SASL_SSL"
        if self.behind:
            wanted["BEHIND"] = "PLAINTEXT"
        return wanted


class Broker:
    """One broker process; see the module. `directory` holds its data, settings and log until `stop`."""

    def __init__(self, config: BrokerConfig, port: int | None = None) -> None:
        self.config = config
        self.directory = Path(tempfile.mkdtemp(prefix="mesh-kafka-"))
        names = list(config.listeners)
        free = free_ports(len(names))
        self.ports = dict(zip(names, free, strict=True)) | ({"PLAINTEXT": port} if port else {})
        self.voters = self.voter
        """Who decides, of a cluster of several."""
        self.front = ""
        """The proxy to which callers of the listener behind it are sent, from `format` on."""
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def voter(self) -> str:
        return f"{self.config.node_id}@127.0.0.1:{self.ports['CONTROLLER']}"

    def __repr__(self) -> str:
        state = "stopped" if self.process is None else f"pid {self.process.pid}"
        return f"Broker({self.address}, {state})"

    @classmethod
    def start(cls, config: BrokerConfig | None = None, port: int | None = None, timeout_s: float = 60) -> Self:
        """A broker that is ready; raises RuntimeError with the end of its log where it does not become so."""
        broker = cls(config or BrokerConfig(), port)
        atexit.register(broker.stop)
        try:
            broker.format()
            broker.launch()
            broker.wait_ready(timeout_s)
        except BaseException:
            broker.stop()
            raise
        return broker

    @property
    def address(self) -> str:
        return self._address("PLAINTEXT")

    @property
    def tls_address(self) -> str:
        return self._address("TLS")

    @property
    def sasl_address(self) -> str:
        return self._address("SASL")

    @property
    def sasl_tls_address(self) -> str:
        return self._address("SASLTLS")

    @property
    def behind_address(self) -> str:
        return self._address("BEHIND")

    def _address(self, listener: str) -> str:
        return f"127.0.0.1:{self.ports[listener]}"

    @property
    def pid(self) -> int:
        """The process id of the running broker: the benchmarks read its CPU time."""
        assert self.process is not None, "the broker is not running"
        return self.process.pid

    def format(self) -> None:
        self._format(quick_jvm(_archive_classes))

    def _format(self, options: Sequence[str]) -> None:
        properties = self.directory / "server.properties"
        properties.write_text("".join(f"{key}={value}\n" for key, value in self._properties().items()))
        scram = [
            argument
            for name, password in self.config.users.items()
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for argument in ("--add-scram", f"{mechanism}=[name={name},password={password}]")
        ]
        arguments = ["format", "-t", CLUSTER_ID, "-c", str(properties), *scram]
        command = java_command("kafka.tools.StorageTool", arguments, options, heap_mb=128)
        with self._log() as log:
            if subprocess.run(command, stdout=log, stderr=log, timeout=60, check=False).returncode != 0:
                raise RuntimeError(f"could not format the broker's storage:\n{self.log_tail()}")

    def launch(self) -> None:
        """Start the process without waiting until it is ready."""
        self._launch(WARM_JVM if self.config.warm else quick_jvm(_archive_classes))

    def _launch(self, options: Sequence[str]) -> None:
        assert self.process is None, "the broker runs already"
        # libraries that Java unpacks stay where a broker is killed: here they go with its directory
        jvm = [*options, f"-Djava.io.tmpdir={self.directory}"]
        arguments = [str(self.directory / "server.properties")]
        heap_mb, level = self.config.heap_mb, self.config.log_level
        command = java_command("kafka.Kafka", arguments, jvm, heap_mb=heap_mb, log_level=level)
        with self._log() as log:
            self.process = start_process(command, log)

    def wait_ready(self, timeout_s: float = 60, brokers: int = 1) -> None:
        """Returns when it knows that many live brokers."""
        deadline = time.monotonic() + timeout_s
        while live_brokers(self.ports["PLAINTEXT"]) < brokers:
            dead = self.process is None or self.process.poll() is not None
            if dead or time.monotonic() > deadline:
                why = "died at start" if dead else f"is not ready after {timeout_s} s"
                raise RuntimeError(f"the broker {why}:\n{self.log_tail()}")
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL, as a power failure of the process would be; the data stays."""
        self._end(signal.SIGKILL)

    def suspend(self) -> None:
        """SIGSTOP: connections stay open, nothing answers. Returns when every thread has stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        while not all(state == "T" for state in _thread_states(self.pid)):
            time.sleep(0.001)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def restart(self, timeout_s: float = 60) -> None:
        """On the same ports and data, and ready."""
        self._end(signal.SIGTERM)
        self.launch()
        self.wait_ready(timeout_s)

    def stop(self) -> None:
        """End the process and delete its directory; harmless when done twice."""
        self._end(signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)
        atexit.unregister(self.stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def log_tail(self, size_bytes: int = 6000) -> str:
        path = self.directory / "log.txt"
        return path.read_text(errors="replace")[-size_bytes:] if path.exists() else ""

    @contextmanager
    def _log(self) -> Iterator[int]:
        descriptor = os.open(self.directory / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _end(self, how: signal.Signals, patience_s: float = 20) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        for step in dict.fromkeys((how, signal.SIGKILL)):
            try:
                os.killpg(process.pid, step)
                process.wait(patience_s)
            except ProcessLookupError:
                process.wait(patience_s)
                return
            except subprocess.TimeoutExpired:
                continue
            return

    def _properties(self) -> dict[str, str]:
        listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in self.ports.items())
        advertised = ",".join(listener for listener in listeners.split(",") if not listener.startswith("CONTROLLER"))
        if self.front:
            advertised = advertised.replace(f"BEHIND://{self.behind_address}", f"BEHIND://{self.front}")
        protocols = ",".join(f"{name}:{protocol}" for name, protocol in self.config.listeners.items())
        return {
            **SETTINGS,
            **({} if self.config.warm else QUICK_SETTINGS),
            "node.id": str(self.config.node_id),
            "controller.quorum.voters": self.voters,
            "listeners": listeners,
            "advertised.listeners": advertised,
            "listener.security.protocol.map": protocols,
            "log.dirs": str(self.directory / "data"),
            **_tls_properties(self.config.tls),
            **_sasl_properties(self.config.users),
            **self.config.properties,
        }


def _thread_states(pid: int) -> Iterator[str]:
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):  # a thread that has ended meanwhile
            yield stat.read_text().rpartition(")")[2].split()[0]


def _tls_properties(tls: TlsFiles | None) -> dict[str, str]:
    if tls is None:
        return {}
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(tls.identity),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(tls.ca),
        "ssl.client.auth": "required" if tls.client_auth else "none",
    }


def _sasl_properties(users: Mapping[str, str]) -> dict[str, str]:
    if not users:
        return {}
    known = " ".join(f'user_{name}="{password}"' for name, password in users.items())
    properties = {"sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"}
    for listener in ("sasl", "sasltls"):
        module = "org.apache.kafka.common.security"
        properties |= {
            f"listener.name.{listener}.plain.sasl.jaas.config": f"{module}.plain.PlainLoginModule required {known};",
            f"listener.name.{listener}.scram-sha-256.sasl.jaas.config": f"{module}.scram.ScramLoginModule required;",
            f"listener.name.{listener}.scram-sha-512.sasl.jaas.config": f"{module}.scram.ScramLoginModule required;",
        }
    return properties


def _archive_classes(archive: Path) -> None:
    """By a broker that only starts and ends. Raises RuntimeError with the end of its log."""
    broker = Broker(BrokerConfig())
    try:
        broker._format(QUICK_JVM)
        broker._launch(archiving(archive))
        broker.wait_ready()
        broker._end(signal.SIGTERM, ARCHIVED_S)
        if not archive.exists():
            raise RuntimeError(f"no archive of classes was made:\n{broker.log_tail()}")
    finally:
        broker.stop()


@contextmanager
def several_brokers(count: int, timeout_s: float = 90) -> Iterator[list[Broker]]:
    """One cluster of `count` brokers, each of which may die; topics are kept by all of them."""
    replicated = {"min.insync.replicas": str(count // 2 + 1), "transaction.state.log.min.isr": str(count // 2 + 1)}
    for topics in ("default", "offsets.topic", "transaction.state.log"):
        replicated[f"{topics}.replication.factor"] = str(count)
    brokers = [
        Broker(BrokerConfig(heap_mb=256, node_id=number, properties=replicated)) for number in range(1, count + 1)
    ]
    try:
        for broker in brokers:
            atexit.register(broker.stop)
            broker.voters = ",".join(each.voter for each in brokers)
            broker.format()
        for broker in brokers:
            broker.launch()
        for broker in brokers:
            broker.wait_ready(timeout_s, brokers=count)
        yield brokers
    finally:
        for broker in brokers:
            broker.stop()


Made = TypeVar("Made", bound=Broker)


@contextmanager
def two_clusters() -> Iterator[tuple[Broker, Broker]]:
    """Two clusters of one broker each, started at once: each takes seconds."""
    with two_clusters_of(Broker) as made:
        yield made


@contextmanager
def two_clusters_of(make: Callable[[BrokerConfig], Made]) -> Iterator[tuple[Made, Made]]:
    """As `two_clusters`, of brokers made so."""
    made = [make(BrokerConfig()) for _ in range(2)]
    try:
        for broker in made:
            broker.format()
            broker.launch()
        for broker in made:
            broker.wait_ready()
        yield made[0], made[1]
    finally:
        for broker in made:
            broker.stop()


@functools.cache
def shared_broker() -> Broker:
    """One broker for everything in this process that has no wish of its own; ends with the process."""
    quick = {"log.retention.check.interval.ms": "1000", "log.cleaner.backoff.ms": "200"}
    return Broker.start(BrokerConfig(properties=quick))


@asynccontextmanager
async def open_cluster() -> AsyncIterator[Cluster]:
    """The shared broker as a cluster."""
    async with open_kafka(KafkaConfig(bootstrap=(shared_broker().address,))) as cluster:
        yield cluster


async def delete_records(partition: Partition, offset: int) -> None:
    """Move the log start of a partition on the shared broker."""
    config = KafkaConfig(bootstrap=(shared_broker().address,))
    asked = DeleteRecordsPartition(partition_index=i32(partition.number), offset=i64(offset))
    topic = DeleteRecordsTopic(name=TopicName(partition.topic), partitions=(asked,))
    request = DeleteRecordsRequest(topics=(topic,), timeout=i32Timedelta.parse(timedelta(seconds=10)))
    connection = await dial(config, config.addresses[0], None)
    try:
        answer = await call(connection, request, DeleteRecordsResponse, 10)
        assert answer.topics[0].partitions[0].error_code == 0, answer
    finally:
        connection.abort("done")


def live_brokers(port: int) -> int:
    """How many live brokers the one on this port names: at least one when it may be given topics, 0 before."""
    body = struct.pack(">hhih", 3, 1, 1, -1) + struct.pack(">i", 0)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            answer = connection.recv(12, socket.MSG_WAITALL)
    except OSError:
        return 0
    return int(struct.unpack(">iii", answer)[2]) if len(answer) == 12 else 0
