"""A topic is filled by answers that are counted, not by requests that were sent."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import lz4.frame
import pytest

from bench.load import ANSWERED, batch, fill, values
from bench.options import Workload
from mesh.batch.header import Codec, parse_header

TOPIC = "bench"
LOAD = Workload(0.00001, 1000, 1, Codec.NONE, 2)


@contextmanager
def broker(*, refused_at: int = -1) -> Iterator[str]:
    """Answers each request with the next offset of both partitions; one of them with an error."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as requests:
            number = 0
            while head := requests.read(4):
                requests.read(int.from_bytes(head, "big"))
                error = 87 if number == refused_at else 0
                parts = b"".join(ANSWERED.pack(at, error, number, -1, 0) for at in range(LOAD.partitions))
                name = struct.pack(">h", len(TOPIC)) + TOPIC.encode()
                answer = struct.pack(">ii", number, 1) + name + struct.pack(">i", LOAD.partitions) + parts
                try:
                    connection.sendall(struct.pack(">i", len(answer) + 4) + answer + bytes(4))
                except OSError:
                    return
                number += 1

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        thread.join(10)
        listener.close()


def test_a_topic_is_full_when_every_batch_was_taken() -> None:
    with broker() as address:
        fill(address, TOPIC, LOAD)


def test_a_refused_batch_fails_the_run() -> None:
    with broker(refused_at=3) as address, pytest.raises(RuntimeError, match="partition 0: error 87"):
        fill(address, TOPIC, LOAD)


def test_a_topic_that_is_not_empty_is_noticed() -> None:
    with broker() as address, pytest.raises(RuntimeError, match="offset 0 instead of 7"):
        fill(address, TOPIC, LOAD, held=7)


def test_one_record_batches_hold_one_record() -> None:
    assert parse_header(batch(LOAD)).records_count == 1


def test_compressible_records_shrink_about_as_asked_and_random_ones_do_not() -> None:
    def shrinks(ratio: float) -> float:
        joined = b"".join(values(Workload(1, 1000, 256_000, Codec.NONE, 4, ratio), 250))
        return len(joined) / len(lz4.frame.compress(joined))

    assert shrinks(1) < 1.01
    assert 3 < shrinks(4) < 4.5
