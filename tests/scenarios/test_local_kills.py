"""An application publishes while its gateway is killed again and again, before and after commits."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import grpc.aio
import pytest

from tests.support.local_calls import LocalCalls, Refused, placed
from tests.support.organization import Organization, stop_all

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

TOPIC = "orders"
KEYED = [f"request-{number}" for number in range(240)]
RECORDS = 5
STRIKES = ("embedded.commit=kill@20", "embedded.committed=kill@20", "embedded.committed=kill@27", "")
"""More than a start commits, and fewer than would answer everything."""


class Application:
    """Repeats under their keys what was not answered; what has no key it publishes once, answered or not."""

    def __init__(self) -> None:
        self.unanswered = set(KEYED)
        self.answers: dict[str, list[tuple[int, int]]] = {}
        self.told: set[str] = set()
        self.untold: set[str] = set()

    async def run(self, calls: LocalCalls) -> None:
        """Until everything is answered or the gateway is gone."""
        waiting = sorted(self.unanswered)

        async def work() -> None:
            while waiting:
                await self._publish(calls, waiting.pop())

        await asyncio.gather(*(work() for _ in range(8)), return_exceptions=True)

    async def _publish(self, calls: LocalCalls, key: str) -> None:
        bare = f"bare-{len(self.told) + len(self.untold)}"
        self.untold.add(bare)
        await calls.publish(TOPIC, [bare.encode()])
        self.untold.remove(bare)
        self.told.add(bare)
        values = [f"{key}:{index}".encode() for index in range(RECORDS)]
        reply = await calls.publish(TOPIC, [(value, value) for value in values], key=key)
        self.unanswered.remove(key)
        self.answers[key] = placed(reply)


def test_what_an_application_published_is_there_once_however_often_its_gateway_dies(tmp_path: Path) -> None:
    acme = Organization.init(tmp_path / "acme", "acme.example")
    socket = tmp_path / "local.sock"
    acme.settings = (f"listen.local_grpc=unix:{socket}",)
    application = Application()
    with stop_all(acme):
        acme.start()
        acme.mesh("topic", "create", TOPIC, "--partitions", "3")
        acme.stop()
        for strike in STRIKES:
            acme.start(environment={"MESH_FAILPOINTS": strike} if strike else {})
            token = (acme.home / "state" / "local.token").read_text().split()[0]
            found = asyncio.run(session(socket, token, application, reads=not strike))
            if strike:
                acme.wait_struck()
    assert not application.unanswered
    values = Counter(found.values())
    assert {value: times for value, times in values.items() if times != 1} == {}
    for key in KEYED:
        assert [found[place] for place in application.answers[key]] == [f"{key}:{n}" for n in range(RECORDS)]
    bare = {value for value in values if value.startswith("bare-")}
    assert application.told <= bare <= application.told | application.untold


async def session(socket: Path, token: str, application: Application, *, reads: bool) -> dict[tuple[int, int], str]:
    """What the application does while the gateway lives; at the end what the topic holds."""
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        calls = LocalCalls(channel, token)
        try:
            await application.run(calls)
            found = await calls.all_of(TOPIC) if reads else []
        except Refused:
            assert not reads
            return {}
    return {(each.partition, each.offset): (each.value or b"").decode() for each in found}
