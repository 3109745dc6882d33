"""The one writer of the audit log: nothing lost, nothing twice, trouble shown, no way in for secrets."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog

from gateway.audit.actor import OPERATOR, acting
from gateway.audit.auditor import APPEND_BYTES, HEAD_AFTER_MS, HEAD_EVERY, Auditor
from gateway.audit.head_file import HeadFile
from gateway.audit.reading import judged
from gateway.kafka.config import Secret
from gateway.registry import Registry
from mesh.audit import AuditBroken, AuditEntry
from mesh.cluster_errors import ClusterUnreachable, DiskFull
from mesh.ids import OrgId, ShareName, TopicName
from mesh.shares import Grant, PeerState, Terms
from mesh.testing.cluster import FakeCluster
from tests.support.control import MemoryStore, peer_of
from tests.support.trust import NOW, organization

ACME = organization("acme.example")
NOW_MS = int(NOW.timestamp() * 1000)
GLOBEX = OrgId("globex.example")


class Clock:
    now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


async def opened(fake: FakeCluster, clock: Clock | None = None, heads: HeadFile | None = None) -> Auditor:
    return await Auditor.open(fake.ports.audit, ACME.identity, clock or Clock(), heads)


async def entries(fake: FakeCluster) -> list[AuditEntry]:
    return [AuditEntry.from_bytes(line) for line in await fake.ports.audit.read(0, 10_000)]


async def actions(fake: FakeCluster) -> list[str]:
    return [entry.action for entry in await entries(fake)]


async def test_entries_are_chained_across_a_restart() -> None:
    fake = FakeCluster()
    first = await opened(fake)
    await first.record("a.one", "x", number=1)
    await first.close()
    second = await opened(fake)
    await asyncio.gather(*[second.record("a.more", str(number)) for number in range(5)])
    await second.close()
    lines = await fake.ports.audit.read(0, 100)
    assert judged(lines, [], ACME.bundle)[:3] == (8, 7, 2)
    assert (await entries(fake))[0].details == {"number": "1"}


async def test_a_head_is_signed_now_and_then() -> None:
    fake = FakeCluster()
    auditor = await opened(fake)
    for number in range(2 * HEAD_EVERY + 1):
        await auditor.record("a.thing", str(number))
    assert (await actions(fake)).count("audit.head") == 2


async def test_the_entries_of_a_quiet_gateway_are_signed_after_a_while() -> None:
    fake, clock = FakeCluster(), Clock()
    auditor = await opened(fake, clock)
    await auditor.record("a.thing", "x")
    clock.now_ms += HEAD_AFTER_MS
    await auditor.record("a.thing", "y")
    assert await actions(fake) == ["a.thing", "a.thing", "audit.head"]


async def test_the_actor_is_who_acts() -> None:
    fake = FakeCluster()
    auditor = await opened(fake)
    await auditor.record("a.thing", "x")
    with acting(OPERATOR):
        await auditor.record("a.thing", "x")
    await auditor.record("a.thing", "x", actor="peer:globex.example")
    assert [entry.actor for entry in await entries(fake)] == ["gateway", "operator", "peer:globex.example"]


async def test_what_cannot_be_written_is_shown_and_written_later_in_order() -> None:
    fake = FakeCluster()
    auditor = await opened(fake)
    with structlog.testing.capture_logs() as logs:
        for number in range(3):
            fake.fail_next("audit", DiskFull("log"))
            await auditor.record("a.thing", str(number))
    assert [(line["log_level"], line["code"]) for line in logs] == [("error", "disk-full")]
    assert auditor.trouble() == "3 audit entries are not written: no space left to write log"
    assert await entries(fake) == []
    await auditor.record("a.thing", "3")
    assert auditor.trouble() == ""
    assert [entry.object for entry in await entries(fake)] == ["0", "1", "2", "3"]


async def test_after_a_long_outage_what_waited_is_written_in_several_appends() -> None:
    fake = FakeCluster()
    auditor = await opened(fake)
    append, sizes, is_down = fake.ports.audit.append, [], True

    async def measured(lines: list[bytes], index: int) -> None:
        if is_down:
            raise ClusterUnreachable("fake", "cut")
        sizes.append(sum(map(len, lines)))
        await append(lines, index)

    fake.ports.audit.append = measured  # type: ignore[method-assign,assignment]
    for number in range(300):
        await auditor.record("a.thing", str(number), text="x" * 3000)
    is_down = False
    await auditor.record("a.thing", "last")
    assert 3 < len(sizes) < 20
    assert max(sizes) < 2 * APPEND_BYTES
    lines = await fake.ports.audit.read(0, 1000)
    assert judged(lines, [], ACME.bundle)[::2] == (len(lines), len(lines) - 301)
    assert auditor.trouble() == ""


async def test_an_append_whose_answer_was_lost_is_not_repeated() -> None:
    fake = FakeCluster()
    auditor = await opened(fake)
    append = fake.ports.audit.append

    async def lose_answer(lines: list[bytes], index: int) -> None:
        await append(lines, index)
        raise ClusterUnreachable("fake", "cut")

    fake.ports.audit.append = lose_answer  # type: ignore[method-assign,assignment]
    await auditor.record("a.thing", "1")
    assert auditor.trouble()
    fake.ports.audit.append = append  # type: ignore[method-assign]
    await auditor.record("a.thing", "2")
    assert [(entry.index, entry.object) for entry in await entries(fake)] == [(0, "1"), (1, "2")]
    await auditor.close()
    assert judged(await fake.ports.audit.read(0, 9), [], ACME.bundle)[:3] == (3, 2, 1)


async def test_what_may_be_secret_is_refused() -> None:
    auditor = await opened(FakeCluster())
    for value in (Secret("hunter2"), b"key", ACME.identity().key, ["word", "word"], object()):
        with pytest.raises(TypeError, match="may be secret") as refused:
            await auditor.record("a.thing", "x", detail=value)  # type: ignore[arg-type]
        assert "hunter2" not in str(refused.value)


async def test_of_an_unknown_value_only_the_names_of_what_changed_are_told() -> None:
    fake = FakeCluster()
    auditor = await opened(fake)
    await auditor.changed(None, SimpleNamespace(name="x", word="hunter2"))
    assert b"hunter2" not in (await fake.ports.audit.read(0, 1))[0]


async def test_every_change_of_the_control_state_has_an_entry() -> None:
    fake = FakeCluster()
    auditor = await opened(fake)
    registry = await Registry.open(fake.ports.control, fake.ports.lanes)
    registry.audited = auditor.changed
    await registry.add_peer(peer_of(GLOBEX))
    await registry.create_share(ShareName("flights"), [TopicName("departures")], NOW_MS)
    await registry.create_grant(Grant(ShareName("flights"), GLOBEX), NOW_MS)
    await registry.set_terms("flights", GLOBEX, Terms(onward=True), NOW_MS)
    await registry.revoke_grant("flights", GLOBEX)
    for state in (PeerState.SUSPENDED, PeerState.ACTIVE, PeerState.REVOKED):
        await registry.set_peer_state(GLOBEX, state)
    assert await actions(fake) == [
        "peer.added", "share.created", "grant.created", "grant.changed", "grant.revoked", "peer.suspended",
        "peer.resumed", "peer.revoked",
    ]  # fmt: skip
    changed = AuditEntry.from_bytes((await fake.ports.audit.read(3, 1))[0])
    assert (changed.details["onward"], changed.details["changed"]) == ("yes", "onward")


async def test_a_change_stands_even_where_its_entry_cannot_be_written() -> None:
    fake = FakeCluster()
    auditor = await opened(fake)
    registry = await Registry.open(fake.ports.control, fake.ports.lanes)
    registry.audited = auditor.changed
    await registry.add_peer(peer_of(GLOBEX))
    fake.fail_next("audit", DiskFull("log"))
    await registry.set_peer_state(GLOBEX, PeerState.REVOKED)
    assert registry.peer(GLOBEX).state is PeerState.REVOKED
    assert auditor.trouble()


async def test_a_change_whose_outcome_was_unknown_has_an_entry_as_soon_as_it_is_known() -> None:
    fake, store = FakeCluster(), MemoryStore()
    auditor = await opened(fake)
    registry = await Registry.open(store, store)
    registry.audited = auditor.changed
    await registry.add_peer(peer_of(GLOBEX))
    store.failure, store.stores = ClusterUnreachable("fake", "cut"), True
    with pytest.raises(ClusterUnreachable):
        await registry.set_peer_state(GLOBEX, PeerState.SUSPENDED)
    await registry.create_share(ShareName("flights"), [TopicName("departures")], NOW_MS)
    assert await actions(fake) == ["peer.added", "peer.suspended", "share.created"]


async def test_refusals_are_written_once_and_then_counted() -> None:
    fake = FakeCluster()
    auditor = await opened(fake)
    for _ in range(1000):
        auditor.refused(GLOBEX, "not-granted")
    auditor.refused("unverified", "path-invalid")
    await auditor.close()
    found = [(e.object, e.actor, e.details["reason"], e.details["times"]) for e in (await entries(fake))[:3]]
    assert found == [
        (GLOBEX, f"peer:{GLOBEX}", "not-granted", "1"),
        ("unverified", "peer:unverified", "path-invalid", "1"),
        (GLOBEX, f"peer:{GLOBEX}", "not-granted", "999"),
    ]


async def test_the_end_of_a_grant_is_written_once_though_the_gateway_was_down() -> None:
    fake, clock = FakeCluster(), Clock()
    grant = Grant(ShareName("flights"), GLOBEX, 0, NOW_MS + 1000)
    first = await opened(fake, clock)
    await first.record("gateway.started", "x")
    clock.now_ms += 5000
    for _ in range(2):
        auditor = await opened(fake, clock)
        auditor.refused(GLOBEX, "wakes the run")
        async with asyncio.TaskGroup() as group:
            task = group.create_task(auditor.run(lambda: [grant]))
            await auditor.wait_beyond(await fake.ports.audit.end())
            task.cancel()
        clock.now_ms += 5000
    assert (await actions(fake)).count("grant.ended") == 1


async def test_a_log_whose_end_was_taken_away_does_not_fit_the_head_that_was_kept(tmp_path: Path) -> None:
    fake = FakeCluster()
    auditor = await opened(fake, heads=HeadFile(tmp_path / "audit.head"))
    await auditor.record("a.thing", "1")
    await auditor.close()
    kept = auditor.signer.kept
    assert kept is not None
    assert judged(await fake.ports.audit.read(0, 9), [kept], ACME.bundle).signed == 1
    with pytest.raises(AuditBroken, match="entry 0"):
        judged([], [kept], ACME.bundle)


async def test_a_log_that_lost_its_end_is_shown_at_the_next_start_and_the_evidence_stays(tmp_path: Path) -> None:
    heads = HeadFile(tmp_path / "audit.head")
    auditor = await opened(FakeCluster(), heads=heads)
    await auditor.record("a.thing", "1")
    await auditor.close()
    evidence = heads.path.read_bytes()
    again = await opened(FakeCluster(), heads=heads)
    assert again.trouble() == "the audit log is broken at entry 0: the head that was kept says otherwise"
    await again.record("a.thing", "2")
    await again.close()
    assert heads.path.read_bytes() == evidence
    heads.path.write_bytes(b"rubbish")
    assert "is damaged" in (await opened(FakeCluster(), heads=heads)).trouble()


async def test_nothing_is_signed_with_a_certificate_that_has_ended() -> None:
    fake, clock = FakeCluster(), Clock()
    auditor = await opened(fake, clock)
    await auditor.record("a.thing", "1")
    clock.now_ms += int(timedelta(days=4000).total_seconds() * 1000)
    assert await auditor.sign() is None
    assert await actions(fake) == ["a.thing"]


async def test_the_entries_of_several_gateways_are_one_chain(tmp_path: Path) -> None:
    fake = FakeCluster()
    files = [HeadFile(tmp_path / name) for name in ("one", "two")]
    auditors = [await opened(fake, heads=file) for file in files]
    for number in range(3):
        await asyncio.gather(*[auditor.record("a.thing", f"{at} {number}") for at, auditor in enumerate(auditors)])
    for auditor in auditors:
        await auditor.close()
    found = await entries(fake)
    assert sorted(entry.object for entry in found if entry.action == "a.thing") == sorted(
        f"{at} {number}" for at in range(2) for number in range(3)
    )
    lines = await fake.ports.audit.read(0, 100)
    heads = [head for auditor in auditors if (head := auditor.signer.kept) is not None]
    assert [head.count for head in heads] == [6, 7]
    assert judged(lines, heads, ACME.bundle)[:3] == (8, 7, 4)
    again = [await opened(fake, heads=file) for file in files]
    assert [auditor.trouble() for auditor in again] == ["", ""]


async def test_an_entry_whose_place_was_taken_is_chained_anew_once() -> None:
    """The answer of the first append is lost before anything was written; then another gateway writes there."""
    fake = FakeCluster()
    one, two = await opened(fake), await opened(fake)
    fake.fail_next("audit", ClusterUnreachable("fake", "cut"))
    await one.record("a.thing", "one")
    assert one.trouble()
    await two.record("a.thing", "two")
    await one.record("a.thing", "more")
    assert [entry.object for entry in await entries(fake)] == ["two", "one", "more"]
    assert one.trouble() == ""


async def test_an_entry_that_landed_unseen_stays_once_behind_which_others_wrote() -> None:
    fake = FakeCluster()
    one, two = await opened(fake), await opened(fake)
    append = fake.ports.audit.append

    async def lose_answer(lines: list[bytes], index: int) -> None:
        await append(lines, index)
        raise ClusterUnreachable("fake", "cut")

    fake.ports.audit.append = lose_answer  # type: ignore[method-assign,assignment]
    await one.record("a.thing", "one")
    fake.ports.audit.append = append  # type: ignore[method-assign]
    await two.record("a.thing", "two")
    await one.record("a.thing", "more")
    assert [(entry.index, entry.object) for entry in await entries(fake)] == [(0, "one"), (1, "two"), (2, "more")]


async def test_who_waits_for_entries_is_told_of_another_gateways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.audit.auditor.TURN_S", 0.01)
    fake = FakeCluster()
    one, two = await opened(fake), await opened(fake)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        running = group.create_task(one.run(list))
        waiting = group.create_task(one.wait_beyond(0))
        await two.record("a.thing", "two")
        await waiting
        running.cancel()


async def test_a_grant_that_ended_is_noted_by_one_gateway() -> None:
    fake, clock = FakeCluster(), Clock()
    grant = Grant(ShareName("flights"), GLOBEX, 0, NOW_MS + 1000)
    auditors = [await opened(fake, clock) for _ in range(2)]
    clock.now_ms += 5000
    for number, auditor in enumerate(auditors):
        auditor.refused(GLOBEX, f"wakes run {number}")
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            task = group.create_task(auditor.run(lambda: [grant]))
            await auditor.wait_beyond(await fake.ports.audit.end())
            task.cancel()
    assert sorted(await actions(fake)) == ["grant.ended", "peer.refused", "peer.refused"]
