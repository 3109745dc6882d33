"""What only the Kafka adapter raises; the rest stands in `mesh.cluster_errors`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.errors import CallerError, NetworkError, OperatorError


@dataclass(eq=False)
class AuthenticationFailed(OperatorError):
    address: str
    why: str

    code: ClassVar[str] = "cluster-authentication-failed"
    sentence: ClassVar[str] = "broker {address} did not accept the gateway's credentials: {why}"
    hint: ClassVar[str] = "check mechanism, user name and password in the cluster section of the configuration"


@dataclass(eq=False)
class ClusterUntrusted(OperatorError):
    address: str
    why: str

    code: ClassVar[str] = "cluster-untrusted"
    sentence: ClassVar[str] = "the TLS handshake with broker {address} failed: {why}"
    hint: ClassVar[str] = "check the CA file, the broker's certificate and its host name"


@dataclass(eq=False)
class ClusterTooOld(OperatorError):
    address: str
    request: str
    version: int

    code: ClassVar[str] = "cluster-too-old"
    sentence: ClassVar[str] = "broker {address} does not speak {request} version {version}"
    hint: ClassVar[str] = "use Apache Kafka 3.1 or later"


@dataclass(eq=False)
class BrokerRefused(OperatorError):
    """An answer that no rule of ours expects."""

    request: str
    resource: str
    why: str

    code: ClassVar[str] = "broker-refused"
    sentence: ClassVar[str] = "the cluster refused to {request} {resource}: {why}"
    hint: ClassVar[str] = "see the broker's log for the reason"


@dataclass(eq=False)
class TopicRefused(CallerError):
    topic: str
    why: str
    request: str = "create"

    code: ClassVar[str] = "topic-refused"
    sentence: ClassVar[str] = "the cluster will not {request} topic {topic!r}: {why}"
    hint: ClassVar[str] = "change the number of partitions or the configuration as the reason says"


@dataclass(eq=False)
class StateNotCompacted(OperatorError):
    topic: str
    policy: str

    code: ClassVar[str] = "state-not-compacted"
    sentence: ClassVar[str] = "topic {topic} has cleanup.policy {policy}: the gateway's state would be lost in time"
    hint: ClassVar[str] = "set cleanup.policy=compact on {topic}"


@dataclass(eq=False)
class StateSplit(OperatorError):
    topic: str
    partitions: int

    code: ClassVar[str] = "state-split"
    sentence: ClassVar[str] = (
        "topic {topic} has {partitions} partitions; what all gateways agree on needs one order, so 1"
    )
    hint: ClassVar[str] = "if no gateway has written to it yet, delete {topic} and make it with 1 partition"


@dataclass(eq=False)
class StateMisplaced(OperatorError):
    topic: str
    key: str
    partition: int
    expected: int

    code: ClassVar[str] = "state-misplaced"
    sentence: ClassVar[str] = (
        "{key} lies in partition {partition} of topic {topic} and belongs into {expected}: it was laid out otherwise"
    )
    hint: ClassVar[str] = (
        "partitions of {topic} are not added while there is state in it; use the version of the gateway that wrote it, "
        "or delete the subscriptions there and subscribe anew here"
    )


@dataclass(eq=False)
class AuditNotKept(OperatorError):
    topic: str
    key: str
    value: str
    wanted: str

    code: ClassVar[str] = "audit-not-kept"
    sentence: ClassVar[str] = "topic {topic} has {key} {value}: the audit log would lose entries in time"
    hint: ClassVar[str] = "set {key}={wanted} on {topic}"


@dataclass(eq=False)
class LeaderMoved(NetworkError):
    """Definite: the broker asked did nothing."""

    topic: str
    partition: int

    code: ClassVar[str] = "leader-moved"
    sentence: ClassVar[str] = "{topic}[{partition}] has no leader at the broker that was asked"
    hint: ClassVar[str] = "an election is going on; the gateway finds the new leader and tries again"


@dataclass(eq=False)
class ReplicasMissing(NetworkError):
    """Definite: nothing was written."""

    topic: str
    partition: int

    code: ClassVar[str] = "replicas-missing"
    sentence: ClassVar[str] = "{topic}[{partition}] has fewer replicas in sync than min.insync.replicas asks for"
    hint: ClassVar[str] = "the gateway tries again; bring the missing brokers back"


@dataclass(eq=False)
class AppendNotSent(NetworkError):
    """Definite: this batch never left the gateway."""

    topic: str
    partition: int
    why: str

    code: ClassVar[str] = "append-not-sent"
    sentence: ClassVar[str] = "a batch for {topic}[{partition}] was not sent: {why}"
    hint: ClassVar[str] = "the lane asks the log where it stands and goes on from there"
