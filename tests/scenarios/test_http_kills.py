"""An application of the local HTTP API and its gateway, which is killed again and again.

1. A writer publishes numbers one by one, each under its own idempotency key, and repeats what got no answer.
2. A reader takes server-sent events and comes again with the last id that it saw.
3. The gateway is killed while both work, and comes back.

Every number is read once, in order: nothing is lost, nothing twice.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from tests.support.organization import Organization, stop_all
from tests.support.ports import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

NUMBERS = 60
KILLED_AT = {20: 0.002, 40: 0.006}
"""Seconds after the beginning of a request."""
BROKEN = (aiohttp.ClientError, TimeoutError, ConnectionError)
PAUSE_S = 0.05


async def publish(session: aiohttp.ClientSession, url: str, number: int) -> None:
    """Until it is answered: nobody knows what became of a request without an answer."""
    body = {"records": [{"value": number}]}
    while True:
        try:
            async with session.post(
                url, params={"encoding": "json"}, json=body, headers={"Idempotency-Key": f"number-{number}"}
            ) as answer:
                if answer.status == 200:
                    return
                assert answer.status == 503, await answer.text()
        except BROKEN:
            pass
        await asyncio.sleep(PAUSE_S)


async def read(session: aiohttp.ClientSession, url: str, seen: list[int]) -> None:
    last = ""
    while len(seen) < NUMBERS:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        try:
            async with session.get(url, params={"encoding": "json"}, headers=headers) as answer:
                assert answer.status in {200, 503}, await answer.text()
                kind = ""
                async for line in answer.content:
                    name, _, said = line.decode().rstrip("\n").partition(": ")
                    if name == "event":
                        kind = said
                    elif name == "id":
                        last = said
                    elif name == "data" and not kind:
                        seen.append(json.loads(said)["value"])
                    elif not name:
                        kind = ""
                    if len(seen) == NUMBERS:
                        return
        except BROKEN:
            pass
        await asyncio.sleep(PAUSE_S)


async def test_what_is_published_and_read_through_kills_is_there_once(tmp_path: Path) -> None:
    acme = Organization.init(tmp_path / "acme", "acme.example")
    (port,) = free_ports(1)
    acme.settings = (f"listen.local_http=127.0.0.1:{port}",)
    seen: list[int] = []
    with stop_all(acme):
        acme.start()
        acme.mesh("topic", "create", "numbers")
        token = (acme.home / "state" / "local.token").read_text().split()[0]
        url = f"http://127.0.0.1:{port}/v1/topics/numbers/records"
        timeout = aiohttp.ClientTimeout(total=None, sock_read=20)
        async with (
            aiohttp.ClientSession(headers={"mesh-api-token": token}, timeout=timeout) as session,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(read(session, url, seen))
            for number in range(NUMBERS):
                publishing = group.create_task(publish(session, url, number))
                if number in KILLED_AT:
                    await asyncio.sleep(KILLED_AT[number])  # somewhere on the way of the request
                    acme.kill()
                    await asyncio.to_thread(acme.start)
                await publishing

    assert seen == list(range(NUMBERS))
