"""Namespaces where this machine has them, and a reason where it has not."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from tests.lab.wire.namespaces import hindrance, inside, joined


def test_a_wire_of_the_kernel_can_be_cut_and_nothing_is_left_behind() -> None:
    if why := hindrance():
        assert why.startswith(("network namespaces", "there is no command"))
        return
    with joined() as (one, other):
        listener = inside(other.name, lambda: socket.create_server((other.address, 0)))
        port = listener.getsockname()[1]

        def dial() -> bytes:
            with socket.create_connection((other.address, port), 2) as client, listener.accept()[0] as served:
                client.sendall(b"over the wire")
                return served.recv(100)

        with listener:
            assert inside(one.name, dial) == b"over the wire"
            one.mute(other)
            assert isinstance(failure(one.name, dial), OSError)
            one.speak(other)
            one.down()
            assert isinstance(failure(one.name, dial), OSError)
            one.up()
            one.limit(1_000_000)
            assert inside(one.name, dial) == b"over the wire"
    assert not Path("/run/netns", one.name).exists()


def failure(namespace: str, dial: Callable[[], object]) -> BaseException | None:
    try:
        inside(namespace, dial)
    except OSError as error:
        return error
    return None
