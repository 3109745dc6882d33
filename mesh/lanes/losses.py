"""What a source has lost of a lane: the provider's word, what is believed of it, and what it means for the copy.

The provider says what its log holds now; the importer alone knows what it has copied, so it works out the exact range.
A word that contradicts what the importer knows is refused, whatever the policy: nothing is skipped on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from mesh.errors import PeerError
from mesh.ids import TopicId
from mesh.lanes.epochs import Epochs, agreed_end
from mesh.offsets.breaks import OFFSET_LIMIT


class LossKind(IntEnum):
    """The numbers are sent and stored: never renumber."""

    TRIMMED = 1
    """Retention took records before they were copied."""
    TRUNCATED = 2
    """The log ends before what was copied, or holds another history there."""
    RECREATED = 3
    """The topic was deleted and created again under its name."""

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Loss:
    """What the source holds now. `topic_id` is the topic's present one.

    Where truncated: the log's last epoch up to the asked one is `leader_epoch`, and it ended at `diverges_at`; -1: the
    log knows none, and `diverges_at` is the first offset that may differ.
    """

    kind: LossKind
    log_start: int
    log_end: int
    diverges_at: int = 0
    topic_id: str = ""
    leader_epoch: int = -1


@dataclass(frozen=True, slots=True)
class LostRange:
    """[source_offset, next_source_offset): trimmed, what was never copied; otherwise what was copied and is gone."""

    kind: LossKind
    source_offset: int
    next_source_offset: int


@dataclass(eq=False)
class LossImplausible(PeerError):
    lane: str
    why: str

    retriable: ClassVar[bool] = True
    code: ClassVar[str] = "loss-implausible"
    sentence: ClassVar[str] = "the provider says that lane {lane} lost records, but {why}"
    hint: ClassVar[str] = "nothing was skipped; ask the provider's operator what their log holds"


def lost_range(
    lane: str, loss: Loss, start: int, position: int, topic_id: TopicId, epochs: Epochs, known_start: int
) -> LostRange:
    """What a lane that has copied [start, position) of incarnation `topic_id` loses. Raises LossImplausible.

    `known_start` is the log start that the provider stated last: retention does not go back.
    """
    why = _implausible(loss, position, topic_id, known_start)
    if why:
        raise LossImplausible(lane, why)
    if loss.kind is LossKind.TRIMMED:
        return LostRange(loss.kind, position, loss.log_start)
    if loss.kind is LossKind.RECREATED:
        return LostRange(loss.kind, start, position)
    if loss.leader_epoch < 0:
        return LostRange(loss.kind, min(loss.diverges_at, position), position)
    agreed = agreed_end(epochs, loss.leader_epoch, loss.diverges_at, start)
    if agreed >= position:
        raise LossImplausible(lane, f"nothing of what was copied before {position} is concerned")
    return LostRange(loss.kind, agreed, position)


def _implausible(loss: Loss, position: int, topic_id: TopicId, known_start: int) -> str:
    if not 0 <= loss.log_start <= loss.log_end < OFFSET_LIMIT or not 0 <= loss.diverges_at < OFFSET_LIMIT:
        return f"offsets {loss.log_start}, {loss.log_end} and {loss.diverges_at} are out of order"
    is_other = bool(loss.topic_id) and loss.topic_id != topic_id
    if loss.kind is LossKind.RECREATED:
        return "" if is_other else f"the topic's id is still {topic_id}"
    if is_other:
        return f"that is of another incarnation, {loss.topic_id[:40]}"
    if loss.log_start < known_start:
        return f"its log begins at {loss.log_start} and began at {known_start} before"
    if loss.kind is LossKind.TRIMMED and loss.log_start <= position:
        return f"its log begins at {loss.log_start}, the lane stands at {position}"
    if loss.kind is LossKind.TRUNCATED and loss.leader_epoch < 0 and loss.diverges_at > position:
        return f"it differs from {loss.diverges_at} on, the lane stands at {position}"
    return ""
