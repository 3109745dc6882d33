"""The laws of `mesh.ports.StateStore`, for both kinds of state."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from mesh.ports import Cluster, StateStore


@pytest.fixture(params=["control", "lanes"])
def store(request: pytest.FixtureRequest, cluster: Cluster) -> StateStore:
    found: StateStore = getattr(cluster, request.param)
    return found


@pytest.fixture
def place() -> str:
    """The first two parts of keys of this test's own."""
    return f"test/{uuid4().hex[:12]}"


async def test_what_is_put_is_loaded(store: StateStore, place: str) -> None:
    entries = {f"{place}/a": b"1", f"{place}/b": b"", f"{place}/c": bytes(range(256)) * 100}
    await store.put(entries)
    assert await store.load(place) == entries


async def test_a_later_put_replaces_and_none_removes(store: StateStore, place: str) -> None:
    await store.put({f"{place}/a": b"1", f"{place}/b": b"1", f"{place}/c": b"1"})
    await store.put({f"{place}/a": b"2", f"{place}/b": None, f"{place}/never": None})
    assert await store.load(place) == {f"{place}/a": b"2", f"{place}/c": b"1"}


async def test_a_removed_key_can_come_back(store: StateStore, place: str) -> None:
    for value in (b"1", None, b"2"):
        await store.put({f"{place}/a": value})
    assert await store.load(place) == {f"{place}/a": b"2"}


async def test_a_prefix_selects_exactly_the_keys_that_begin_with_it(store: StateStore, place: str) -> None:
    keys = [f"{place}/{rest}" for rest in ("a", "a/1", "a/ü", "ab", "A", "b", "%", "_x", "\U0010ffff/1")]
    await store.put(dict.fromkeys(keys, b"v"))
    for rest in ("", "a", "a/", "ab", "%", "_", "\U0010ffff", "zz"):
        prefix = f"{place}/{rest}"
        assert set(await store.load(prefix)) == {key for key in keys if key.startswith(prefix)}, prefix


async def test_nothing_to_put_changes_nothing(store: StateStore, place: str) -> None:
    await store.put({f"{place}/a": b"1"})
    await store.put({})
    assert await store.load(place) == {f"{place}/a": b"1"}


async def test_the_two_kinds_of_state_do_not_mix(cluster: Cluster, place: str) -> None:
    await cluster.control.put({f"{place}/a": b"control"})
    await cluster.lanes.put({f"{place}/a": b"lanes"})
    assert await cluster.control.load(place) == {f"{place}/a": b"control"}
    assert await cluster.lanes.load(place) == {f"{place}/a": b"lanes"}


async def test_a_reader_sees_all_of_a_put_or_none(store: StateStore, place: str) -> None:
    async def write() -> None:
        for number in range(20):
            await store.put({f"{place}/{key}": b"%d" % number for key in "abc"})

    async def read() -> None:
        while not writing.done():
            assert len(set((await store.load(place)).values())) <= 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        writing = group.create_task(write())
        group.create_task(read())
    assert set((await store.load(place)).values()) == {b"19"}


async def test_puts_in_flight_take_effect_in_the_order_of_the_calls(store: StateStore, place: str) -> None:
    await asyncio.gather(*[store.put({f"{place}/a": b"%d" % number}) for number in range(10)])
    assert await store.load(place) == {f"{place}/a": b"9"}
