from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.enrolment.limits import BURST, AttemptLimit, caller_address


def test_a_burst_passes_and_then_one_at_a_time() -> None:
    limit = AttemptLimit(burst=3, per_s=0.5)
    assert [limit.allows("10.0.0.1", 0.0) for _ in range(4)] == [True, True, True, False]
    assert limit.allows("10.0.0.2", 0.0)
    assert not limit.allows("10.0.0.1", 1.9)
    assert limit.allows("10.0.0.1", 2.0)
    assert not limit.allows("10.0.0.1", 2.0)


def test_a_long_silence_gives_no_more_than_a_burst() -> None:
    limit = AttemptLimit()
    limit.allows("a", 0.0)
    assert sum(limit.allows("a", 1e6) for _ in range(2 * BURST)) == BURST


@given(st.lists(st.text(max_size=4), max_size=60))
def test_what_is_remembered_is_bounded(addresses: list[str]) -> None:
    limit = AttemptLimit(addresses=5)
    for at, address in enumerate(addresses):
        limit.allows(address, float(at))
    assert len(limit._buckets) <= 5


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.1:4711", "10.0.0.1"),
        ("ipv6:%5B2001:db8:1:2:3::4%5D:4711", "2001:db8:1:2::/64"),
        ("ipv6:[::1]:4711", "::/64"),
        ("ipv6:%5Bfe80::1%25eth0%5D:1", "fe80::/64"),
        ("unix:/tmp/x", "unix:/tmp/x"),
    ],
)
def test_a_caller_is_its_host_or_its_network_in_ipv6(peer: str, address: str) -> None:
    assert caller_address(peer) == address


@given(st.text(max_size=60))
def test_any_text_is_some_address(peer: str) -> None:
    assert isinstance(caller_address(peer), str)
