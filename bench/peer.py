"""MirrorMaker 2 as the benchmarks beside catch-up run it: as it comes, or tuned for throughput as for catch-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.mirrormaker import CONSUMER, FLUSH, PRODUCER, REPLICATION
from tests.support.brokers import Broker


@dataclass(frozen=True, slots=True)
class Peer:
    """One mirror of `topic`. `alias` differs from mirror to mirror: then they share no internal topic."""

    alias: str
    topic: str
    source: Mapping[str, str]
    """How the source is reached: what stands behind the alias."""
    destination: str
    tuned_for: int = 0
    """Partitions that it is tuned for; 0: as it comes."""
    codec: str = "none"

    @property
    def copy(self) -> str:
        """The name of its copy."""
        return f"{self.alias}.{self.topic}"

    def settings(self) -> dict[str, str]:
        """mm2.properties: what it needs, and what it is tuned by."""
        return {
            "clusters": f"{self.alias},B",
            **{f"{self.alias}.{key}": value for key, value in self.source.items()},
            "B.bootstrap.servers": self.destination,
            f"{self.alias}->B.enabled": "true",
            f"{self.alias}->B.topics": self.topic,
            f"B->{self.alias}.enabled": "false",
            **dict.fromkeys(REPLICATION, "1"),
            **(self._tuning() if self.tuned_for else {}),
        }

    def _tuning(self) -> dict[str, str]:
        return {
            "tasks.max": str(self.tuned_for),
            "emit.heartbeats.enabled": "false",
            "emit.checkpoints.enabled": "false",
            "sync.topic.acls.enabled": "false",
            **FLUSH,
            **{f"{self.alias}.consumer.{key}": value for key, value in CONSUMER.items()},
            **{f"B.producer.{key}": value for key, value in PRODUCER.items()},
            "B.producer.compression.type": self.codec,
        }


def over_tls(broker: Broker) -> dict[str, str]:
    """As it is reached from another company."""
    assert broker.config.tls is not None
    return {
        "bootstrap.servers": broker.tls_address,
        "security.protocol": "SSL",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(broker.config.tls.ca),
    }
