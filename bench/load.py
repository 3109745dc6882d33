"""Fills a topic: batches in rotation from a pool, by a producer that never waits for an answer before it goes on.

Requests are made once, with a batch for each partition, and written by a thread of their own while their answers are
read and counted: one-record batches, which cost a broker as much as large ones, come to tens of thousands a second. As
the producer has no id, a batch needs no sequence. Whatever is refused, or missing in the end, fails the run.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator

from bench.options import Workload
from mesh.batch.encode import encode
from mesh.batch.records import Record

POOL_BYTES = 32 << 20
"""More different batches than any cache on the way holds."""
POOL_BATCHES = 4096
REQUESTS_BYTES = 128 << 20
FILLER = b'{"flight":"AC 1549","origin":"LGA","destination":"CLT","status":"departed","delay_min":0},'
"""What a compressible record repeats."""
PRODUCE_KEY, PRODUCE_VERSION, ANSWER_S = 0, 7, 60
# size | api key | version | correlation id | client id: null | transactional id: null | acks: 1 | timeout ms | topics
HEAD = struct.Struct(">ihhihhhii")
# correlation id | topics | then the topic's name, and after it the partitions
ANSWER_HEAD = struct.Struct(">ii")
# partition | error | base offset | log append time | log start
ANSWERED = struct.Struct(">ihqqq")


def fill(address: str, topic: str, workload: Workload, held: int = 0) -> None:
    """Append exactly `records_per_partition` records to each partition of `topic`, which hold `held` each.

    Raises RuntimeError where the broker refuses any, OSError where it does not answer.
    """
    requests = list(_requests(topic, workload))
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), ANSWER_S) as connection:
        writer = threading.Thread(target=_write, args=(connection, requests, workload.batches_per_partition))
        writer.start()
        try:
            _read(connection, workload, held)
        except BaseException:
            connection.shutdown(socket.SHUT_RDWR)
            raise
        finally:
            writer.join()


def values(workload: Workload, count: int) -> list[bytes]:
    """Of one batch: the part that does not shrink is random, and nowhere the same."""
    fresh = min(workload.record_bytes, max(1, round(workload.record_bytes / workload.compressible)))
    filler = (FILLER * (workload.record_bytes // len(FILLER) + 1))[: workload.record_bytes - fresh]
    return [os.urandom(fresh) + filler for _ in range(count)]


def batch(workload: Workload) -> bytes:
    now_ms = int(time.time() * 1000)
    fresh = values(workload, workload.records_per_batch)
    return encode([Record(index, now_ms, None, value) for index, value in enumerate(fresh)], codec=workload.codec)


def _requests(topic: str, workload: Workload) -> Iterator[bytes]:
    bytes_each = max(workload.batch_bytes, workload.record_bytes)
    pool = [batch(workload) for _ in range(max(1, min(POOL_BYTES // bytes_each, POOL_BATCHES)))]
    name = struct.pack(">h", len(topic)) + topic.encode()
    for first in range(max(1, min(len(pool), REQUESTS_BYTES // (bytes_each * workload.partitions)))):
        chosen = [pool[(first + number) % len(pool)] for number in range(workload.partitions)]
        parts = b"".join(struct.pack(">ii", number, len(each)) + each for number, each in enumerate(chosen))
        body = name + struct.pack(">i", workload.partitions) + parts
        size = HEAD.size - 4 + len(body)
        yield HEAD.pack(size, PRODUCE_KEY, PRODUCE_VERSION, first, -1, -1, 1, ANSWER_S * 1000, 1) + body


def _write(connection: socket.socket, requests: list[bytes], count: int) -> None:
    try:
        for index in range(count):
            connection.sendall(requests[index % len(requests)])
    except OSError:
        return  # whoever reads the answers misses one, and says so


def _read(connection: socket.socket, workload: Workload, held: int) -> None:
    with connection.makefile("rb") as answers:
        for index in range(workload.batches_per_partition):
            size = int.from_bytes(answers.read(4), "big")
            answer = answers.read(size)
            if not size or len(answer) != size:
                raise RuntimeError(f"the broker broke off after {index} requests")
            _check(answer, held + index * workload.records_per_batch)


def _check(answer: bytes, expected: int) -> None:
    """Every partition took its batch, where the one before it ended."""
    at = ANSWER_HEAD.size
    at += 2 + int.from_bytes(answer[at : at + 2], "big")
    (count,) = struct.unpack_from(">i", answer, at)
    for number, error, base_offset, _, _ in ANSWERED.iter_unpack(answer[at + 4 : at + 4 + count * ANSWERED.size]):
        if error or base_offset != expected:
            raise RuntimeError(f"partition {number}: error {error}, offset {base_offset} instead of {expected}")
