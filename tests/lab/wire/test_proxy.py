"""The proxy with a peer that echoes: each fault does what it says, and is counted."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import pytest

from tests.lab.wire.proxy import Proxy
from tests.lab.wire.weather import Counters as Done
from tests.lab.wire.weather import End, Way, Weather, damaged
from tests.support.organization import wait_for

TEXT = bytes(range(256)) * 400


@contextmanager
def echo() -> Iterator[str]:
    """A server that answers every byte with itself."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(client,), daemon=True).start()

    def answer(client: socket.socket) -> None:
        with client:
            try:
                while data := client.recv(1 << 16):
                    client.sendall(data)
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with echo() as upstream, Proxy(upstream, seed=3) as made:
        yield made


def dial(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), 5)


def say(client: socket.socket, data: bytes) -> bytes:
    """What comes back, until as much is there or the connection ends."""
    threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
    return hear(client, len(data))


def hear(client: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size and (more := client.recv(1 << 16)):
        found += more
    return found


def test_a_calm_wire_passes_everything_on_and_counts_it(proxy: Proxy) -> None:
    with dial(proxy) as client:
        assert say(client, TEXT) == TEXT
    passed = proxy.counters().bytes_passed
    assert passed == {Way.TO_SERVER: len(TEXT), Way.TO_CLIENT: len(TEXT)}
    wait_for("the connection to end", lambda: proxy.open_connections() == 0)


def test_latency_delays_each_way_and_keeps_the_order(proxy: Proxy) -> None:
    proxy.weather(latency_s=0.04, jitter_s=0.01)
    with dial(proxy) as client:
        began = time.monotonic()
        assert say(client, TEXT) == TEXT
        assert 0.08 <= time.monotonic() - began < 2
    assert proxy.counters().bytes_late == 2 * len(TEXT)


def test_bandwidth_is_limited(proxy: Proxy) -> None:
    proxy.weather(Way.TO_SERVER, bytes_per_s=500_000)
    with dial(proxy) as client:
        began = time.monotonic()
        assert say(client, TEXT) == TEXT
        assert time.monotonic() - began >= 0.15


def test_a_reset_strikes_who_is_connected_now(proxy: Proxy) -> None:
    with dial(proxy) as client:
        assert say(client, b"x") == b"x"
        assert proxy.reset() == 1
        with pytest.raises(ConnectionResetError):
            hear(client, 1)
    counted = proxy.counters()
    assert (counted.resets, counted.resets_under_way) == (1, 1)
    with dial(proxy) as client:
        assert say(client, b"again") == b"again"


@pytest.mark.parametrize("at", [0, 1, 9])
def test_a_cut_comes_at_its_byte(proxy: Proxy, at: int) -> None:
    proxy.weather(Way.TO_CLIENT, cut_at=at, cut_by=End.CLOSE)
    with dial(proxy) as client:
        assert say(client, b"0123456789") == b"0123456789"[:at]
    assert proxy.counters().cuts == 1
    assert proxy.counters().bytes_passed[Way.TO_CLIENT] == at


def test_a_cut_by_reset_is_seen_as_one(proxy: Proxy) -> None:
    proxy.weather(Way.TO_SERVER, cut_at=5)
    with dial(proxy) as client, pytest.raises(ConnectionResetError):
        say(client, b"0123456789")


def test_each_connection_has_a_cut_of_its_own(proxy: Proxy) -> None:
    proxy.cut_each([(Way.TO_SERVER, 2), (Way.TO_CLIENT, 3)])
    for _ in range(2):
        with dial(proxy) as client, pytest.raises(ConnectionResetError):
            say(client, b"0123456789")
    assert proxy.cuts_left() == 0
    with dial(proxy) as client:
        assert say(client, b"0123456789") == b"0123456789"
    passed, counted = proxy.counters().bytes_passed, proxy.counters()
    assert passed[Way.TO_SERVER] == 2 + 10 + 10
    assert counted.cuts == 2


def test_what_is_held_arrives_after_the_heal(proxy: Proxy) -> None:
    with dial(proxy) as client:
        assert say(client, b"before") == b"before"
        proxy.weather(Way.TO_CLIENT, is_held=True)
        client.sendall(b"between")
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(5)
        proxy.calm()
        assert hear(client, 7) == b"between"


def test_nobody_connects_through_a_partition(proxy: Proxy) -> None:
    proxy.weather(Way.TO_SERVER, is_held=True)
    with dial(proxy) as client:
        client.sendall(b"hello")
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
        assert proxy.counters().connections == 0
        client.settimeout(5)
        proxy.calm()
        assert hear(client, 5) == b"hello"


def test_bytes_of_one_direction_vanish(proxy: Proxy) -> None:
    with dial(proxy) as client:
        assert say(client, b"a") == b"a"
        proxy.weather(Way.TO_SERVER, is_lost=True)
        client.sendall(b"gone")
        wait_for("the bytes to vanish", lambda: proxy.counters().bytes_lost[Way.TO_SERVER] == 4)
        proxy.calm()
        assert say(client, b"b") == b"b"


def test_half_open_one_side_hears_nothing(proxy: Proxy) -> None:
    with dial(proxy) as client:
        assert say(client, b"a") == b"a"
        proxy.forsake(Way.TO_SERVER)
        client.sendall(b"into nothing")
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
        assert proxy.counters().half_open == 1
        proxy.reset()
        client.settimeout(5)
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_refusing_and_admitting(proxy: Proxy) -> None:
    with dial(proxy) as client:
        assert say(client, b"a") == b"a"
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            dial(proxy)
        assert say(client, b"b") == b"b"
        proxy.admit()
        with dial(proxy) as another:
            assert say(another, b"c") == b"c"


def test_an_upstream_that_is_away_refuses() -> None:
    # the reset may be there before the connection is known to be made
    with Proxy("127.0.0.1:1") as proxy, pytest.raises(ConnectionResetError), dial(proxy) as client:
        hear(client, 1)


def test_flips_strike_at_their_offsets(proxy: Proxy) -> None:
    places = frozenset({0, 70_000, len(TEXT) - 1})
    proxy.weather(Way.TO_SERVER, flip_at=places)
    with dial(proxy) as client:
        heard = say(client, TEXT)
    assert {at for at, (one, other) in enumerate(zip(heard, TEXT, strict=True)) if one != other} == places
    assert proxy.counters().flips == 3


def test_slices_are_small_and_whole(proxy: Proxy) -> None:
    proxy.weather(slice_bytes=7)
    with dial(proxy) as client:
        assert say(client, TEXT[:700]) == TEXT[:700]
    assert proxy.counters().sliced >= 100


def test_a_close_is_passed_on_late(proxy: Proxy) -> None:
    proxy.weather(Way.TO_CLIENT, close_after_s=0.1)
    with dial(proxy) as client:
        assert say(client, b"x") == b"x"  # who leaves before he is served is not let through
        began = time.monotonic()
        client.shutdown(socket.SHUT_WR)
        assert hear(client, 1) == b""
        assert time.monotonic() - began >= 0.1


def test_damage_is_the_same_for_the_same_seed() -> None:
    weather = Weather(flip_chance=0.3, double_chance=0.3, swap_chance=0.3)
    data, done = Random(1).randbytes(500_000), Done()
    first, again, other = (damaged(data, 0, weather, Random(seed), done) for seed in (5, 5, 6))
    assert first == again
    assert first != other
    assert min(done.flips, done.doubled, done.swapped) > 0
    assert damaged(data, 0, Weather(), Random(5), done) == [data]
