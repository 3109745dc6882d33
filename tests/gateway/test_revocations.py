from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from certs.sums import summed
from gateway.embedded.cluster import open_embedded
from gateway.registry import Registry
from gateway.registry_errors import PeerRevoked, TooManyDenied
from gateway.revocations import NAME, Revocations, RevocationsUnusable
from mesh.ids import OrgId
from mesh.shares import PeerState
from tests.support.control import NOW_MS, MemoryStore, peer_of

GLOBEX, INITECH = OrgId("globex.example"), OrgId("initech.example")
HASH = "ab" * 32


class Place:
    """A directory that survives, and a store that may be put back to an older state."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME
        self.control = MemoryStore()

    async def open(self) -> Registry:
        return await Registry.open(self.control, MemoryStore(), Revocations(self.path))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_a_restored_store_does_not_revive_a_revoked_peer_and_says_so(place: Place) -> None:
    registry = await place.open()
    await registry.add_peer(peer_of(GLOBEX))
    backup = dict(place.control.entries)
    await registry.set_peer_state(GLOBEX, PeerState.REVOKED)
    place.control.entries = backup
    with capture_logs() as logs:
        restored = await place.open()
    assert restored.peer(GLOBEX).state is PeerState.REVOKED
    assert [(line["log_level"], line["peer"], line["stored"], line["used"]) for line in logs] == [
        ("error", GLOBEX, "active", "revoked")
    ]
    with pytest.raises(PeerRevoked):
        await restored.set_peer_state(GLOBEX, PeerState.ACTIVE)


async def test_a_store_from_before_the_peer_was_added_does_not_let_it_be_added_again(place: Place) -> None:
    registry = await place.open()
    await registry.add_peer(peer_of(GLOBEX))
    await registry.set_peer_state(GLOBEX, PeerState.REVOKED)
    place.control.entries = {}
    restored = await place.open()
    with pytest.raises(PeerRevoked):
        await restored.add_peer(peer_of(GLOBEX))
    await restored.add_peer(peer_of(INITECH))


async def test_a_restored_store_forgets_no_dead_leaf_and_no_suspension(place: Place) -> None:
    registry = await place.open()
    await registry.add_peer(peer_of(GLOBEX))
    backup = dict(place.control.entries)
    await registry.revoke_leaves(GLOBEX, NOW_MS)
    await registry.deny_leaf(GLOBEX, HASH)
    await registry.set_peer_state(GLOBEX, PeerState.SUSPENDED)
    place.control.entries = backup
    peer = (await place.open()).peer(GLOBEX)
    assert (peer.state, peer.revoked_before_ms, peer.denied) == (PeerState.SUSPENDED, NOW_MS, (HASH,))
    assert (peer.trust.denied, peer.trust.revoked_before is None) == (frozenset({HASH}), False)


async def test_a_restored_older_bundle_leaves_the_peer_suspended(place: Place) -> None:
    newer = peer_of(GLOBEX)
    newer = replace(newer, bundle=replace(newer.bundle, sequence=7))
    await (await place.open()).add_peer(newer)
    place.control.entries = {}
    other = Revocations()
    older = await Registry.open(place.control, MemoryStore(), other)
    await older.add_peer(peer_of(GLOBEX))
    place.control.entries = {
        key: value.replace(b'"epoch":1', b'"epoch":0') for key, value in place.control.entries.items()
    }
    assert (await place.open()).peer(GLOBEX).state is PeerState.SUSPENDED


async def test_what_the_store_knows_better_counts(place: Place) -> None:
    """The state directory is the older one: nothing is taken from it."""
    registry = await place.open()
    await registry.add_peer(peer_of(GLOBEX))
    await registry.set_peer_state(GLOBEX, PeerState.SUSPENDED)
    older = place.path.read_bytes()
    await registry.set_peer_state(GLOBEX, PeerState.ACTIVE)
    place.path.write_bytes(older)
    assert (await place.open()).peer(GLOBEX).state is PeerState.ACTIVE
    place.path.unlink()
    assert (await place.open()).peer(GLOBEX).state is PeerState.ACTIVE
    assert place.path.exists()


async def test_a_revocation_that_was_not_stored_holds_after_a_restart(place: Place) -> None:
    registry = await place.open()
    await registry.add_peer(peer_of(GLOBEX))
    place.control.failure = OSError("the store is gone")
    with pytest.raises(OSError, match="gone"):
        await registry.set_peer_state(GLOBEX, PeerState.REVOKED)
    assert (await place.open()).peer(GLOBEX).state is PeerState.REVOKED


async def test_trust_that_was_not_stored_does_not_hold_after_a_restart(place: Place) -> None:
    registry = await place.open()
    await registry.add_peer(peer_of(GLOBEX, PeerState.SUSPENDED))
    place.control.failure = OSError("the store is gone")
    with pytest.raises(OSError, match="gone"):
        await registry.set_peer_state(GLOBEX, PeerState.ACTIVE)
    assert (await place.open()).peer(GLOBEX).state is PeerState.SUSPENDED


async def test_a_revocation_that_cannot_be_kept_is_refused_and_changes_nothing(place: Place) -> None:
    registry = await place.open()
    await registry.add_peer(peer_of(GLOBEX))
    place.path.unlink()
    place.path.mkdir()
    with pytest.raises(RevocationsUnusable, match=r"(?i)is a directory"):
        await registry.set_peer_state(GLOBEX, PeerState.REVOKED)
    assert registry.peer(GLOBEX).state is PeerState.ACTIVE


FOREIGN: list[dict[str, Any]] = [{"format": 2, "peers": {}}, {"format": 1, "peers": {"a": {"epoch": -1}}}]


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"format":1,"peers":{}}', *(json.dumps(summed(each)) for each in FOREIGN)]
)
def test_a_damaged_file_stops_the_start(place: Place, text: str) -> None:
    place.path.write_text(text)
    with pytest.raises(RevocationsUnusable, match=NAME):
        Revocations(place.path)


async def test_dead_leaves_only_grow(place: Place) -> None:
    registry = await place.open()
    await registry.add_peer(peer_of(GLOBEX))
    await registry.revoke_leaves(GLOBEX, 1000)
    assert (await registry.revoke_leaves(GLOBEX, 500)).revoked_before_ms == 1000
    assert (await registry.revoke_leaves(GLOBEX, 1500)).revoked_before_ms == 1500
    first = await registry.deny_leaf(GLOBEX, HASH)
    assert await registry.deny_leaf(GLOBEX, HASH) == first


async def test_the_deny_list_is_bounded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.registry.MAX_DENIED", 2)
    registry = await place.open()
    await registry.add_peer(peer_of(GLOBEX))
    await registry.deny_leaf(GLOBEX, "aa")
    await registry.deny_leaf(GLOBEX, "bb")
    with pytest.raises(TooManyDenied, match="holds 2 keys"):
        await registry.deny_leaf(GLOBEX, "cc")


async def test_an_old_copy_of_the_embedded_data_directory_revives_nobody(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "backup"
    revocations = tmp_path / NAME

    async def opened(change: PeerState | None) -> PeerState:
        cluster = await open_embedded(data, now_ms=NOW_MS)
        try:
            registry = await Registry.open(cluster.control, cluster.lanes, Revocations(revocations))
            if GLOBEX not in registry.peers:
                await registry.add_peer(peer_of(GLOBEX))
            if change is not None:
                await registry.set_peer_state(GLOBEX, change)
            return registry.peer(GLOBEX).state
        finally:
            await cluster.close()

    assert await opened(None) is PeerState.ACTIVE
    shutil.copytree(data, copy)
    assert await opened(PeerState.REVOKED) is PeerState.REVOKED
    shutil.rmtree(data)
    shutil.copytree(copy, data)
    assert await opened(None) is PeerState.REVOKED


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["suspend", "resume", "revoke", "leaves", "deny"]), max_size=8), st.integers(0, 8))
def test_any_older_state_of_the_store_gives_what_was_decided_last(steps: list[str], restored: int) -> None:

    async def scenario() -> None:
        revocations, control = Revocations(), MemoryStore()
        registry = await Registry.open(control, MemoryStore(), revocations)
        await registry.add_peer(peer_of(GLOBEX))
        states = [dict(control.entries)]
        for number, step in enumerate(steps):
            with contextlib.suppress(PeerRevoked):
                await _apply(registry, step, number)
            states.append(dict(control.entries))
        last = registry.peer(GLOBEX)
        control.entries = states[min(restored, len(states) - 1)]
        again = (await Registry.open(control, MemoryStore(), revocations)).peer(GLOBEX)
        assert again == last

    asyncio.run(scenario())


async def _apply(registry: Registry, step: str, number: int) -> None:
    match step:
        case "leaves":
            await registry.revoke_leaves(GLOBEX, number)
        case "deny":
            await registry.deny_leaf(GLOBEX, f"{number:064x}")
        case _:
            states = {"suspend": PeerState.SUSPENDED, "resume": PeerState.ACTIVE, "revoke": PeerState.REVOKED}
            await registry.set_peer_state(GLOBEX, states[step])
