"""The laws of `mesh.ports.AuditLog`: entries in order, none changed, none lost, whoever writes."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from mesh.cluster_errors import AuditMoved
from mesh.ports import AuditLog, Cluster


async def test_entries_are_read_in_the_order_of_their_appends(cluster: Cluster) -> None:
    first = await cluster.audit.end()
    await cluster.audit.append([b"a", b"b"], first)
    await cluster.audit.append([b"c"], first + 2)
    await cluster.audit.append([bytes(range(256)) * 40], first + 3)
    assert await cluster.audit.end() == first + 4
    assert await cluster.audit.read(first, 100) == [b"a", b"b", b"c", bytes(range(256)) * 40]


async def test_a_page_begins_and_ends_where_it_is_asked(cluster: Cluster) -> None:
    first = await cluster.audit.end()
    await cluster.audit.append([b"%d" % number for number in range(7)], first)
    assert await cluster.audit.read(first + 2, 3) == [b"2", b"3", b"4"]
    assert await cluster.audit.read(first + 6, 3) == [b"6"]
    assert await cluster.audit.read(first + 7, 3) == []
    assert await cluster.audit.read(first + 99, 3) == []


async def test_of_appends_to_one_index_one_lands_and_the_others_write_nothing(cluster: Cluster, other: Cluster) -> None:
    first = await cluster.audit.end()
    groups = [[b"%d/%d" % (group, number) for number in range(3)] for group in range(8)]
    audits = [cluster.audit, other.audit] * 4
    tried = [audit.append(group, first) for audit, group in zip(audits, groups, strict=True)]
    outcomes = await asyncio.gather(*tried, return_exceptions=True)
    landed = [group for group, outcome in zip(groups, outcomes, strict=True) if outcome is None]
    refused = [str(outcome) for outcome in outcomes if outcome is not None]
    assert refused == [str(AuditMoved(first, first + 3))] * 7
    assert [await other.audit.read(first, 100)] == landed


@pytest.mark.parametrize("away", [-1, 1])
async def test_entries_land_at_their_index_or_not_at_all(cluster: Cluster, away: int) -> None:
    await cluster.audit.append([b"one"], await cluster.audit.end())
    end = await cluster.audit.end()
    with pytest.raises(AuditMoved, match=f"the log has {end} entries"):
        await cluster.audit.append([b"other"], end + away)
    assert await cluster.audit.end() == end


async def test_the_same_entries_at_the_same_index_are_there_once(cluster: Cluster) -> None:
    first = await cluster.audit.end()
    for _ in range(3):
        await cluster.audit.append([b"a", b"b"], first)
    assert await cluster.audit.end() == first + 2


async def test_two_writers_that_look_before_they_write_lose_nothing(cluster: Cluster, other: Cluster) -> None:
    async def write(audit: AuditLog, name: bytes) -> None:
        for number in range(10):
            while True:
                with suppress(AuditMoved):
                    await audit.append([b"%s %d" % (name, number)], await audit.end())
                    break

    first = await cluster.audit.end()
    await asyncio.gather(write(cluster.audit, b"x"), write(other.audit, b"y"))
    found = await cluster.audit.read(first, 100)
    for name in (b"x", b"y"):
        assert [entry for entry in found if entry[:1] == name] == [b"%s %d" % (name, number) for number in range(10)]
