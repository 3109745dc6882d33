"""Two brokers side by side: A, with a TLS listener too, where topics are filled, and B, where the copies are made."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.watch import ends
from gateway.kafka import KafkaConfig, open_kafka
from mesh.ports import Cluster
from tests.support.brokers import Broker, BrokerConfig, TlsFiles
from tests.support.tls import Authority

HEAP_MB = 1024
READY_S = 180
"""On a machine that is busy; alone, a broker takes some seconds."""
PROPERTIES = {
    "message.max.bytes": "10485760",
    "log.segment.delete.delay.ms": "1000",  # a copy that is done with leaves the disk before the next is made
}


@dataclass(frozen=True, slots=True)
class Ground:
    """Both brokers, a client of each, and a directory that is gone afterwards."""

    directory: Path
    a: Broker
    b: Broker
    source: Cluster
    destination: Cluster

    @property
    def brokers(self) -> dict[str, int]:
        """Their pids by name."""
        return {"broker A": self.a.pid, "broker B": self.b.pid}

    async def check_complete(self, topic: str, expected: list[int]) -> None:
        """Raises RuntimeError unless each partition of the copy ends where it should, also once nobody writes."""
        held = await ends(self.destination, topic, len(expected))
        if held != expected:
            raise RuntimeError(f"{topic} holds {held}, expected were {expected}")


@asynccontextmanager
async def ground() -> AsyncIterator[Ground]:
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mesh-bench-")))
        authority = Authority(directory)
        tls = TlsFiles(authority.identity("broker"), authority.ca_file)
        plain = BrokerConfig(HEAP_MB, warm=True, properties=PROPERTIES)
        a = stack.enter_context(Broker.start(replace(plain, tls=tls), timeout_s=READY_S))
        b = stack.enter_context(Broker.start(plain, timeout_s=READY_S))
        source = await stack.enter_async_context(open_kafka(KafkaConfig(bootstrap=(a.address,))))
        destination = await stack.enter_async_context(open_kafka(KafkaConfig(bootstrap=(b.address,))))
        yield Ground(directory, a, b, source, destination)
