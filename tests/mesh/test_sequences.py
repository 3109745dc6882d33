from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mesh.sequences import REMEMBERED, ProducerState, Refusal, Written, after, judge

LAST = 2**31 - 1
counts = st.lists(st.integers(1, 50), min_size=1, max_size=12)
sequences = st.one_of(st.integers(0, LAST), st.integers(LAST - 200, LAST))


def _write(first: int, counts: list[int]) -> tuple[ProducerState, list[Written]]:
    """The state after successive batches of `counts` records from sequence `first`, at offset 0."""
    state, written, sequence, offset = None, [], first, 0
    for count in counts:
        assert judge(state, 0, sequence, count) is None
        written.append(Written(sequence, count, offset))
        state = after(state, 0, written[-1])
        sequence, offset = written[-1].next_sequence, offset + count
    assert state is not None
    return state, written


@given(sequences, counts)
def test_successors_are_taken_from_any_first_sequence_and_across_the_wrap(first: int, counts: list[int]) -> None:
    state, written = _write(first, counts)
    assert state.last_sequence == (first + sum(counts) - 1) % 2**31
    assert state.recent == tuple(written[-REMEMBERED:])


@given(sequences, counts, st.data())
def test_a_repeat_is_answered_by_its_original_and_all_else_is_refused(
    first: int, counts: list[int], data: st.DataObject
) -> None:
    state, written = _write(first, counts)
    expected = written[-1].next_sequence
    sequence = (expected + data.draw(st.integers(-300, 300))) % 2**31
    count = data.draw(st.integers(1, 60))
    remembered = {(batch.base_sequence, batch.records): batch for batch in written[-REMEMBERED:]}
    otherwise = None if sequence == expected else Refusal.OUT_OF_LINE
    assert judge(state, 0, sequence, count) == remembered.get((sequence, count), otherwise)


@given(sequences, counts)
def test_an_older_epoch_is_fenced_and_a_newer_one_begins_at_zero(first: int, counts: list[int]) -> None:
    state, written = _write(first, counts)
    newer = after(state, 1, Written(0, 3, 100))
    assert newer == ProducerState(1, (Written(0, 3, 100),))
    assert judge(state, 1, 0, 3) is None
    assert judge(state, 1, 1, 3) is Refusal.OUT_OF_LINE
    for batch in written:
        assert judge(newer, 0, batch.base_sequence, batch.records) is Refusal.FENCED


def test_a_fence_without_batches_awaits_sequence_zero() -> None:
    fence = ProducerState(3, ())
    assert fence.last_sequence is None
    assert judge(fence, 3, 0, 1) is None
    assert judge(fence, 3, 1, 1) is Refusal.OUT_OF_LINE
