"""The laws of `mesh.ports.StateStore`, for both kinds of state."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from uuid import uuid4

import pytest

from mesh.cluster_errors import StateMoved
from mesh.ports import Cluster, ControlStore, StateStore


@pytest.fixture(params=["control", "lanes"])
def store(request: pytest.FixtureRequest, cluster: Cluster) -> StateStore:
    found: StateStore = getattr(cluster, request.param)
    return found


@pytest.fixture
def place() -> str:
    """The first four parts of keys of this test's own: what one put may hold."""
    return f"test/{uuid4().hex[:12]}/t/0"


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


async def test_a_change_of_one_gateway_is_seen_by_the_other(cluster: Cluster, other: Cluster, place: str) -> None:
    version = other.control.version
    waiting = asyncio.create_task(other.control.wait_changed(version))
    await cluster.control.put({f"{place}/a": b"1"})
    await asyncio.wait_for(waiting, 10)
    await _until(other.control, f"{place}/a", b"1")
    assert (await other.control.changes_since(version))[1][f"{place}/a"] == b"1"
    assert await other.control.load(place) == {f"{place}/a": b"1"}


async def test_changes_since_a_version_are_the_keys_put_after_it(cluster: Cluster, place: str) -> None:
    control = cluster.control
    await control.put({f"{place}/{key}": b"1" for key in "abc"})
    version, everything = await control.changes_since(0)
    assert {key for key in everything if key.startswith(place)} == {f"{place}/{key}" for key in "abc"}
    version = await control.change({f"{place}/a": b"1", f"{place}/b": None}, version)
    assert await control.changes_since(version) == (version, {})
    again, changed = await control.changes_since(version - 1)
    assert (again, changed) == (version, {f"{place}/a": b"1", f"{place}/b": None})


async def test_a_change_decided_on_what_is_no_more_is_refused(cluster: Cluster, other: Cluster, place: str) -> None:
    version, _ = await cluster.control.changes_since(0)
    await other.control.put({f"{place}/a": b"other"})
    with pytest.raises(StateMoved):
        await cluster.control.change({f"{place}/a": b"stale"}, version)
    version, changed = await cluster.control.changes_since(version)
    assert changed[f"{place}/a"] == b"other"
    await cluster.control.change({f"{place}/a": b"decided anew"}, version)
    assert await cluster.control.load(place) == {f"{place}/a": b"decided anew"}


async def test_of_concurrent_changers_nobody_loses_a_change(cluster: Cluster, other: Cluster, place: str) -> None:
    key = f"{place}/counter"

    async def count(control: ControlStore) -> None:
        done = 0
        while done < 10:
            version, changed = await control.changes_since(0)
            with suppress(StateMoved):
                await control.change({key: b"%d" % (int(changed.get(key) or 0) + 1)}, version)
                done += 1

    await asyncio.gather(count(cluster.control), count(cluster.control), count(other.control))
    await _until(other.control, key, b"30")


async def _until(control: ControlStore, key: str, value: bytes) -> None:
    """The last change of the other gateway may still be on its way here."""
    async with asyncio.timeout(10):
        while (await control.load(key)).get(key) != value:
            await control.wait_changed(control.version)
