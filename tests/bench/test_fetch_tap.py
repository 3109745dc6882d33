"""Requests are counted however their bytes are cut."""

from __future__ import annotations

import struct
from collections import Counter

import pytest

from bench.fetch_tap import FETCH, Requests

PRODUCE = 0


def request(key: int, body: bytes) -> bytes:
    return struct.pack(">ih", 2 + len(body), key) + body


STREAM = request(FETCH, b"x" * 90) + request(PRODUCE, b"") + request(FETCH, b"yy")


@pytest.mark.parametrize("size", range(1, len(STREAM) + 1))
def test_requests_are_counted_by_kind(size: int) -> None:
    requests = Requests(Counter())
    for at in range(0, len(STREAM), size):
        requests.feed(STREAM[at : at + size])
    assert requests.counts == {FETCH: 2, PRODUCE: 1}
