"""The laws of `mesh.ports.AuditLog`: entries in order, none changed, none lost."""

from __future__ import annotations

import asyncio

from mesh.ports import Cluster


async def test_entries_are_read_in_the_order_of_their_appends(cluster: Cluster) -> None:
    first = await cluster.audit.end()
    await cluster.audit.append([b"a", b"b"])
    await cluster.audit.append([b"c"])
    await cluster.audit.append([bytes(range(256)) * 40])
    assert await cluster.audit.end() == first + 4
    assert await cluster.audit.read(first, 100) == [b"a", b"b", b"c", bytes(range(256)) * 40]


async def test_a_page_begins_and_ends_where_it_is_asked(cluster: Cluster) -> None:
    first = await cluster.audit.end()
    await cluster.audit.append([b"%d" % number for number in range(7)])
    assert await cluster.audit.read(first + 2, 3) == [b"2", b"3", b"4"]
    assert await cluster.audit.read(first + 6, 3) == [b"6"]
    assert await cluster.audit.read(first + 7, 3) == []
    assert await cluster.audit.read(first + 99, 3) == []


async def test_appends_at_once_are_whole_each(cluster: Cluster) -> None:
    first = await cluster.audit.end()
    groups = [[b"%d/%d" % (group, number) for number in range(3)] for group in range(8)]
    await asyncio.gather(*[cluster.audit.append(group) for group in groups])
    found = await cluster.audit.read(first, 100)
    assert sorted(found[at : at + 3] for at in range(0, 24, 3)) == groups
