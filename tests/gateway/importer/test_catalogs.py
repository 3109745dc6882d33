"""However many subscriptions wait for a peer's catalog, one question waits for it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.importer.catalogs import Catalogs
from mesh.errors import MeshError
from mesh.ids import OrgId
from mesh.link.errors import LinkLost
from mesh.wire.v1 import catalog_pb2

ACME = OrgId("acme.example")


class Provider:
    """Answers each question that names a digest when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[catalog_pb2.CatalogReply]] = []
        self.most = 0

    async def catalog(self, peer: OrgId, known: bytes = b"") -> catalog_pb2.CatalogReply:
        if not known:
            return catalog_pb2.CatalogReply(digest=b"1")
        answer: asyncio.Future[catalog_pb2.CatalogReply] = asyncio.get_running_loop().create_future()
        self.waiting.append(answer)
        self.most = max(self.most, sum(not each.done() for each in self.waiting))
        return await answer


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_asks_and_all_learn() -> None:
    provider = Provider()
    catalogs = Catalogs(provider)
    assert (await catalogs.next(ACME, b"")).digest == b"1"
    tasks = [asyncio.create_task(catalogs.next(ACME, b"1")) for _ in range(100)]
    await settle()
    provider.waiting[0].set_result(catalog_pb2.CatalogReply(digest=b"2"))
    assert {(await task).digest for task in tasks} == {b"2"}
    assert provider.most == 1


async def test_whoever_knows_nothing_does_not_wait_behind_the_others() -> None:
    provider = Provider()
    catalogs = Catalogs(provider)
    task = asyncio.create_task(catalogs.next(ACME, b"1"))
    await settle()
    assert (await catalogs.next(ACME, b"")).digest == b"1"
    task.cancel()


async def test_whoever_is_behind_does_not_wait_for_the_catalog_after_the_next() -> None:
    provider = Provider()
    catalogs = Catalogs(provider)
    quick = asyncio.create_task(catalogs.next(ACME, b"1"))
    await settle()
    provider.waiting[0].set_result(catalog_pb2.CatalogReply(digest=b"2"))
    await quick
    waiting = asyncio.create_task(catalogs.next(ACME, b"2"))
    await settle()
    async with asyncio.timeout(1):
        assert (await catalogs.next(ACME, b"1")).digest == b"2"
    waiting.cancel()


async def test_a_question_that_fails_or_ends_leaves_the_next_one_to_ask() -> None:
    provider = Provider()
    catalogs = Catalogs(provider)
    first, second, third = [asyncio.create_task(catalogs.next(ACME, b"1")) for _ in range(3)]
    await settle()
    provider.waiting[0].set_exception(LinkLost("cut"))
    with pytest.raises(MeshError):
        await first
    await settle()
    second.cancel()
    await settle()
    provider.waiting[2].set_result(catalog_pb2.CatalogReply(digest=b"2"))
    assert (await third).digest == b"2"
