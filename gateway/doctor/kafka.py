"""Examining a Kafka cluster: facts in stages, each judged as soon as it is known.

It uses connections of its own, so it says the same before a gateway starts and beside one that runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from kio.schema.describe_configs.v4 import DescribeConfigsRequest
from kio.schema.end_txn.v3 import EndTxnRequest
from kio.schema.init_producer_id.v4 import InitProducerIdRequest
from kio.schema.write_txn_markers.v1 import WriteTxnMarkersRequest

from gateway.doctor.access_checks import check_access
from gateway.doctor.broker_checks import api_of, check_doors, check_security, check_settings
from gateway.doctor.doors import knock
from gateway.doctor.facts import Asked, ClusterFacts, Use
from gateway.doctor.findings import Finding, fail, ok
from gateway.doctor.looking import look_at_cluster, look_at_topics
from gateway.doctor.topic_checks import check_topics
from gateway.doctor.trying import try_others, try_topics
from gateway.kafka.audit import AUDIT_TOPIC
from gateway.kafka.config import KafkaConfig
from gateway.kafka.dial import NEEDED
from gateway.kafka.errors import ClusterUntrusted
from gateway.kafka.opening import open_client
from gateway.kafka.state import CONTROL_TOPIC, LANES_TOPIC
from gateway.kafka.state_topics import internal_replicas
from mesh.errors import MeshError

SPOKEN = NEEDED | {
    "DescribeConfigs": api_of(DescribeConfigsRequest),
    "InitProducerId": api_of(InitProducerIdRequest),
    "EndTxn": api_of(EndTxnRequest),
    "WriteTxnMarkers": api_of(WriteTxnMarkersRequest),
}
STATE = tuple(Asked(name, Use.STATE) for name in (CONTROL_TOPIC, LANES_TOPIC, AUDIT_TOPIC))


@dataclass(frozen=True, slots=True)
class KafkaQuestion:
    """`topics` are those that are shared or mirrored into; ours are always looked at."""

    config: KafkaConfig
    topics: Sequence[Asked]
    max_batch_bytes: int
    now_ms: int


async def examine_kafka(question: KafkaQuestion) -> AsyncIterator[Finding]:
    """Every finding, as it is known. What the cluster refuses is a finding too: raises nothing of ours."""
    for finding in check_security(question.config):
        yield finding
    try:
        doors = await knock(question.config)
    except ClusterUntrusted as error:
        yield fail("TLS files", str(error), "no broker can be reached", error.remedy)
        return
    for finding in check_doors(doors, SPOKEN, question.now_ms):
        yield finding
    if all(door.why for door in doors):
        return
    try:
        async for finding in _inside(question):
            yield finding
    except MeshError as error:
        yield fail("cluster", str(error), "the rest could not be looked at", error.remedy)


async def _inside(question: KafkaQuestion) -> AsyncIterator[Finding]:
    asked = [*STATE, *question.topics]
    async with open_client(question.config) as client:
        cluster = await look_at_cluster(client)
        yield ok("cluster", f"{cluster.cluster_id}, {len(cluster.nodes)} live brokers")
        for finding in check_settings(cluster):
            yield finding
        kept = max(internal_replicas(config) for config in _settings(cluster))
        topics = await look_at_topics(client, asked)
        for finding in check_topics(topics, len(cluster.nodes), kept, question.max_batch_bytes):
            yield finding
        mirrors = any(each.use is Use.DESTINATION for each in asked)
        for finding in check_access([*await try_topics(client, asked), *await try_others(client, mirrors=mirrors)]):
            yield finding


def _settings(cluster: ClusterFacts) -> Sequence[dict[str, str]]:
    return [dict(config) for config in cluster.configs.values()] or [{}]
