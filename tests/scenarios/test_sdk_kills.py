"""An application publishes and reads through the SDK while its gateway is killed: each record once, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.sdk import Client
from tests.support.organization import Organization, stop_all
from tests.support.ports import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

RECORDS, KILLS, PARTITIONS = 3_000, 3, 2
BETWEEN_KILLS = RECORDS // (KILLS + 2)


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[Organization]:
    organization = Organization.init(tmp_path / "acme", "acme.example")
    organization.settings = (f"listen.local_grpc=127.0.0.1:{free_ports(1)[0]}",)
    with stop_all(organization):
        organization.start()
        organization.mesh("topic", "create", "orders", "--partitions", str(PARTITIONS))
        yield organization


async def publish(client: Client) -> None:
    for number in range(RECORDS):
        await client.send("orders", f"{number}", partition=number % PARTITIONS)
        if number % 50 == 0:
            await asyncio.sleep(0.02)
    await client.flush()


async def read(client: Client, found: list[list[int]], milestones: asyncio.Queue[int]) -> None:
    count = 0
    async with client.read("orders", cursor="billing", max_bytes=4_000) as reader:
        async for record in reader:
            found[record.partition].append(int(record.value or b""))
            count += 1
            if count % BETWEEN_KILLS == 0:
                milestones.put_nowait(count)
            if count % 200 == 0:
                await reader.commit()
            if count == RECORDS:
                await reader.commit()
                return


async def test_each_record_is_appended_and_read_once_however_often_the_gateway_is_killed(acme: Organization) -> None:
    found: list[list[int]] = [[] for _ in range(PARTITIONS)]
    milestones: asyncio.Queue[int] = asyncio.Queue()

    async def kill() -> None:
        for _ in range(KILLS):
            await milestones.get()
            acme.kill()
            await asyncio.to_thread(acme.start)

    async with Client(state_dir=acme.home / "state") as client, asyncio.TaskGroup() as group:
        for work in (publish(client), read(client, found, milestones), kill()):
            group.create_task(work)

    assert found == [list(range(partition, RECORDS, PARTITIONS)) for partition in range(PARTITIONS)]
    async with Client(state_dir=acme.home / "state") as client:
        assert sum((await client.cursor("billing", "orders")).positions.values()) == RECORDS
        assert len([record async for record in client.read("orders", until_end=True)]) == RECORDS
