"""Digests tell records apart exactly where the mirror promises to; pages cover a log whatever their size."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.services import DigestPage
from gateway.verify.decoder import Record
from gateway.verify.digests import DIGEST_BYTES, check_page, digest, digest_page, serialise
from gateway.verify.errors import DigestsIllegal, DigestsOutOfRange
from mesh.batch.records import Record as MeshRecord
from mesh.ids import Partition
from mesh.log import AbortedTransaction
from mesh.testing.cluster import FakeCluster
from tests.support.records import TIMESTAMP_MS, batch_with_holes

T0 = Partition("t", 0)
TRANSACTIONAL = 0x10

BASE: Record = (0, 1000, b"key", b"value", ((b"a", b"1"), (b"b", b"2")))
DIFFERENT: dict[str, Record] = {
    "timestamp": (0, 1001, *BASE[2:]),
    "key": (0, 1000, b"kez", *BASE[3:]),
    "value": (0, 1000, b"key", b"valuf", BASE[4]),
    "null key": (0, 1000, None, *BASE[3:]),
    "empty key": (0, 1000, b"", *BASE[3:]),
    "null value": (0, 1000, b"key", None, BASE[4]),
    "empty value": (0, 1000, b"key", b"", BASE[4]),
    "moved boundary": (0, 1000, b"keyv", b"alue", BASE[4]),
    "header order": (*BASE[:4], ((b"b", b"2"), (b"a", b"1"))),
    "header lost": (*BASE[:4], ((b"a", b"1"),)),
    "header twice": (*BASE[:4], ((b"a", b"1"), (b"a", b"1"), (b"b", b"2"))),
    "header null": (*BASE[:4], ((b"a", None), (b"b", b"2"))),
    "header empty": (*BASE[:4], ((b"a", b""), (b"b", b"2"))),
    "header boundary": (*BASE[:4], ((b"a1", b""), (b"b", b"2"))),
    "no headers": (*BASE[:4], ()),
}


def test_every_difference_in_content_gives_another_digest() -> None:
    digests = {name: digest(record) for name, record in DIFFERENT.items()} | {"base": digest(BASE)}
    assert len(set(digests.values())) == len(digests)
    assert {len(one) for one in digests.values()} == {DIGEST_BYTES}


def test_the_offset_has_no_part_in_the_digest() -> None:
    assert digest((99, *BASE[1:])) == digest(BASE)


some = st.none() | st.binary(max_size=4)
contents = st.tuples(
    st.just(0), st.integers(0, 3), some, some,
    st.lists(st.tuples(st.binary(max_size=3), some), max_size=3).map(tuple),
)  # fmt: skip


@given(contents, contents)
@settings(max_examples=150, deadline=None)
def test_two_records_serialise_alike_only_if_they_are_alike(one: Record, two: Record) -> None:
    assert (serialise(one) == serialise(two)) == (one == two)


@pytest.fixture
async def fake() -> AsyncIterator[FakeCluster]:
    cluster = FakeCluster()
    await cluster.ports.topics.create("t", 1, {})
    yield cluster
    await cluster.ports.close()


def put(fake: FakeCluster, first: int, count: int, **header: int) -> None:
    given = [MeshRecord(delta, TIMESTAMP_MS, None, b"%d" % (first + delta), ()) for delta in range(count)]
    fake.put_raw(T0, batch_with_holes(given, base_offset=first, **header))


async def all_pages(fake: FakeCluster, start: int, end: int, max_records: int, max_bytes: int = 1 << 20) -> DigestPage:
    offsets: list[int] = []
    digests: list[bytes] = []
    while start < end:
        page = await digest_page(fake.ports.source, T0, start, end, max_records, max_bytes)
        assert len(page.offsets) == len(page.digests) <= max_records
        check_page(page, start, end)
        offsets += page.offsets
        digests += page.digests
        start = page.next_source_offset
    return DigestPage(offsets, digests, start)


@pytest.mark.parametrize("max_records", [1, 3, 10, 1000])
@pytest.mark.parametrize("max_bytes", [1, 300, 1 << 20])
async def test_pages_of_any_size_give_the_visible_records(fake: FakeCluster, max_records: int, max_bytes: int) -> None:
    put(fake, 0, 10)
    put(fake, 10, 5, producer_id=4, attributes=TRANSACTIONAL)
    put(fake, 20, 10, codec=4)
    fake.set_aborted(T0, [AbortedTransaction(4, 10)])
    found = await all_pages(fake, 3, 28, max_records, max_bytes)
    assert list(found.offsets) == [*range(3, 10), *range(20, 28)]
    expected = [digest((0, TIMESTAMP_MS, None, b"%d" % offset, ())) for offset in found.offsets]
    assert list(found.digests) == expected


async def test_a_page_ends_where_the_log_is_stable(fake: FakeCluster) -> None:
    put(fake, 0, 10)
    put(fake, 10, 10)
    fake.set_last_stable(T0, 10)
    page = await digest_page(fake.ports.source, T0, 0, 20, 100)
    assert (list(page.offsets), page.next_source_offset) == (list(range(10)), 10)
    assert await digest_page(fake.ports.source, T0, 10, 20, 100) == DigestPage([], [], 10)


async def test_a_bare_digest_is_that_of_the_record_without_its_timestamp(fake: FakeCluster) -> None:
    put(fake, 0, 10)
    page = await digest_page(fake.ports.source, T0, 2, 8, 100, bare=True)
    assert list(page.bare) == [digest((0, -1, None, b"%d" % offset, ())) for offset in range(2, 8)]
    check_page(page, 2, 8, bare=True)
    with pytest.raises(DigestsIllegal, match="6 digests with 6 bare ones"):
        check_page(page, 2, 8)
    with pytest.raises(DigestsIllegal, match="6 digests with 0 bare ones"):
        check_page(page._replace(bare=()), 2, 8, bare=True)


async def test_below_the_start_of_the_log_is_out_of_range(fake: FakeCluster) -> None:
    put(fake, 0, 10)
    put(fake, 10, 10)
    fake.delete_before(T0, 10)
    with pytest.raises(DigestsOutOfRange):
        await digest_page(fake.ports.source, T0, 0, 20, 100)


D = bytes(DIGEST_BYTES)


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (DigestPage([1], [], 5), "1 offsets with 0 digests"),
        (DigestPage([], [], 0), "goes on at 0"),
        (DigestPage([], [], 11), "goes on at 11"),
        (DigestPage([5], [D], 5), "outside"),
        (DigestPage([3, 3], [D, D], 5), "do not rise"),
        (DigestPage([3], [D[1:]], 5), "16 bytes"),
    ],
)
def test_a_peers_page_that_breaks_the_protocol_is_refused(page: DigestPage, why: str) -> None:
    with pytest.raises(DigestsIllegal, match=why):
        check_page(page, 0, 10)
