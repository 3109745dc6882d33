"""Who leads in a cluster, asked by a stock client."""

from __future__ import annotations

from collections import Counter

from confluent_kafka.admin import AdminClient

from tests.support.brokers import Broker


def addresses(brokers: list[Broker]) -> str:
    return ",".join(broker.address for broker in brokers)


def most_leading(address: str) -> int:
    """The node that leads most partitions of topics that are nobody's internals."""
    topics = AdminClient({"bootstrap.servers": address}).list_topics(timeout=30).topics
    leaders = Counter(
        partition.leader
        for name, topic in topics.items()
        if not name.startswith("_")
        for partition in topic.partitions.values()
    )
    return leaders.most_common(1)[0][0]
