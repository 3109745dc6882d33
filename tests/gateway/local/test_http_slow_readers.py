"""Readers that do not read: they hold up nobody, and are ended. Over a Unix socket, whose buffers do not grow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.local import http_read
from gateway.local.values import NewRecord, PublishRequest
from gateway.unix_socket import SocketPath
from tests.support.local_http import LocalHttp, local_http

RECORDS, SIZE = 40, 50_000
TOPIC = "flights"


async def fill(local: LocalHttp) -> None:
    await local.admin.services.cluster.topics.create(TOPIC, 1, {})
    records = [NewRecord(None, b"%0*d" % (SIZE, number)) for number in range(RECORDS)]
    await local.api.publish(PublishRequest(TOPIC, records))


@asynccontextmanager
async def stalled(local: LocalHttp, path: Path) -> AsyncIterator[asyncio.StreamReader]:
    """A reader by the cursor `slow`, that has asked, and takes nothing behind the first line of the answer."""
    reader, writer = await asyncio.open_unix_connection(path, limit=1024)
    head = f"GET /v1/topics/{TOPIC}/records?cursor=slow&encoding=text&until_end=true HTTP/1.1\r\nHost: localhost\r\n"
    writer.write(f"{head}mesh-api-token: {local.token}\r\nConnection: close\r\n\r\n".encode())
    await writer.drain()
    await reader.readline()
    try:
        yield reader
    finally:
        writer.close()


async def freed(local: LocalHttp) -> None:
    """Returns when nobody reads by the cursor any more."""
    async with asyncio.timeout(20):
        path = f"{local.url}/v1/cursors/slow/topics/{TOPIC}"
        while (await local.session.get(path)).status == 200:  # noqa: ASYNC110 - a stream that ends notifies nobody else
            await asyncio.sleep(0.02)


def connections(local: LocalHttp) -> list[object]:
    server = local.listening.runner.server
    assert server is not None
    return [*server.connections]


def lines_of(answer: bytes) -> list[dict[str, object]]:
    """Of the chunks that are whole."""
    body = answer.partition(b"\r\n\r\n")[2]
    text = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        text, body = text + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return [json.loads(line) for line in text.splitlines()]


async def test_a_reader_that_takes_nothing_is_ended_and_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_read, "LAST_WORD_S", 60.0)
    place = SocketPath(tmp_path / "local.sock")
    async with local_http(tmp_path, place, stalled_reader_s=0.1) as local:
        await fill(local)
        async with stalled(local, place.path) as reader, asyncio.timeout(20):
            await freed(local)
            *records, last = lines_of(await reader.read())

    assert len(records) < RECORDS
    assert [record["offset"] for record in records] == list(range(len(records)))
    assert isinstance(last["problem"], dict)
    assert last["problem"]["code"] == "reader-stalled"


async def test_a_reader_that_does_not_even_take_that_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_read, "LAST_WORD_S", 0.05)
    place = SocketPath(tmp_path / "local.sock")
    async with local_http(tmp_path, place, stalled_reader_s=0.1) as local:
        await fill(local)
        async with stalled(local, place.path) as reader, asyncio.timeout(20):
            while len(connections(local)) > 0:  # noqa: ASYNC110 - a connection that is cut notifies its other end only
                await asyncio.sleep(0.02)
            try:
                answer = await reader.read()
            except ConnectionError:
                return
    assert not answer.endswith(b"\r\n0\r\n\r\n"), "it looks whole"


async def test_a_slow_reader_holds_up_nobody_and_gets_all(tmp_path: Path) -> None:
    place = SocketPath(tmp_path / "local.sock")
    async with local_http(tmp_path, place, reader_bytes=100_000) as local:
        await fill(local)
        url = f"{local.url}/v1/topics/{TOPIC}/records"
        async with stalled(local, place.path) as reader, asyncio.timeout(20):
            async with local.session.get(url, params={"until_end": "true", "encoding": "text"}) as answer:
                assert len((await answer.text()).splitlines()) == RECORDS
            async with local.session.post(url, json={"records": [{}]}) as answer:
                assert answer.status == 200
            records = lines_of(await reader.read())
    assert [(each["offset"], int(str(each["value"])[-9:])) for each in records] == [(n, n) for n in range(RECORDS)]


async def test_a_gateway_that_stops_tells_its_readers(tmp_path: Path) -> None:
    async with local_http(tmp_path) as local:
        await local.admin.services.cluster.topics.create(TOPIC, 1, {})
        async with local.session.get(
            f"{local.url}/v1/topics/{TOPIC}/records", headers={"Accept": "text/event-stream"}
        ) as answer:
            local.api.end_readings()
            await local.listening.close()
            text = await answer.text()

    assert "event: problem" in text
    assert '"code":"gateway-stopping"' in text
