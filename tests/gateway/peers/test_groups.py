"""Positions of groups over a real link: what is asked, what is refused, and that refusals look alike."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.groups.provider import GroupAnswers
from gateway.groups.writer import GroupWriter
from gateway.metrics import Metrics
from gateway.peers import hub
from gateway.peers.errors import FeatureMissing, PeerRefusedRequest
from mesh.groups import PeerGroup, TopicPositions
from mesh.ids import GroupName, OrgId, Partition, ShareName
from mesh.origins import Hop, TopicOrigin
from mesh.shares import Grant, GroupAccess
from mesh.wire.v1 import link_pb2
from tests.support.hubs import FLIGHTS, TOPIC, Both, Gateway, now_ms, two, until

BILLING = GroupName("billing")


async def _nothing(*_: object, **__: object) -> None:
    pass


async def prepared(both: Both, groups: GroupAccess) -> Gateway:
    """ACME answers, and grants what is said; the link is open."""
    acme, org = both.acme, both.globex.organization.org
    writer = GroupWriter(acme.cluster.ports)
    answers = GroupAnswers(acme.cluster.ports, acme.registry, writer, _nothing, Metrics(), now_ms)
    acme.hub.answer_with(link_pb2.GroupPositionsRequest, answers.positions)
    acme.hub.answer_with(link_pb2.GroupCommitRequest, answers.commit)
    await acme.cluster.ports.groups.commit(BILLING, {Partition(TOPIC, 0): 4})
    await acme.registry.revoke_grant(FLIGHTS, org)
    await acme.registry.create_grant(Grant(FLIGHTS, org, groups=groups), now_ms())
    await until(lambda: bool(both.globex.hub.status()))
    return both.globex


async def test_positions_are_asked_and_set_over_a_link() -> None:
    async with two() as both:
        globex, acme = await prepared(both, GroupAccess.WRITE), both.acme.organization.org
        topic_id = both.acme.cluster.topic(TOPIC).topic_id
        found = await globex.hub.group_positions(acme, FLIGHTS, None, [TOPIC], with_ends=True)
        assert found == [PeerGroup(BILLING, False, (TopicPositions(TOPIC, topic_id, {0: 4}, {0: 9}),))]
        wanted = [TopicPositions(TOPIC, topic_id, {0: 6})]
        assert await globex.hub.group_commit(acme, FLIGHTS, BILLING, wanted, backward=False) == 1
        (group,) = await globex.hub.group_positions(acme, FLIGHTS, BILLING, [TOPIC], with_ends=False)
        assert group.topics[0].positions == {0: 6}


async def test_groups_that_are_not_granted_look_like_a_share_that_is_not_there() -> None:
    async with two() as both:
        globex, acme = await prepared(both, GroupAccess.NONE), both.acme.organization.org
        said = []
        for share in (FLIGHTS, ShareName("absent")):
            with pytest.raises(PeerRefusedRequest) as refused:
                await globex.hub.group_positions(acme, share, BILLING, [TOPIC], with_ends=False)
            said.append((refused.value.refusal, refused.value.detail.replace(share, "")))
        assert said[0] == said[1]


async def test_a_gateway_that_does_not_know_of_groups_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "FEATURES", ("bundles", "denials"))
    async with two() as both:
        globex, acme = await prepared(both, GroupAccess.WRITE), both.acme.organization.org
        with pytest.raises(FeatureMissing):
            await globex.hub.group_positions(acme, FLIGHTS, None, [TOPIC], with_ends=False)


async def test_positions_on_a_copy_are_told_only_where_it_may_be_shared_on() -> None:
    async with two() as both:
        globex, acme = await prepared(both, GroupAccess.WRITE), both.acme.organization.org
        topic_id = both.acme.cluster.topic(TOPIC).topic_id
        origin = TopicOrigin(topic_id, TOPIC, (Hop(OrgId("initech.example"), topic_id),), onward=True)
        await both.acme.registry.record_origin(origin)
        assert await globex.hub.group_positions(acme, FLIGHTS, BILLING, [TOPIC], with_ends=False)
        await both.acme.registry.record_origin(replace(origin, onward=False))
        with pytest.raises(PeerRefusedRequest, match="not-available"):
            await globex.hub.group_positions(acme, FLIGHTS, BILLING, [TOPIC], with_ends=False)
        wanted = [TopicPositions(TOPIC, topic_id, {0: 6})]
        with pytest.raises(PeerRefusedRequest, match="not-available"):
            await globex.hub.group_commit(acme, FLIGHTS, BILLING, wanted, backward=False)
