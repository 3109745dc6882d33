"""Reading through trouble: each record comes once and in order, and commits state what was handed out."""

from __future__ import annotations

import asyncio

import pytest

from mesh.cluster_errors import ClusterUnreachable
from mesh.local.errors import ReaderStalled, RequestRefused
from mesh.sdk import Client, GatewayUnreachable, errors
from mesh.testing import LocalGateway


def fill(gateway: LocalGateway, count: int, first: int = 0) -> list[bytes]:
    values = [b"%d" % number for number in range(first, first + count)]
    gateway.mirror("flights", values)
    return values


async def test_a_stream_goes_on_after_a_restart_without_loss_or_repetition(
    gateway: LocalGateway, client: Client
) -> None:
    wanted = fill(gateway, 100)
    found: list[bytes | None] = []
    async for record in client.read("flights", max_bytes=300):
        found.append(record.value)
        if len(found) in (10, 60):
            gateway.restart()
            wanted += fill(gateway, 5, first=len(wanted))
        if len(found) == 110:
            break
    assert found == wanted


async def test_what_ends_a_stream_and_passes_is_not_seen(gateway: LocalGateway, client: Client) -> None:
    fill(gateway, 3)
    async with client.read("flights") as reader:
        assert (await anext(reader)).offset == 0
        gateway.fail_next("Read", ReaderStalled("flights", 60.0))
        gateway.fail_next("Read", ClusterUnreachable("acme", "away"))
        fill(gateway, 3, first=3)
        assert [(await anext(reader)).offset for _ in range(5)] == [1, 2, 3, 4, 5]


async def test_what_does_not_pass_ends_the_reading(gateway: LocalGateway, client: Client) -> None:
    fill(gateway, 10)
    gateway.trim("flights", 0, 5)
    with pytest.raises(errors.OffsetOutOfRange, match="offset 2 of"):
        async with client.read("flights", positions={0: 2}):
            pass
    async with client.read("flights", start="latest") as reader:
        gateway.stop()
        fill(gateway, 10, first=10)
        gateway.trim("flights", 0, 20)
        gateway.restart()
        with pytest.raises(errors.OffsetOutOfRange):
            await anext(reader)


async def test_a_reader_does_not_wait_for_ever_for_a_gateway(gateway: LocalGateway) -> None:
    fill(gateway, 1)
    async with gateway.client(patience_s=0.1) as client:
        reader = client.read("flights")
        await anext(reader)
        gateway.stop()
        with pytest.raises(GatewayUnreachable):
            await anext(reader)


async def test_a_partition_that_is_added_while_nobody_looks_is_read_from_its_beginning(
    gateway: LocalGateway, client: Client
) -> None:
    fill(gateway, 2)
    async with client.read("flights", start="latest") as reader:
        gateway.stop()
        gateway.grow_topic("flights", 2)
        gateway.mirror("flights", [b"new"], partition=1)
        gateway.restart()
        record = await anext(reader)
        assert (record.partition, record.offset) == (1, 0)


async def test_commit_states_the_record_in_hand_and_all_before_it(gateway: LocalGateway, client: Client) -> None:
    fill(gateway, 10)
    async with client.read("flights", cursor="billing") as reader:
        async for record in reader:
            if record.offset == 6:
                await reader.commit()
                break
    assert gateway.cursor("billing", "flights") == {0: 7}


async def test_a_reading_that_begins_where_another_ended_repeats_what_was_not_committed(
    gateway: LocalGateway, client: Client
) -> None:
    fill(gateway, 10)
    async with client.read("flights", cursor="billing") as reader:
        assert [(await anext(reader)).offset for _ in range(4)] == [0, 1, 2, 3]
        await reader.commit({0: 2})
    async with client.read("flights", cursor="billing", until_end=True) as reader:
        assert [record.offset async for record in reader] == list(range(2, 10))


async def test_a_commit_after_a_restart_takes_the_cursor_again_and_the_reading_goes_on(
    gateway: LocalGateway, client: Client
) -> None:
    fill(gateway, 10)
    async with client.read("flights", cursor="billing", max_bytes=20) as reader:
        assert (await anext(reader)).offset == 0
        gateway.restart()
        await reader.commit()
        assert gateway.cursor("billing", "flights") == {0: 1}
        assert [(await anext(reader)).offset for _ in range(9)] == list(range(1, 10))
        await reader.commit()
    assert gateway.cursor("billing", "flights") == {0: 10}


async def test_a_lost_answer_to_a_commit_is_asked_for_again(gateway: LocalGateway, client: Client) -> None:
    fill(gateway, 3)
    async with client.read("flights", cursor="billing") as reader:
        await anext(reader)
        gateway.lose_answer("Commit")
        await reader.commit()
    assert gateway.cursor("billing", "flights") == {0: 1}


async def test_who_lost_the_cursor_to_another_does_not_move_it(
    gateway: LocalGateway, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.sdk.reader.CURSOR_PATIENCE_S", 0.2)
    fill(gateway, 3)
    async with client.read("flights", cursor="billing") as reader:
        await anext(reader)
        gateway.restart()
        async with gateway.client() as another, another.read("flights", cursor="billing") as winner:
            await anext(winner)
            with pytest.raises(errors.CursorInUse, match="somebody else reads 'flights' by the cursor 'billing'"):
                await reader.commit()


async def test_a_reader_without_a_cursor_cannot_commit(gateway: LocalGateway, client: Client) -> None:
    fill(gateway, 1)
    async with client.read("flights") as reader:
        with pytest.raises(RequestRefused, match="the reader has no cursor"):
            await reader.commit()


async def test_batches_go_on_where_records_ended(gateway: LocalGateway, client: Client) -> None:
    fill(gateway, 10)
    async with client.read("flights", until_end=True) as reader:
        async for record in reader:
            if record.offset == 2:
                break
        batches = [batch async for batch in reader.batches()]
        assert [record.offset for batch in batches for record in batch.records] == list(range(3, 10))
        assert batches[-1].next_offset == 10
        assert reader.positions == {0: 10}


async def test_a_loop_that_is_left_and_entered_again_misses_nothing(gateway: LocalGateway, client: Client) -> None:
    fill(gateway, 6)
    reader = client.read("flights", until_end=True)
    async for record in reader:
        if record.offset == 2:
            break
    assert [record.offset async for record in reader] == [3, 4, 5]


async def test_so_many_records_are_read_at_most_also_across_a_restart(gateway: LocalGateway, client: Client) -> None:
    fill(gateway, 10)
    reader = client.read("flights", max_records=7, max_bytes=30)
    found = [(await anext(reader)).offset for _ in range(2)]
    gateway.restart()
    found += [record.offset async for record in reader]
    assert found == list(range(7))


async def test_leaving_the_client_ends_readers_that_wait(gateway: LocalGateway) -> None:
    fill(gateway, 1)
    async with gateway.client() as client:
        reader = client.read("flights", start="latest")
        await reader.open()
        waiting = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
    with pytest.raises(errors.ClientClosed):
        await waiting


async def test_a_reader_that_is_left_gives_its_cursor_back(gateway: LocalGateway, client: Client) -> None:
    fill(gateway, 3)
    for _ in range(3):
        async for _ in client.read("flights", cursor="billing"):
            break


async def test_the_last_records_of_a_reading_with_an_end_are_committed_too(
    gateway: LocalGateway, client: Client
) -> None:
    fill(gateway, 10)
    async with client.read("flights", cursor="billing", max_records=4) as reader:
        async for _ in reader:
            await reader.commit()
    assert gateway.cursor("billing", "flights") == {0: 4}
    async with client.read("flights", cursor="billing", until_end=True) as reader:
        assert len([record async for record in reader]) == 6
        await reader.commit()
    assert gateway.cursor("billing", "flights") == {0: 10}


async def test_who_stops_waiting_for_a_record_misses_none(gateway: LocalGateway, client: Client) -> None:
    fill(gateway, 2)
    async with client.read("flights", cursor="billing") as reader:
        assert [(await anext(reader)).offset for _ in range(2)] == [0, 1]
        for first in (2, 4):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await anext(reader)
            fill(gateway, 2, first=first)
            assert [(await anext(reader)).offset for _ in range(2)] == [first, first + 1]
        await reader.commit()
    assert gateway.cursor("billing", "flights") == {0: 6}
