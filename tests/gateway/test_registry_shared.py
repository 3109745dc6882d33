"""Several gateways of an organization over one control state: each sees what the others change, and loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.audit.auditor import Auditor
from gateway.registry import Registry
from gateway.registry_codec import encode, key_of
from gateway.registry_errors import LanesNotCleared, PeerRevoked, RegistryEntryDamaged, ShareExists
from gateway.revocations import Revocations
from mesh.audit import AuditEntry
from mesh.cluster_errors import ClusterUnreachable, StateMoved
from mesh.ids import OrgId, ShareName, SubscriptionName, TopicName
from mesh.ports import StateStore
from mesh.shares import Grant, PeerState, Subscription, SubscriptionState, TopicMapping
from mesh.testing.cluster import FakeCluster
from tests.support.control import NOW_MS, MemoryStore, peer_of
from tests.support.trust import organization

GLOBEX = OrgId("globex.example")
FLIGHTS, FARES = ShareName("flights"), ShareName("fares")
DEPARTURES, ARRIVALS = TopicName("departures"), TopicName("arrivals")
SUBSCRIPTION = Subscription(SubscriptionName("flights"), GLOBEX, FLIGHTS, (TopicMapping(DEPARTURES, DEPARTURES),))
ACME = organization("acme.example")


@asynccontextmanager
async def following(*registries: Registry) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(registry.follow()) for registry in registries]
        yield
        for task in tasks:
            task.cancel()


async def until(registry: Registry, version: int) -> None:
    async with asyncio.timeout(5):
        await registry.wait_changed(version)


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Registry, Registry]]:
    fake = FakeCluster()
    one, two = [await Registry.open(fake.ports.control, fake.ports.lanes) for _ in range(2)]
    await one.add_peer(peer_of(GLOBEX))
    version = two.version
    async with following(one, two):
        await until(two, version) if GLOBEX not in two.peers else None
        yield one, two


async def test_what_one_gateway_changes_is_announced_at_the_others(pair: tuple[Registry, Registry]) -> None:
    one, two = pair
    version = two.version
    await one.create_share(FLIGHTS, [DEPARTURES], NOW_MS)
    await until(two, version)
    assert two.shares == one.shares
    version = one.version
    await two.create_grant(Grant(FLIGHTS, GLOBEX), NOW_MS)
    await until(one, version)
    assert one.grants == two.grants
    await one.subscribe(SUBSCRIPTION)
    version = two.version
    await one.delete_subscription("flights")
    await until(two, version)
    assert two.subscriptions == {}


async def test_a_change_is_decided_on_what_another_gateway_did_before(pair: tuple[Registry, Registry]) -> None:
    one, two = pair
    outcomes = await asyncio.gather(
        one.create_share(FLIGHTS, [DEPARTURES], NOW_MS),
        two.create_share(FLIGHTS, [ARRIVALS], NOW_MS),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes].count(ShareExists) == 1
    assert one.share("flights") == two.share("flights")


async def test_changes_at_once_are_all_made(pair: tuple[Registry, Registry]) -> None:
    one, two = pair
    names = [ShareName(f"share-{number}") for number in range(12)]
    await asyncio.gather(*[pair[at % 2].create_share(name, [DEPARTURES], NOW_MS) for at, name in enumerate(names)])
    async with asyncio.timeout(5):
        while not len(one.shares) == len(two.shares) == len(names):
            await asyncio.wait(
                [asyncio.ensure_future(each.wait_changed(each.version)) for each in pair if len(each.shares) < 12],
                return_when=asyncio.FIRST_COMPLETED,
            )
    assert one.shares == two.shares


async def test_a_revocation_at_one_gateway_is_in_the_file_of_the_other(tmp_path: Path) -> None:
    fake = FakeCluster()
    files = [tmp_path / name for name in ("one.json", "two.json")]
    one, two = [await Registry.open(fake.ports.control, fake.ports.lanes, Revocations(file)) for file in files]
    async with following(one, two):
        await one.add_peer(peer_of(GLOBEX))
        await one.set_peer_state(GLOBEX, PeerState.REVOKED)
        async with asyncio.timeout(5):
            while GLOBEX not in two.peers or two.peer(GLOBEX).state is not PeerState.REVOKED:
                await two.wait_changed(two.version)
    assert Revocations(files[1]).is_revoked(GLOBEX)
    # an old state of the store does not revive the peer at either
    await fake.ports.control.put({key_of(peer_of(GLOBEX)): encode(peer_of(GLOBEX))})
    for file in files:
        again = await Registry.open(fake.ports.control, fake.ports.lanes, Revocations(file))
        assert again.peer(GLOBEX).state is PeerState.REVOKED
        with pytest.raises(PeerRevoked):
            await again.add_peer(peer_of(GLOBEX))


async def test_what_is_put_again_is_a_new_object_everywhere_and_nothing_else_is(
    pair: tuple[Registry, Registry],
) -> None:
    """A subscription that is resumed restarts what stands still, at whichever gateway it stands."""
    one, two = pair
    await one.subscribe(SUBSCRIPTION)
    await one.create_share(FLIGHTS, [DEPARTURES], NOW_MS)
    async with asyncio.timeout(5):
        while FLIGHTS not in two.shares:
            await two.wait_changed(two.version)
    before, peer, version = two.subscription("flights"), two.peer(GLOBEX), two.version
    await one.resume_subscription("flights")
    await until(two, version)
    assert two.subscription("flights") == before
    assert two.subscription("flights") is not before
    assert two.peer(GLOBEX) is peer


async def test_the_gateway_that_made_a_change_audits_it_and_no_other() -> None:
    fake = FakeCluster()
    auditors = [await Auditor.open(fake.ports.audit, ACME.identity, lambda: NOW_MS) for _ in range(2)]
    one, two = [await Registry.open(fake.ports.control, fake.ports.lanes) for _ in range(2)]
    for registry, auditor in zip((one, two), auditors, strict=True):
        registry.audited = auditor.changed
    async with following(one, two):
        await one.add_peer(peer_of(GLOBEX))
        await asyncio.gather(
            one.create_share(FLIGHTS, [DEPARTURES], NOW_MS), two.create_share(FARES, [ARRIVALS], NOW_MS)
        )
        await two.set_peer_state(GLOBEX, PeerState.SUSPENDED)
    lines = await fake.ports.audit.read(0, 100)
    actions = sorted(AuditEntry.from_bytes(line).action for line in lines)
    assert actions == ["peer.added", "peer.suspended", "share.created", "share.created"]


async def test_a_change_that_was_made_although_it_seemed_to_fail_is_audited_where_it_was_made() -> None:
    store = MemoryStore()
    one, two = [await Registry.open(store, MemoryStore()) for _ in range(2)]
    noted: list[tuple[str, object]] = []
    for name, registry in (("one", one), ("two", two)):

        async def note(before: object, after: object, name: str = name) -> None:
            noted.append((name, after))

        registry.audited = note
    store.failure, store.stores = ClusterUnreachable("memory", "cut"), True
    with pytest.raises(ClusterUnreachable):
        await one.create_share(FLIGHTS, [DEPARTURES], NOW_MS)
    async with following(one, two):
        for registry in (one, two):
            while not registry.shares:
                await registry.wait_changed(registry.version)
        await two.create_share(FARES, [ARRIVALS], NOW_MS)
    assert noted == [("one", one.share("flights")), ("two", two.share("fares"))]


async def test_an_entry_that_cannot_be_read_is_shown_and_nothing_of_it_applied() -> None:
    fake = FakeCluster()
    registry = await Registry.open(fake.ports.control, fake.ports.lanes)
    async with following(registry):
        await fake.ports.control.put({"share/flights": b'{"format": 2}'})
        async with asyncio.timeout(5):
            while not registry.trouble():  # noqa: ASYNC110  # a health check is asked, it does not tell
                await asyncio.sleep(0)
        assert registry.shares == {}
        with pytest.raises(RegistryEntryDamaged):
            await registry.create_share(FARES, [DEPARTURES], NOW_MS)


class _OthersLanes(MemoryStore):
    """Lanes that another gateway has claimed, as long as it says so."""

    claimed = True

    async def put(self, entries: Mapping[str, bytes | None]) -> None:
        if self.claimed:
            raise StateMoved("lanes")
        await super().put(entries)


async def test_a_name_is_free_again_when_whoever_has_its_lanes_has_cleared_them() -> None:
    lanes = _OthersLanes()
    store: StateStore = lanes
    registry = await Registry.open(MemoryStore(), store)
    await registry.add_peer(peer_of(GLOBEX))
    await registry.subscribe(SUBSCRIPTION)
    lanes.entries["lane/flights/departures/0/checkpoint"] = b"x"
    await registry.delete_subscription("flights")
    with pytest.raises(LanesNotCleared):
        await registry.subscribe(SUBSCRIPTION)
    lanes.claimed = False
    assert (await registry.subscribe(SUBSCRIPTION)).state is SubscriptionState.ACTIVE
    assert lanes.entries == {}
