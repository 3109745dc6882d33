"""What is believed of a loss, which range it means, and where two histories part."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.ids import TopicId
from mesh.lanes.epochs import KEPT, Epochs, EpochStart, agreed_end, before, learned
from mesh.lanes.losses import Loss, LossImplausible, LossKind, LostRange, lost_range

TOPIC, OTHER = TopicId("0" * 31 + "1"), TopicId("0" * 31 + "2")
EPOCHS = (EpochStart(3, 100), EpochStart(5, 140), EpochStart(8, 160))


def range_of(loss: Loss, position: int = 200, known_start: int = 0) -> LostRange:
    return lost_range("flights/departures/0", loss, 100, position, TOPIC, EPOCHS, known_start)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (Loss(LossKind.TRIMMED, 250, 300, topic_id=TOPIC), (200, 250)),
        (Loss(LossKind.TRUNCATED, 0, 190, 180, TOPIC, leader_epoch=8), (180, 200)),
        (Loss(LossKind.TRUNCATED, 0, 150, 150, TOPIC, leader_epoch=5), (150, 200)),
        # after two unclean elections the log has more of an old epoch than we copied before we left it
        (Loss(LossKind.TRUNCATED, 0, 900, 400, TOPIC, leader_epoch=5), (160, 200)),
        (Loss(LossKind.TRUNCATED, 0, 900, 400, TOPIC, leader_epoch=4), (140, 200)),
        # an epoch before all that we copied
        (Loss(LossKind.TRUNCATED, 0, 900, 400, TOPIC, leader_epoch=2), (100, 200)),
        (Loss(LossKind.TRUNCATED, 0, 900, 40, TOPIC, leader_epoch=2), (40, 200)),
        # the log knows none of our epochs
        (Loss(LossKind.TRUNCATED, 70, 90, 70, TOPIC), (70, 200)),
        (Loss(LossKind.RECREATED, 0, 5, topic_id=OTHER), (100, 200)),
    ],
)
def test_the_range_of_a_loss_is_exact(loss: Loss, expected: tuple[int, int]) -> None:
    assert range_of(loss) == LostRange(loss.kind, *expected)


@pytest.mark.parametrize(
    ("loss", "why"),
    [
        (Loss(LossKind.TRIMMED, 300, 250, topic_id=TOPIC), "out of order"),
        (Loss(LossKind.TRIMMED, 1 << 60, 1 << 61, topic_id=TOPIC), "out of order"),
        (Loss(LossKind.TRIMMED, 200, 250, topic_id=TOPIC), "the lane stands at 200"),
        (Loss(LossKind.TRIMMED, 250, 300, topic_id=OTHER), "another incarnation"),
        (Loss(LossKind.TRUNCATED, 20, 150, 150, TOPIC, leader_epoch=5), "began at 30 before"),
        (Loss(LossKind.TRUNCATED, 30, 300, 260, TOPIC), "the lane stands at 200"),
        (Loss(LossKind.TRUNCATED, 30, 300, 260, TOPIC, leader_epoch=8), "nothing of what was copied"),
        (Loss(LossKind.RECREATED, 0, 5, topic_id=TOPIC), "still"),
        (Loss(LossKind.RECREATED, 0, 5), "still"),
    ],
)
def test_a_loss_that_contradicts_what_is_known_is_refused(loss: Loss, why: str) -> None:
    with pytest.raises(LossImplausible, match=why):
        range_of(loss, known_start=30)


Batches = list[tuple[int, int]]
"""Epoch and length of each batch, epochs never falling: a log."""


def _start_of(log: Batches, index: int) -> int:
    return sum(length for _, length in log[:index])


@st.composite
def _logs(draw: st.DrawFn) -> tuple[Batches, Batches]:
    """Two logs of one partition: where both have batches of an epoch, one is the beginning of the other there, and
    they parted for good where they left an epoch at different offsets or for different ones."""
    shared = draw(st.lists(st.tuples(st.just(0), st.integers(1, 3)), max_size=5))
    epoch = 0
    common: Batches = []
    for _, length in shared:
        epoch += draw(st.integers(0, 2))
        common.append((epoch, length))
    ours, theirs = list(common), list(common)
    # one side may go on in the last common epoch; after that no epoch is shared
    (ours if draw(st.booleans()) else theirs).extend((epoch, n) for n in draw(st.lists(st.integers(1, 3), max_size=2)))
    odd = epoch + 1
    for step in draw(st.lists(st.integers(0, 3), max_size=4)):
        (ours if step % 2 else theirs).append((odd + step % 2, draw(st.integers(1, 3))))
        odd += 2
    return ours, theirs


@settings(max_examples=150)
@given(_logs())
def test_asking_until_nothing_differs_finds_the_first_offset_that_does(logs: tuple[Batches, Batches]) -> None:
    """As a lane does: after each answer it cuts its map back, and asks again with the epoch before."""
    ours, theirs = logs
    same = next(
        (at for at, (one, other) in enumerate(zip(_offsets(ours), _offsets(theirs), strict=False)) if one != other),
        min(len(_offsets(ours)), len(_offsets(theirs))),
    )
    epochs: Epochs = ()
    for index, (epoch, _) in enumerate(ours):
        epochs = learned(epochs, epoch, _start_of(ours, index))
    position = len(_offsets(ours))
    while epochs:
        epoch, end = _answer(theirs, epochs[-1].epoch)
        if epoch == epochs[-1].epoch and end >= position:
            break
        position = agreed_end(epochs, epoch, end, 0)
        assert position >= same, "what does not differ is never cut"
        epochs = before(epochs, position)
    assert position == same


def _answer(log: Batches, last: int) -> tuple[int, int]:
    """What a leader says of the last epoch of a reader: its last one up to it, and where that ends."""
    epoch = max((each for each, _ in log if each <= last), default=last)
    return epoch, sum(length for each, length in log if each <= epoch)


def _offsets(log: Batches) -> list[int]:
    """The epoch of the record at each offset: it and the offset say which record it is."""
    return [epoch for epoch, length in log for _ in range(length)]


@given(st.lists(st.tuples(st.integers(-1, 40), st.integers(0, 5)), max_size=60))
def test_epochs_rise_and_are_bounded(steps: list[tuple[int, int]]) -> None:
    epochs: Epochs = ()
    offset = 0
    for epoch, length in steps:
        epochs = learned(epochs, epoch, offset)
        offset += length
    assert len(epochs) <= KEPT
    assert all(one.epoch < other.epoch for one, other in pairwise(epochs))
    assert all(each.source_offset < offset for each in before(epochs, offset))
