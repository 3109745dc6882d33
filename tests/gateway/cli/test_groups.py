"""`mesh groups`: what the commands show, write and refuse; the peer is played by a second topic of the same cluster."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from gateway.peers.errors import PeerRefusedRequest
from gateway.services import DigestPage
from gateway.verify.digests import digest_page
from mesh.batch.stamp import Producer
from mesh.groups import PeerGroup, TopicPositions
from mesh.ids import GroupName, LaneId, OrgId, Partition, ShareName, SubscriptionName, TopicId, TopicName
from mesh.lanes.checkpoint import checkpoint_of, entries
from mesh.offsets.map import OffsetMap
from mesh.shares import Subscription, TopicMapping
from mesh.spans import GapReason
from tests.support.cli import mesh
from tests.support.control_cli import TOPIC_ID, ControlGateway, catalog_of, control_gateway

GLOBEX = OrgId("globex.example")
ORDERS, COPY, BILLING = TopicName("orders"), TopicName("copy"), GroupName("billing")
LANE = LaneId(SubscriptionName("sales"), ORDERS, 0)
MOVE = ("groups", "translate", BILLING, "--subscription", "sales")
ID = TopicId(TOPIC_ID)


@pytest.fixture
async def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ControlGateway]:
    """Eight records have been copied: source offsets 0 to 3, a gap of two, 6 to 9; three more are not mirrored yet."""
    async with control_gateway(tmp_path) as running:
        await running.add_peer(GLOBEX)
        links, services = running.admin.links, running.admin.services
        links.catalogs[GLOBEX] = catalog_of("sales", {"orders": 1}, retention_ms="-1")
        await running.done("subscribe", f"{GLOBEX}/sales", "--topic", "orders=copy")
        lines = [json.dumps({"key": f"k{at}", "value": at, "timestamp": 1000 + at}) for at in range(8)]
        for topic in ("copy", "source"):
            if topic == "source":
                await running.done("topic", "create", topic)
            appended = await mesh(
                "topic", "append", topic, "--force", directory=running.directory, stdin="\n".join(lines).encode()
            )
            assert appended.code == 0, appended.err
        offset_map = OffsetMap(0)
        offset_map.add_records(0, 0, 4)
        offset_map.add_gap(4, 2, GapReason.ABORTED)
        offset_map.add_records(6, 4, 4)
        running.admin.lanes.maps[LANE] = offset_map
        await services.cluster.lanes.put(
            entries(LANE, checkpoint_of(offset_map, ID, 8, 8, Producer(1, 0)), offset_map, None)
        )

        async def digests(
            peer: OrgId,
            share: ShareName,
            topic: TopicName,
            partition: int,
            start: int,
            end: int,
            most: int,
            *,
            bare: bool = False,
        ) -> DigestPage:
            def to_source(offset: int) -> int:
                return offset if offset < 4 else offset + 2

            begin = start if start < 4 else max(4, start - 2)
            page = await digest_page(services.cluster.source, Partition("source", 0), begin, 8, most)
            return DigestPage([to_source(each) for each in page.offsets], page.digests, end)

        monkeypatch.setattr(links, "digests", digests)
        stands(running, 3)
        yield running


def stands(gateway: ControlGateway, position: int, *, has_members: bool = False) -> None:
    """The provider's group."""
    at = TopicPositions(ORDERS, ID, {0: position}, {0: 13})
    gateway.admin.links.groups[GLOBEX] = [PeerGroup(BILLING, has_members, (at,))]


async def here(gateway: ControlGateway, group: str = BILLING) -> int | None:
    found = await gateway.admin.services.cluster.groups.describe(GroupName(group), [COPY])
    return found.positions.get(Partition(COPY, 0))


async def test_a_translation_shows_both_sides_and_writes_nothing(gateway: ControlGateway) -> None:
    (row,) = (await gateway.done(*MOVE, "--json")).json["positions"]
    assert row == {
        "topic": "orders", "partition": 0, "destination_topic": "copy", "answer": "exact", "reason": "",
        "source_position": 3, "destination_position": 3, "lag_records": 10, "present": None,
    }  # fmt: skip
    assert await here(gateway) is None


@pytest.mark.parametrize(
    ("position", "answer", "translated"), [(5, "gap (aborted)", "4"), (10, "end", "8"), (9, "exact", "7")]
)
async def test_each_answer_is_named(gateway: ControlGateway, position: int, answer: str, translated: str) -> None:
    stands(gateway, position, has_members=True)
    said = await gateway.done(*MOVE)
    assert answer in said.out
    assert translated in said.out.split()
    assert "has members" in said.err


async def test_a_move_is_written_and_audited(gateway: ControlGateway) -> None:
    said = await gateway.done(*MOVE, "--commit")
    assert "billing stands there here: 1 positions changed" in said.out
    assert await here(gateway) == 3
    await gateway.done(*MOVE, "--commit", "--as", "billing-2")
    assert await here(gateway, "billing-2") == 3
    entries = (await gateway.done("audit", "list", "--action", "group.committed", "--json")).out.splitlines()
    assert [json.loads(line)["object"] for line in entries] == ["billing", "billing-2"]
    assert json.loads(entries[0])["details"]["positions"] == "copy[0]=3"


async def test_a_move_goes_back_only_when_told(gateway: ControlGateway) -> None:
    stands(gateway, 8)
    await gateway.done(*MOVE, "--commit")
    stands(gateway, 2)
    assert "stands at 6" in await gateway.refused("position-would-go-back", *MOVE, "--commit")
    assert await here(gateway) == 6
    await gateway.done(*MOVE, "--commit", "--backward")
    assert await here(gateway) == 2


async def test_a_position_without_an_answer_keeps_everything_from_being_written(gateway: ControlGateway) -> None:
    stands(gateway, 12)
    said = await gateway.done(*MOVE)
    assert "beyond" in said.out
    assert "no answer" in said.err
    assert "it is not mirrored yet" in await gateway.refused("positions-unanswered", *MOVE, "--commit", "--wait", "1")
    assert await here(gateway) is None


async def test_a_group_of_the_provider_that_is_not_there_is_said(gateway: ControlGateway) -> None:
    assert "'nobody'" in await gateway.refused(
        "group-absent", "groups", "translate", "nobody", "--subscription", "sales"
    )


async def test_our_group_goes_back_to_the_provider(gateway: ControlGateway) -> None:
    await gateway.admin.services.cluster.groups.commit(BILLING, {Partition(COPY, 0): 5})
    (row,) = (await gateway.done(*MOVE, "--reverse", "--json")).json["positions"]
    assert (row["answer"], row["destination_position"], row["source_position"]) == ("exact", 5, 7)
    assert (row["lag_records"], row["present"]) == (3, 3)
    await gateway.done(*MOVE, "--reverse", "--commit", "--backward", "--as", "other")
    assert gateway.admin.links.committed == [("other", [TopicPositions(ORDERS, ID, {0: 7})], True)]


async def test_a_rehearsal_proves_that_both_sides_hold_the_same(gateway: ControlGateway) -> None:
    said = await gateway.done("groups", "rehearse", BILLING, "--subscription", "sales", "--limit", "2")
    assert "orders[0] to copy[0]: 5 left at the source, 5 here, equal" in said.out
    assert "equal: 5 records left to read of what is mirrored, the same on both sides" in said.out
    assert await here(gateway) is None
    found = (await gateway.done("groups", "rehearse", BILLING, "--subscription", "sales", "--json")).json
    first = found["partitions"][0]["first"]
    assert [(each["source_offset"], each["destination_offset"], each["key"]) for each in first] == [
        (3, 3, "k3"), (6, 4, "k4"), (7, 5, "k5"), (8, 6, "k6"), (9, 7, "k7"),
    ]  # fmt: skip
    assert all(each["source_digest"] == each["destination_digest"] for each in first)
    assert first[0]["timestamp_ms"] == 1003


async def test_a_rehearsal_that_finds_a_difference_fails(gateway: ControlGateway) -> None:
    gateway.admin.lanes.maps[LANE] = shifted = OffsetMap(0)
    shifted.add_records(0, 0, 3)
    shifted.add_gap(3, 3, GapReason.ABORTED)
    shifted.add_records(6, 4, 4)
    said = await gateway.mesh("groups", "rehearse", BILLING, "--subscription", "sales")
    assert said.code == 1
    assert "different: 5 records left at the source, 4 records left to read" in said.out


async def test_groups_are_listed_on_both_sides(gateway: ControlGateway) -> None:
    await gateway.done(*MOVE, "--commit")
    assert (await gateway.done("groups", "list", "--json")).json == [{"group": "billing", "state": "empty"}]
    (found,) = (await gateway.done("groups", "list", "--peer", GLOBEX, "--json")).json
    assert found == {
        "group": "billing", "subscription": "sales", "state": "empty", "topics": ["orders"], "partitions": 1,
    }  # fmt: skip
    shown = (await gateway.done("groups", "show", BILLING, "--json")).json
    assert shown["positions"] == [{"topic": "copy", "partition": 0, "position": 3, "end": 8, "lag_records": 5}]
    await gateway.refused("group-absent", "groups", "show", "nobody")


async def test_a_share_without_the_right_does_not_hide_the_groups_of_others(
    gateway: ControlGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = gateway.admin.links
    asked = links.group_positions

    async def refuses_one(
        peer: OrgId, share: ShareName, group: GroupName | None, topics: Sequence[TopicName], *, with_ends: bool
    ) -> list[PeerGroup]:
        if share != "sales":
            raise PeerRefusedRequest(peer, "not-available", f"share '{share}' is not available")
        return await asked(peer, share, group, topics, with_ends=with_ends)

    monkeypatch.setattr(links, "group_positions", refuses_one)
    registry = gateway.admin.services.registry
    other = TopicMapping(TopicName("fares"), TopicName("acme.fares"))
    await registry.subscribe(Subscription(SubscriptionName("fares"), OrgId(GLOBEX), ShareName("fares"), (other,)))
    (found,) = (await gateway.done("groups", "list", "--peer", GLOBEX, "--json")).json
    assert found["subscription"] == "sales"
    await registry.delete_subscription("sales")
    await gateway.refused("peer-refused-request", "groups", "list", "--peer", GLOBEX)


async def test_what_is_kept_in_step_is_shown(gateway: ControlGateway) -> None:
    assert "no groups are kept in step" in (await gateway.done("groups", "status")).out


async def test_backward_goes_with_commit(gateway: ControlGateway) -> None:
    assert (await gateway.mesh(*MOVE, "--backward")).code == 2
