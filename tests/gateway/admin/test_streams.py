"""Streaming answers: clients that leave take their handler with them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import aiohttp
import structlog
from aiohttp import web

from gateway.admin import guard
from gateway.admin.server import start
from gateway.http.ndjson import respond_lines
from mesh.cluster_errors import ClusterUnreachable, TopicAbsent
from tests.support.admin import AdminGateway


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a task list and a log notify nobody
            await asyncio.sleep(0.01)


def handlers() -> int:
    return sum("RequestHandler" in repr(task.get_coro()) for task in asyncio.all_tasks())


async def test_a_reader_that_leaves_ends_its_follow(admin: AdminGateway) -> None:
    await admin.services.cluster.topics.create("flights", 2, {})
    url = f"{admin.url}/v1/topics/flights/records"
    await admin.session.post(url, data=b'{"value":1}', headers={"Content-Type": "application/x-ndjson"})
    before = handlers()

    async with aiohttp.ClientSession(headers=admin.session.headers) as leaving:
        response = await leaving.get(url, params={"follow": "true"})
        assert json.loads(await response.content.readline())["value"] == "1"
        response.close()

    await until(lambda: handlers() <= before)


async def test_a_writer_that_breaks_off_leaves_what_it_sent_and_no_noise(admin: AdminGateway) -> None:
    await admin.services.cluster.topics.create("flights", 1, {})
    url = f"{admin.url}/v1/topics/flights/records"
    sent = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b'{"value":1}\n'
        sent.set()
        await asyncio.Event().wait()

    with structlog.testing.capture_logs() as logs:
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(
                admin.session.post(url, data=body(), headers={"Content-Type": "application/x-ndjson"})
            )
            await sent.wait()
            read = await admin.session.get(url, params={"follow": "true", "max": "1"})
            assert len((await read.text()).splitlines()) == 1
            writing.cancel()
        await until(lambda: any(entry["event"] == "admin client went away" for entry in logs))

    assert [entry for entry in logs if entry["log_level"] == "error"] == []


async def streamed(stream: Callable[[], AsyncIterator[dict[str, object]]]) -> tuple[int, list[dict[str, object]]]:
    async def handler(request: web.Request) -> web.StreamResponse:
        return await respond_lines(request, stream())

    app = web.Application(middlewares=[guard.errors])
    app.add_routes([web.get("/stream", handler)])
    listening = await start(app, "127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession() as session:
            response = await session.get(f"http://{listening.address}/stream")
            text = await response.text()
            return response.status, [json.loads(line) for line in text.splitlines()]
    finally:
        await listening.close()


async def test_an_error_before_the_first_line_has_its_status() -> None:
    async def stream() -> AsyncIterator[dict[str, object]]:
        raise TopicAbsent("flights")
        yield {}

    status, lines = await streamed(stream)

    assert status == 404
    assert lines[0]["error"] == {
        "code": "topic-absent",
        "sentence": "topic 'flights' does not exist on this cluster",
        "remedy": "create it with: mesh topic create flights",
        "actor": "caller",
    }


async def test_an_error_after_the_first_line_is_the_last_line() -> None:
    async def stream() -> AsyncIterator[dict[str, object]]:
        yield {"n": 1}
        raise ClusterUnreachable("kafka", "it is off")

    status, lines = await streamed(stream)

    assert (status, lines[0]) == (200, {"n": 1})
    assert "cluster-unreachable" in str(lines[1]["error"])


async def test_an_empty_stream_is_an_empty_answer() -> None:
    async def stream() -> AsyncIterator[dict[str, object]]:
        nothing: list[dict[str, object]] = []
        for item in nothing:
            yield item

    assert await streamed(stream) == (200, [])
