"""What a cluster port may raise, whatever cluster is behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.errors import CallerError, NetworkError, OperatorError


@dataclass(eq=False)
class TopicAbsent(CallerError):
    topic: str

    code: ClassVar[str] = "topic-absent"
    sentence: ClassVar[str] = "topic {topic!r} does not exist on this cluster"
    hint: ClassVar[str] = "create it with: mesh topic create {topic}"


@dataclass(eq=False)
class TopicExists(CallerError):
    topic: str

    code: ClassVar[str] = "topic-exists"
    sentence: ClassVar[str] = "topic {topic!r} exists already"
    hint: ClassVar[str] = "choose another name, or delete the topic first"


@dataclass(eq=False)
class PartitionAbsent(CallerError):
    topic: str
    partition: int
    partitions: int

    code: ClassVar[str] = "partition-absent"
    sentence: ClassVar[str] = "topic {topic!r} has partitions 0 to {partitions} (exclusive), not {partition}"
    hint: ClassVar[str] = "name a partition that exists: mesh topic list"


@dataclass(eq=False)
class TopicRecreated(OperatorError):
    topic: str
    expected_id: str
    actual_id: str

    code: ClassVar[str] = "topic-recreated"
    sentence: ClassVar[str] = "topic {topic!r} was deleted and created again: id {actual_id}, expected {expected_id}"
    hint: ClassVar[str] = "delete the subscription and subscribe anew to copy the new incarnation"


@dataclass(eq=False)
class OffsetOutOfRange(OperatorError):
    topic: str
    partition: int
    offset: int
    start: int
    end: int

    code: ClassVar[str] = "offset-out-of-range"
    sentence: ClassVar[str] = (
        "offset {offset} of {topic}[{partition}] lies outside the log, which holds {start} to {end} (exclusive)"
    )
    hint: ClassVar[str] = "below the start: retention passed the reader; above the end: the log was truncated"


@dataclass(eq=False)
class LogTruncated(OperatorError):
    """The offset may be there again, but not with the history that was read before it."""

    topic: str
    partition: int
    offset: int
    diverges_at: int
    start: int
    end: int
    diverging_epoch: int = -1
    """The log's last leader epoch up to the reader's, which ended at `diverges_at`; -1: nobody knows where they part,
    and all from `diverges_at` on may differ."""

    code: ClassVar[str] = "log-truncated"
    sentence: ClassVar[str] = (
        "{topic}[{partition}] was truncated: what was read before {offset} is another history from {diverges_at} on,"
        " the log holds {start} to {end} (exclusive)"
    )
    hint: ClassVar[str] = "an unclean election lost records; compare both logs before you go on"


@dataclass(eq=False)
class SequenceRefused(OperatorError):
    """The compare of compare-and-append failed: the log is not where the writer believed. Nothing was written."""

    topic: str
    partition: int
    base_sequence: int

    code: ClassVar[str] = "sequence-refused"
    sentence: ClassVar[str] = "{topic}[{partition}] refused sequence {base_sequence}: it is not the next one"
    hint: ClassVar[str] = "the lane asks the log where it stands and goes on from there"
    retriable: ClassVar[bool] = True


@dataclass(eq=False)
class ProducerFenced(OperatorError):
    topic: str
    partition: int
    producer_id: int

    code: ClassVar[str] = "producer-fenced"
    sentence: ClassVar[str] = (
        "{topic}[{partition}] has seen a newer epoch of producer {producer_id}: this writer is shut out"
    )
    hint: ClassVar[str] = "the topic was promoted or another gateway took the lane over"


@dataclass(eq=False)
class BatchRefused(OperatorError):
    topic: str
    partition: int
    why: str

    code: ClassVar[str] = "batch-refused"
    sentence: ClassVar[str] = "{topic}[{partition}] will not take the batch: {why}"
    hint: ClassVar[str] = (
        "change the destination topic's configuration as the reason says, then resume the subscription"
    )


@dataclass(eq=False)
class TimestampRefused(BatchRefused):
    """A record's timestamp is too far from the log's clock: it may be taken at another time, or without it."""

    code: ClassVar[str] = "batch-timestamp-refused"
    hint: ClassVar[str] = "raise message.timestamp.before.max.ms or message.timestamp.after.max.ms of topic {topic}"


@dataclass(eq=False)
class AppendUnknown(NetworkError):
    topic: str
    partition: int
    why: str

    code: ClassVar[str] = "append-unknown"
    sentence: ClassVar[str] = "the outcome of an append to {topic}[{partition}] is unknown: {why}"
    hint: ClassVar[str] = "the lane asks the log before it writes again"


@dataclass(eq=False)
class StateMoved(NetworkError):
    """Definite: nothing was written. What the change was decided on is not how things are any more."""

    place: str

    code: ClassVar[str] = "state-moved"
    sentence: ClassVar[str] = "another gateway changed or took over the state in {place}: nothing was written"
    hint: ClassVar[str] = "the gateway reads what is there now and decides again"


@dataclass(eq=False)
class AuditMoved(NetworkError):
    """Nothing of the call that raises it was written."""

    index: int
    end: int

    code: ClassVar[str] = "audit-moved"
    sentence: ClassVar[str] = "entry {index} of the audit log is not the next one: the log has {end} entries"
    hint: ClassVar[str] = "the gateway reads the end of the log and adds its entries behind those of other gateways"


@dataclass(eq=False)
class ClusterUnreachable(NetworkError):
    cluster: str
    why: str

    code: ClassVar[str] = "cluster-unreachable"
    sentence: ClassVar[str] = "cluster {cluster} cannot be reached: {why}"
    hint: ClassVar[str] = "check the address, the broker and the network between; the gateway tries again"


@dataclass(eq=False)
class PermissionMissing(OperatorError):
    operation: str
    resource: str

    code: ClassVar[str] = "permission-missing"
    sentence: ClassVar[str] = "the cluster does not allow this gateway to {operation} {resource}"
    hint: ClassVar[str] = "grant the gateway's principal this operation, then resume"


@dataclass(eq=False)
class DiskFull(OperatorError):
    path: str

    code: ClassVar[str] = "disk-full"
    sentence: ClassVar[str] = "no space left to write {path}"
    hint: ClassVar[str] = "free space; appends go on by themselves, nothing acknowledged was lost"
    retriable: ClassVar[bool] = True


@dataclass(eq=False)
class GroupNotEmpty(CallerError):
    """Decided by the cluster at the moment of the commit: nothing was written."""

    group: str

    code: ClassVar[str] = "group-not-empty"
    sentence: ClassVar[str] = "group {group!r} has members: its positions are theirs to set"
    hint: ClassVar[str] = "stop its consumers and try again; one that died counts until its session has ended"
