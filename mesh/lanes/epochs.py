"""The leader epochs of what a lane has copied: where each began. By them two histories of one log are told apart.

An epoch of a partition has one leader, so two logs that hold records of the same epoch hold the same records up to
where the shorter one of them ends that epoch (Kafka's log matching). A log that answers "the last epoch up to yours
that I have is E, and it ends at N" agrees with us up to N or to where our own E ended, whichever comes first; if we
never had E, at most. So a lane that was cut back there asks again, with the epoch before, until nothing differs.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

KEPT = 32
"""Epochs kept: one begins with each election. Of older ones it is only known that they lie before."""


class EpochStart(NamedTuple):
    epoch: int
    source_offset: int
    """Nothing before it is of this epoch, as far as is known."""


Epochs: TypeAlias = tuple[EpochStart, ...]
"""Rising strictly in epoch; offsets never fall."""


def learned(epochs: Epochs, epoch: int, source_offset: int) -> Epochs:
    """The epochs once it is known that a batch of `epoch` follows, none of it before `source_offset`."""
    if epoch < 0 or (epochs and epoch <= epochs[-1].epoch):
        return epochs
    return (*epochs, EpochStart(epoch, source_offset))[-KEPT:]


def before(epochs: Epochs, source_offset: int) -> Epochs:
    """Those that began before the offset."""
    return tuple(each for each in epochs if each.source_offset < source_offset)


def agreed_end(epochs: Epochs, epoch: int, end: int, start: int) -> int:
    """Up to where our history from `start` on agrees with a log whose last epoch up to ours is `epoch`, ended at `end`.

    An epoch of -1 says that the log knows none of them: then nobody knows, and all may differ.
    """
    if epoch < 0 or not epochs or epoch < epochs[0].epoch:
        return min(start, end)
    later = (each.source_offset for each in epochs if each.epoch > epoch)
    return min(end, next(later, end))
