"""What a source has lost of a lane, as errors: raised by the exporter, sent with a `Loss`, made again by the importer.

The exporter knows the log, the importer what was copied of it; so the range that the importer's error names is the
exact one. At the exporter a truncation's range is what its log says, and may reach beyond what was copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.errors import MeshError, OperatorError
from mesh.ids import LaneId
from mesh.lanes.losses import Loss, LossKind, LostRange

_GO_ON = "to go on: mesh subscription set SUBSCRIPTION --on-loss continue; mesh gaps keeps the range"


@dataclass(eq=False)
class SourceLost(OperatorError):
    """[source_offset, next_source_offset) of the source partition is gone."""

    topic: str
    partition: int
    source_offset: int
    next_source_offset: int
    loss: Loss


@dataclass(eq=False)
class SourceTrimmed(SourceLost):
    """Retention took records before they were copied."""

    code: ClassVar[str] = "source-trimmed"
    sentence: ClassVar[str] = (
        "records {source_offset} to {next_source_offset} (exclusive) of {topic}[{partition}] were removed by the "
        "source's retention before they were copied"
    )
    hint: ClassVar[str] = "ask the provider for longer retention; " + _GO_ON


@dataclass(eq=False)
class SourceTruncated(SourceLost):
    """The source log ends before what was copied, or holds another history there."""

    code: ClassVar[str] = "source-truncated"
    sentence: ClassVar[str] = (
        "the source log of {topic}[{partition}] lost records {source_offset} to {next_source_offset} (exclusive), "
        "which were copied: an unclean election or a restored broker took them, others may stand there now"
    )
    hint: ClassVar[str] = "decide with the provider what holds; the copies stay; " + _GO_ON


@dataclass(eq=False)
class SourceRecreated(SourceLost):
    """The topic was deleted and created again under its name."""

    code: ClassVar[str] = "source-recreated"
    sentence: ClassVar[str] = (
        "the provider's topic {topic!r} was deleted and created again: records {source_offset} to {next_source_offset} "
        "(exclusive) of partition {partition} were copied from the one before"
    )
    hint: ClassVar[str] = "the new topic is copied behind what is there, with a map of its own; " + _GO_ON


_ERRORS: dict[LossKind, type[SourceLost]] = {
    LossKind.TRIMMED: SourceTrimmed,
    LossKind.TRUNCATED: SourceTruncated,
    LossKind.RECREATED: SourceRecreated,
}


def source_lost(lane: LaneId, lost: LostRange, loss: Loss) -> SourceLost:
    return _ERRORS[lost.kind](lane.topic, lane.partition, lost.source_offset, lost.next_source_offset, loss)


def loss_of(error: MeshError) -> Loss | None:
    """What goes with the error to the peer."""
    return error.loss if isinstance(error, SourceLost) else None
