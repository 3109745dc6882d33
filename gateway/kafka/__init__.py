"""Kafka behind the ports of `mesh.ports`: raw fetch and produce of whole batches, everything else by typed messages."""

from gateway.kafka.cluster import open_kafka
from gateway.kafka.config import KafkaConfig, Secret

__all__ = ["KafkaConfig", "Secret", "open_kafka"]
