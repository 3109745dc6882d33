from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.enrolment.limits import caller_address


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
