"""Kafka's error codes as our errors: the one place that knows both."""

from __future__ import annotations

from enum import IntEnum

from gateway.kafka.errors import AppendNotSent, BrokerRefused, LeaderMoved, ReplicasMissing
from mesh.batch.stamp import StampedBatch
from mesh.cluster_errors import (
    AppendUnknown,
    BatchRefused,
    PermissionMissing,
    ProducerFenced,
    SequenceRefused,
    TimestampRefused,
    TopicAbsent,
)
from mesh.errors import MeshError
from mesh.ids import Partition


class Code(IntEnum):
    """The codes that we act upon, by Kafka's names."""

    UNKNOWN_SERVER_ERROR = -1
    NONE = 0
    OFFSET_OUT_OF_RANGE = 1
    CORRUPT_MESSAGE = 2
    UNKNOWN_TOPIC_OR_PARTITION = 3
    LEADER_NOT_AVAILABLE = 5
    NOT_LEADER_OR_FOLLOWER = 6
    REQUEST_TIMED_OUT = 7
    REPLICA_NOT_AVAILABLE = 9
    MESSAGE_TOO_LARGE = 10
    COORDINATOR_LOAD_IN_PROGRESS = 14
    COORDINATOR_NOT_AVAILABLE = 15
    NOT_COORDINATOR = 16
    INVALID_TOPIC = 17
    RECORD_LIST_TOO_LARGE = 18
    NOT_ENOUGH_REPLICAS = 19
    ILLEGAL_GENERATION = 22
    UNKNOWN_MEMBER_ID = 25
    REBALANCE_IN_PROGRESS = 27
    TOPIC_AUTHORIZATION_FAILED = 29
    GROUP_AUTHORIZATION_FAILED = 30
    CLUSTER_AUTHORIZATION_FAILED = 31
    INVALID_TIMESTAMP = 32
    UNSUPPORTED_SASL_MECHANISM = 33
    TOPIC_ALREADY_EXISTS = 36
    NOT_CONTROLLER = 41
    OUT_OF_ORDER_SEQUENCE = 45
    DUPLICATE_SEQUENCE = 46
    INVALID_PRODUCER_EPOCH = 47
    CONCURRENT_TRANSACTIONS = 51
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
    OPERATION_NOT_ATTEMPTED = 55
    KAFKA_STORAGE_ERROR = 56
    SASL_AUTHENTICATION_FAILED = 58
    UNKNOWN_PRODUCER_ID = 59
    NON_EMPTY_GROUP = 68
    GROUP_ID_NOT_FOUND = 69
    FENCED_LEADER_EPOCH = 74
    UNKNOWN_LEADER_EPOCH = 75
    UNSUPPORTED_COMPRESSION = 76
    OFFSET_NOT_AVAILABLE = 78
    MEMBER_ID_REQUIRED = 79
    GROUP_SUBSCRIBED_TO_TOPIC = 86
    INVALID_RECORD = 87
    UNSTABLE_OFFSET_COMMIT = 88
    PRODUCER_FENCED = 90
    UNKNOWN_TOPIC_ID = 100
    INCONSISTENT_TOPIC_ID = 103


LEADER_UNSETTLED = frozenset(
    {
        Code.LEADER_NOT_AVAILABLE,
        Code.NOT_LEADER_OR_FOLLOWER,
        Code.REPLICA_NOT_AVAILABLE,
        Code.KAFKA_STORAGE_ERROR,
        Code.FENCED_LEADER_EPOCH,
        Code.UNKNOWN_LEADER_EPOCH,
        Code.OFFSET_NOT_AVAILABLE,
        Code.UNKNOWN_TOPIC_OR_PARTITION,
        Code.UNKNOWN_TOPIC_ID,
        Code.INCONSISTENT_TOPIC_ID,
    }
)
"""A reader that gets one of these asks for the metadata anew; whether the topic is gone, the metadata says."""

BATCH_FAULTS = {
    Code.CORRUPT_MESSAGE: "it is damaged, or has no key where the topic is compacted",
    Code.MESSAGE_TOO_LARGE: "it is larger than the topic's max.message.bytes",
    Code.RECORD_LIST_TOO_LARGE: "it is larger than the topic's segment.bytes",
    Code.INVALID_TIMESTAMP: "a timestamp is further from now than message.timestamp.before.max.ms or .after.max.ms",
    Code.UNSUPPORTED_COMPRESSION: "the broker does not know its compression",
    Code.INVALID_RECORD: "a record is not valid for the topic",
}


def append_error(partition: Partition, batch: StampedBatch, code: int, why: str) -> MeshError:
    """What an answer with an error means for a batch that was sent.

    What is not known to be definite counts as unknown (rule G): among these are -1, 7, 20 and 56. 46 too: the broker
    has the batch but does not say where. A broker that does not know the topic may be new to it, or the topic
    gone: the metadata tells.
    """
    topic, number = partition
    match code:
        case Code.OUT_OF_ORDER_SEQUENCE | Code.UNKNOWN_PRODUCER_ID:
            return SequenceRefused(topic, number, batch.base_sequence)
        case Code.INVALID_PRODUCER_EPOCH | Code.PRODUCER_FENCED:
            return ProducerFenced(topic, number, batch.producer.id)
        case Code.TOPIC_AUTHORIZATION_FAILED | Code.CLUSTER_AUTHORIZATION_FAILED:
            return PermissionMissing("write to topic", topic)
        case Code.NOT_LEADER_OR_FOLLOWER | Code.LEADER_NOT_AVAILABLE | Code.UNKNOWN_TOPIC_OR_PARTITION:
            return LeaderMoved(topic, number)
        case Code.UNKNOWN_TOPIC_ID | Code.INCONSISTENT_TOPIC_ID:  # deleted, or too new: the lane asks which
            return AppendNotSent(topic, number, "the broker knows no topic of the id whose log was asked")
        case Code.NOT_ENOUGH_REPLICAS:
            return ReplicasMissing(topic, number)
        case _ if code in BATCH_FAULTS:
            words = BATCH_FAULTS[Code(code)]
            refused = TimestampRefused if code == Code.INVALID_TIMESTAMP else BatchRefused
            return refused(topic, number, f"{words} ({why})" if why else words)
        case _:
            return AppendUnknown(topic, number, f"the broker answered error {describe(code)}")


def request_error(request: str, topic: str, code: int, why: str | None = None) -> MeshError:
    """What an error means for a request about a topic that only asks or administers."""
    match code:
        case Code.TOPIC_AUTHORIZATION_FAILED:
            return PermissionMissing(request, f"topic {topic!r}")
        case Code.CLUSTER_AUTHORIZATION_FAILED:
            return PermissionMissing(request, "on the cluster")
        case Code.GROUP_AUTHORIZATION_FAILED:
            return PermissionMissing(request, f"group {topic!r}")
        case Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
            return PermissionMissing(request, f"transactional id {topic!r}")
        case Code.UNKNOWN_TOPIC_OR_PARTITION | Code.UNKNOWN_TOPIC_ID:
            return TopicAbsent(topic)
        case _:
            return BrokerRefused(request, topic, why or f"error {describe(code)}")


def describe(code: int) -> str:
    try:
        return f"{int(code)} ({Code(code).name})"
    except ValueError:
        return str(int(code))
