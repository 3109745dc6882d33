"""The connection against an in-process server: whatever way the bytes come, whole responses or a clear error."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager

import pytest
import uvloop

from gateway.kafka.connection import SCRATCH_BYTES, Api, Connection
from mesh.cluster_errors import ClusterUnreachable

API = Api(99, 7)
LIMIT = 1 << 20
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def _connected(answer: Answer) -> AsyncIterator[Connection]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection("broker:1", "us", LIMIT), "127.0.0.1", port)
        try:
            yield connection
        finally:
            connection.abort("done")


async def _request(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    size = int.from_bytes(await reader.readexactly(4), "big")
    data = await reader.readexactly(size)
    key, version, correlation, client = struct.unpack_from(">hhih", data)
    assert (key, version, data[10 : 10 + client], data[10 + client]) == (99, 7, b"us", 0)
    return correlation, data[11 + client :]


def _frame(correlation: int, body: bytes) -> bytes:
    return struct.pack(">ii", 4 + len(body), correlation) + body


@pytest.mark.parametrize("step", [1, 3, 7, 64, 5000])
@pytest.mark.parametrize("size", [0, 1, SCRATCH_BYTES - 9, SCRATCH_BYTES - 8, SCRATCH_BYTES - 7, 3 * SCRATCH_BYTES])
async def test_a_response_is_whole_however_it_is_split(size: int, step: int) -> None:
    body = bytes(number % 251 for number in range(size))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = b"".join([_frame((await _request(reader))[0], body) for _ in range(3)])
        step_ = max(step, len(data) // 500)
        for at in range(0, len(data), step_):
            writer.write(data[at : at + step_])
            await writer.drain()
            await asyncio.sleep(0)

    async with _connected(answer) as connection:
        futures = [connection.send(API, [b"ask"]) for _ in range(3)]
        async with asyncio.timeout(5):
            assert [bytes(response) for response in await asyncio.gather(*futures)] == [body] * 3


async def test_parts_of_a_request_arrive_as_one() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            correlation, body = await _request(reader)
            writer.write(_frame(correlation, body[::-1]))

    async with _connected(answer) as connection:
        response = await connection.request(API, [b"one ", memoryview(b"two "), bytearray(b"three")], 5)
        assert bytes(response) == b"eerht owt eno"
        assert repr(connection) == "Connection(broker:1, 0 waiting)"


async def test_a_connection_that_breaks_fails_everybody_who_waits() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        correlation, _ = await _request(reader)
        writer.write(_frame(correlation, b"x" * 100_000)[:5000])
        await writer.drain()

    async with _connected(answer) as connection:
        futures = [connection.send(API, []) for _ in range(2)]
        for future in futures:
            with pytest.raises(ClusterUnreachable, match="cluster broker:1 cannot be reached"):
                await future
        assert connection.closed
        with pytest.raises(ClusterUnreachable):
            connection.send(API, [])


@pytest.mark.parametrize("size", [LIMIT + 1, 0, 3, -1])
async def test_a_response_of_an_impossible_size_closes_the_connection(size: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.write(struct.pack(">i", size) + b"rest")
        await reader.read()

    async with _connected(answer) as connection:
        with pytest.raises(ClusterUnreachable, match="the limit is 1048576"):
            await connection.request(API, [], 5)


async def test_a_response_out_of_turn_closes_the_connection() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        correlation, _ = await _request(reader)
        writer.write(_frame(correlation + 1, b""))
        await reader.read()

    async with _connected(answer) as connection:
        with pytest.raises(ClusterUnreachable, match="nobody asked for"):
            await connection.request(API, [], 5)


async def test_a_late_answer_gives_the_connection_up() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with _connected(answer) as connection:
        other = connection.send(API, [])
        with pytest.raises(ClusterUnreachable, match=r"no answer within 0\.05 s"):
            await connection.request(API, [], 0.05)
        with pytest.raises(ClusterUnreachable):
            await other
        assert repr(connection) == "Connection(broker:1, closed: no answer within 0.05 s)"


async def test_who_gives_up_waiting_does_not_disturb_the_others() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = [await _request(reader) for _ in range(2)]
        writer.write(b"".join(_frame(correlation, body) for correlation, body in asked))
        await reader.read()

    async with _connected(answer) as connection:
        impatient = connection.send(API, [b"first"])
        impatient.cancel()
        assert bytes(await connection.request(API, [b"second"], 5)) == b"second"


async def test_a_peer_that_does_not_read_makes_the_connection_unwritable() -> None:
    go_on = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        correlation, body = await _request(reader)
        writer.write(_frame(correlation, b"%d" % len(body)))
        await reader.read()

    async with _connected(answer) as connection:
        writable = asyncio.Event()
        connection.when_writable(writable.set)
        future = connection.send(API, [bytes(32 << 20)])
        assert not connection.writable
        go_on.set()
        async with asyncio.timeout(5):
            await writable.wait()
            assert await future == b"%d" % (32 << 20)
        assert connection.writable


@pytest.mark.parametrize(
    "scenario",
    [
        test_parts_of_a_request_arrive_as_one,
        test_a_connection_that_breaks_fails_everybody_who_waits,
        test_a_late_answer_gives_the_connection_up,
        test_a_peer_that_does_not_read_makes_the_connection_unwritable,
    ],
)
def test_uvloop_does_as_asyncio_does(scenario: Callable[[], Coroutine[None, None, None]]) -> None:
    """The gateway runs on uvloop, whose transports are other classes."""
    uvloop.run(scenario())
