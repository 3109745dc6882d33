"""Ports: what the core's users need of a cluster, small enough to state as laws.

One contract suite per port runs on the fake cluster, the embedded log and Kafka. Offsets are partition offsets,
sizes are bytes, durations are seconds, timestamps are milliseconds since 1970. Every coroutine may raise a
`NetworkError` (try again) or an `OperatorError` (permission, full disk); what else it raises stands beside it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from mesh.batch.stamp import Producer, StampedBatch
from mesh.groups import Group, GroupSummary
from mesh.ids import GroupName, LaneId, Partition, TopicId
from mesh.log import Fetched, LogRange, Topic, Witnesses

StateOf: TypeAlias = Callable[[int], Mapping[str, bytes | None]]
"""From the base offset that an append was given, the state entries to be made durable with it."""


class Topics(Protocol):
    async def create(self, name: str, partitions: int, config: Mapping[str, str]) -> Topic:
        """A new topic. Raises TopicExists, IllegalName."""

    async def describe(self, name: str) -> Topic:
        """Raises TopicAbsent."""

    async def list(self, wanted: Callable[[str], bool] = lambda name: True) -> list[Topic]:
        """The topics that a user may see and whose names are `wanted`, by name; internal ones left out."""

    async def grow(self, name: str, partitions: int) -> Topic:
        """The topic with that many partitions at least: those that are added are empty, the others as they were.

        Never takes one away. Raises TopicAbsent.
        """

    async def configure(self, name: str, settings: Mapping[str, str | None]) -> Topic:
        """The topic with these settings set, or with None back to the cluster's default; all or none, others stay.

        Raises TopicAbsent.
        """

    async def sizes(self, name: str) -> Mapping[int, int] | None:
        """What the log of each partition takes up, as stored; None where the cluster does not tell us.

        Raises TopicAbsent.
        """

    async def delete(self, name: str) -> None:
        """Raises TopicAbsent."""


class Source(Protocol):
    async def fetch(
        self,
        partition: Partition,
        offset: int,
        topic_id: TopicId | None,
        max_bytes: int,
        wait_s: float,
        last_epoch: int = -1,
    ) -> Fetched:
        """Committed data from `offset` on, at least one whole batch if there is any.

        Waits up to `wait_s` for the first byte, then answers empty. Raises TopicAbsent, PartitionAbsent,
        TopicRecreated (the id is another than `topic_id`), OffsetOutOfRange (with the range: below its
        start means lost, above its end means truncated).

        `last_epoch` is the leader epoch of the batch that this reader read last, -1 unknown: a log whose history before
        `offset` has been replaced since then raises LogTruncated. A log that is never truncated need not look at it.
        """

    async def range(self, partition: Partition) -> LogRange:
        """Raises TopicAbsent, PartitionAbsent."""

    async def offset_at(self, partition: Partition, timestamp_ms: int) -> int | None:
        """The first offset whose record is at or after `timestamp_ms`, None where there is none."""


class Destination(Protocol):
    joins_state: bool
    """Whether an append and its state entries commit as one transaction, so that a checkpoint costs nothing."""
    max_in_flight: int
    """How many appends to one partition may await their answer at once."""

    async def producer(self, name: str = "") -> Producer:
        """A producer that nobody else has: its id is new, or that of an earlier one of this `name`, at a newer epoch.

        Only one that was made with a name can be cut.
        """

    def append(self, partition: Partition, batch: StampedBatch, state: StateOf | None = None) -> Awaitable[int]:
        """Queue a batch (the call itself takes its place in the order) and answer its base offset when durable.

        The answer is a future: the append happens whether or not somebody awaits it.
        An exact repeat of one of the last five batches answers the original offset. What `state` returns for
        that offset is durable before the answer; where `joins_state`, in the same transaction. It may be called on
        another thread, so it only computes. Raises
        SequenceRefused (out of line: nothing written), ProducerFenced, BatchRefused (the log will never take it),
        TopicAbsent, and AppendUnknown where the outcome cannot be known: ask `witness`.
        """

    async def witness(self, partition: Partition, producer: Producer, from_offset: int) -> Witnesses:
        """What the log knows of `producer` in `partition`. Raises TopicAbsent, PartitionAbsent."""

    async def cut(self, name: str, producer: Producer, partitions: Sequence[Partition]) -> Producer:
        """Shut out whoever still writes as `producer`, which was made with `name`: the strict cut.

        After it every append as `producer` to these partitions raises ProducerFenced. Answers the producer at its
        new epoch, whose sequences begin at 0. May take an offset of each partition; may be repeated. Raises
        TopicAbsent, PartitionAbsent.
        """


class StateStore(Protocol):
    """Durable values under string keys: `<kind>/<name>…`, shared by all gateways of an organization.

    The first two parts of the keys of one `put` agree, in the lanes state the first four, which are
    `lane/<subscription>/<topic>/<partition>`.
    """

    async def load(self, prefix: str) -> dict[str, bytes]:
        """Every entry whose key begins with `prefix`, as of the last completed put of any gateway."""

    async def put(self, entries: Mapping[str, bytes | None]) -> None:
        """Store all entries or none, durable at return; None removes a key.

        Raises StateMoved where another gateway has taken over the part of the state that the keys belong to: nothing
        was stored, and nothing of ours will be until it is claimed again.
        """


class ControlStore(StateStore, Protocol):
    """The state that any gateway may change, and that each sees change: a change is decided on what is known.

    version, changed = await store.changes_since(0)
    ...                                                # decide
    version = await store.change(entries, version)     # or StateMoved: see what changed and decide again
    """

    @property
    def version(self) -> int:
        """Rises with each put that is known here, ours or another gateway's. It means nothing to another store."""

    async def wait_changed(self, version: int) -> int:
        """The present version, as soon as it is another than `version`."""

    async def changes_since(self, version: int) -> tuple[int, dict[str, bytes | None]]:
        """The present version and each key put since `version`, with its present value, None where it is removed.

        A key that was put again with the value it had is among them. Since version 0: everything.
        """

    async def change(self, entries: Mapping[str, bytes | None], version: int) -> int:
        """As `put`, if nothing was put since `version`; answers the version that this made.

        Raises StateMoved where something was: nothing is stored. After another error the outcome is not known: where
        the change took place nonetheless, a later `changes_since` shows it.
        """


class Ownership(Protocol):
    """Which lanes this gateway runs: among the gateways of an organization each lane has one owner.

    A moment with two owners is harmless (rules B and C); one without an owner ends by itself.
    """

    @property
    def is_shared(self) -> bool:
        """Whether there can be other gateways."""

    @property
    def gateway(self) -> str:
        """Our own name."""

    @property
    def version(self) -> int:
        """Rises with each change."""

    async def wait_changed(self, version: int) -> int:
        """The present version, as soon as it is another than `version`."""

    def owns(self, lane: LaneId) -> bool:
        """Whether this gateway runs the lane: nobody else can store its state any more, and what is stored is known."""

    def term(self, lane: LaneId) -> int:
        """Which stretch of owning this is: another number whenever somebody else may have run the lane in between.

        0 while we do not own it. What was begun in one term ends with it.
        """

    def owner(self, lane: LaneId) -> str:
        """The name of the gateway that runs the lane, empty while nobody knows."""

    def trouble(self) -> str:
        """Why this gateway can run no lanes, empty where all is well."""

    async def leave(self) -> None:
        """Run nothing any more, so that others take over at once: to be called when no lane runs here."""


class Groups(Protocol):
    """Consumer groups: where each stands. A position is the offset that the group reads next."""

    async def list(self) -> list[GroupSummary]:
        """The groups of consumers that a user may see, by name."""

    async def describe(self, name: GroupName, topics: Collection[str]) -> Group:
        """The group and its committed positions on `topics`; one that nobody has made is ABSENT and has none.

        Positions on an earlier incarnation of a topic are left out. A commit that is part of an open transaction is
        waited for.
        """

    async def commit(self, name: GroupName, positions: Mapping[Partition, int]) -> None:
        """Set the positions, all or none; makes the group where it is absent, and touches no others of it.

        The cluster itself refuses it where the group has members at that moment, so nobody who reads loses a place.
        Nothing but the offsets is written: no leader epoch, no metadata. Raises GroupNotEmpty, TopicAbsent,
        PartitionAbsent.
        """

    async def forget(self, name: GroupName, topic: str) -> None:
        """Remove the group's positions on a topic, and no others of it; where there are none, nothing is done.

        Raises GroupNotEmpty where members of the group read the topic, TopicAbsent.
        """


class AuditLog(Protocol):
    """Entries in order, never changed, never removed; written by all gateways of an organization."""

    async def append(self, entries: Sequence[bytes], index: int) -> None:
        """Add entries, the first at exactly `index`, all or none, durable at return.

        Entries that stand there because an earlier call of this gateway left them are answered as added: after an error
        they may be there or come there later, and calling again with the same entries and index never adds them twice.
        Raises AuditMoved where others stand there, or the log ends before it: nothing was written.
        """

    async def end(self) -> int:
        """How many entries there are: the index of the next."""

    async def read(self, from_index: int, limit: int) -> list[bytes]:
        """At most `limit` entries from `from_index` on; empty at the end."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """An organization's own log, by its ports. `control` and `lanes` are the two kinds of state."""

    cluster_id: str
    kind: str
    topics: Topics
    source: Source
    destination: Destination
    control: ControlStore
    lanes: StateStore
    ownership: Ownership
    groups: Groups
    audit: AuditLog
    close: Callable[[], Awaitable[None]]
    applications: Destination | None = field(default=None, kw_only=True)
    """For what applications publish, which is no lane's and asks for no ownership; None: `destination` is for both."""

    @property
    def publishing(self) -> Destination:
        return self.applications or self.destination
