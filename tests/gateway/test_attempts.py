from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.attempts import AttemptLimit

BURST = 10


def test_a_burst_passes_and_then_one_at_a_time() -> None:
    limit = AttemptLimit(burst=3, per_s=0.5)
    assert [limit.allows("10.0.0.1", 0.0) for _ in range(4)] == [True, True, True, False]
    assert limit.allows("10.0.0.2", 0.0)
    assert not limit.allows("10.0.0.1", 1.9)
    assert limit.allows("10.0.0.1", 2.0)
    assert not limit.allows("10.0.0.1", 2.0)


def test_a_long_silence_gives_no_more_than_a_burst() -> None:
    limit = AttemptLimit(BURST, 1.0)
    limit.allows("a", 0.0)
    assert sum(limit.allows("a", 1e6) for _ in range(2 * BURST)) == BURST


@given(st.lists(st.text(max_size=4), max_size=60))
def test_what_is_remembered_is_bounded(callers: list[str]) -> None:
    limit = AttemptLimit(BURST, 1.0, callers=5)
    for at, caller in enumerate(callers):
        limit.allows(caller, float(at))
    assert len(limit._buckets) <= 5
    assert str(limit) == f"<AttemptLimit {len(limit._buckets)} callers>"
