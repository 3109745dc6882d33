from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.ids import OrgId, ShareName, TopicId, TopicName
from mesh.origins import Hop, TopicOrigin
from mesh.policy import Decision, Reason, Request, ShareNotAvailable, decide
from mesh.shares import Grant, GrantState, GroupAccess, PeerState, Share

ACME, GLOBEX = OrgId("acme.example"), OrgId("globex.example")
FLIGHTS, FARES = ShareName("flights"), ShareName("fares")
DEPARTURES, ARRIVALS = TopicName("departures"), TopicName("arrivals")
SHARE = Share(FLIGHTS, (DEPARTURES,))
GRANT = Grant(FLIGHTS, GLOBEX, start_ms=100, end_ms=200)
READ = Request(GLOBEX, FLIGHTS, DEPARTURES, 0)
GROUPS = replace(GRANT, groups=GroupAccess.READ)
READ_GROUPS = Request(GLOBEX, FLIGHTS, DEPARTURES, groups=GroupAccess.READ)
WRITE_GROUPS = Request(GLOBEX, FLIGHTS, DEPARTURES, groups=GroupAccess.WRITE)


def decided(
    request: Request = READ,
    grant: Grant | None = GRANT,
    share: Share | None = SHARE,
    peer: PeerState | None = PeerState.ACTIVE,
    now_ms: int = 150,
) -> Decision:
    return decide(
        request,
        {grant.id: grant} if grant else {},
        {share.name: share} if share else {},
        {GLOBEX: peer} if peer else {},
        now_ms,
    )


def test_a_granted_topic_of_an_active_peer_is_allowed_until_the_grant_ends() -> None:
    decision = decided()
    assert (decision.allowed, decision.reason, decision.until_ms) == (True, Reason.GRANTED, 200)
    decision.require()


def test_seeing_a_share_needs_no_topic() -> None:
    assert decided(Request(GLOBEX, FLIGHTS)).allowed


DENIALS = [
    (decided(peer=None), Reason.PEER_ABSENT),
    (decided(peer=PeerState.PENDING), Reason.PEER_PENDING),
    (decided(peer=PeerState.SUSPENDED), Reason.PEER_SUSPENDED),
    (decided(peer=PeerState.REVOKED), Reason.PEER_REVOKED),
    (decided(share=None), Reason.SHARE_ABSENT),
    (decided(grant=None), Reason.NOT_GRANTED),
    (decided(grant=replace(GRANT, peer=ACME)), Reason.NOT_GRANTED),
    (decided(grant=replace(GRANT, state=GrantState.REVOKED)), Reason.GRANT_REVOKED),
    (decided(now_ms=99), Reason.GRANT_NOT_BEGUN),
    (decided(now_ms=200), Reason.GRANT_ENDED),
    (decided(Request(GLOBEX, FLIGHTS, ARRIVALS, 0)), Reason.TOPIC_NOT_SHARED),
    (decided(READ_GROUPS), Reason.GROUPS_NOT_GRANTED),
    (decided(WRITE_GROUPS, grant=GROUPS), Reason.GROUPS_NOT_GRANTED),
]


@pytest.mark.parametrize(("decision", "reason"), DENIALS, ids=[str(reason) for _, reason in DENIALS])
def test_each_denial_has_its_own_reason_inside_and_the_same_answer_outside(decision: Decision, reason: Reason) -> None:
    assert (decision.allowed, decision.reason) == (False, reason)
    with pytest.raises(ShareNotAvailable) as raised:
        decision.require()
    assert (raised.value.code, str(raised.value)) == ("not-available", "share 'flights' is not available")
    assert raised.value.data == {"share": "flights"}


def test_positions_of_groups_are_read_or_written_as_far_as_the_grant_says() -> None:
    assert decided(READ_GROUPS, grant=GROUPS).allowed
    writing = replace(GRANT, groups=GroupAccess.WRITE)
    assert decided(READ_GROUPS, grant=writing).allowed
    assert decided(WRITE_GROUPS, grant=writing).allowed
    arrivals = replace(READ_GROUPS, topic=ARRIVALS)
    assert decided(arrivals, grant=writing).reason is Reason.TOPIC_NOT_SHARED
    assert decided(READ_GROUPS).steps[-1] == "grant says nothing about positions of groups"
    assert decided(WRITE_GROUPS, grant=GROUPS).steps[-1] == "grant allows to read positions of groups"


def test_the_steps_explain_in_words_and_end_with_the_denial() -> None:
    assert decided().steps == (
        "peer globex.example is active",
        "share flights exists, version 1",
        "grant flights@globex.example is active",
        "grant began at 100 ms",
        "grant ends at 200 ms",
        "topic departures is part of share flights",
    )
    assert decided(grant=None).steps[-1] == "share flights is not granted to globex.example"
    assert decided(now_ms=99).steps[-1] == "grant begins at 100 ms"


def test_a_request_says_itself() -> None:
    assert str(READ) == "globex.example reads departures[0] of share flights"
    assert str(Request(GLOBEX, FLIGHTS)) == "globex.example sees share flights"
    assert str(WRITE_GROUPS) == "globex.example writes positions of groups on departures of share flights"


def reference(
    request: Request,
    grants: Mapping[str, Grant],
    shares: Mapping[ShareName, Share],
    peers: Mapping[OrgId, PeerState],
    now_ms: int,
) -> bool:
    for grant in grants.values():
        in_time = grant.start_ms <= now_ms and (grant.end_ms is None or now_ms < grant.end_ms)
        ours = grant.peer == request.peer and grant.share == request.share and grant.state == "active"
        if in_time and ours and peers.get(grant.peer) == "active" and grant.share in shares:
            return request.topic is None or request.topic in shares[grant.share].topics
    return False


# Weighted so that most conditions hold in most examples: otherwise the last ones are hardly ever reached.
times = st.integers(0, 6)
orgs = st.sampled_from([ACME, GLOBEX])
names = st.sampled_from([FLIGHTS, FARES])
topics = st.sampled_from([DEPARTURES, ARRIVALS])
states = st.sampled_from([GrantState.ACTIVE] * 3 + list(GrantState))
grants = st.builds(Grant, names, orgs, st.just(0) | times, st.none() | times, states)
shares = st.builds(Share, names, st.lists(topics, unique=True, max_size=1).map(tuple))
requests = st.builds(Request, orgs, names, st.none() | topics, st.integers(0, 3))
peerings = st.dictionaries(orgs, st.sampled_from([PeerState.ACTIVE] * 6 + list(PeerState)), min_size=1)


@settings(max_examples=300, deadline=None)
@given(requests, st.lists(grants, min_size=2, max_size=4), st.lists(shares, min_size=1, max_size=2), peerings, times)
def test_it_decides_as_the_reference_policy(
    request: Request,
    given_grants: list[Grant],
    given_shares: list[Share],
    peers: dict[OrgId, PeerState],
    now_ms: int,
) -> None:
    by_id = {grant.id: grant for grant in given_grants}
    by_name = {share.name: share for share in given_shares}
    decision = decide(request, by_id, by_name, peers, now_ms)
    assert decision.allowed == reference(request, by_id, by_name, peers, now_ms)
    assert decision.allowed == (decision.reason is Reason.GRANTED)
    assert decision.steps


def test_a_topic_belongs_to_a_share_by_a_pattern_and_the_steps_say_by_which() -> None:
    share = replace(SHARE, topics=(), patterns=("arr*", "dep*"))
    decision = decided(share=share)
    assert decision.allowed
    assert "topic departures is part of share flights by pattern dep*" in decision.steps
    assert decided(replace(READ, topic=TopicName("_departures")), share=share).reason is Reason.TOPIC_NOT_SHARED
    assert decided(share=replace(share, patterns=("arr*",))).reason is Reason.TOPIC_NOT_SHARED


@pytest.mark.parametrize("onward", [False, True])
def test_a_copy_is_read_by_others_only_where_its_grant_lets_us(onward: bool) -> None:
    topic_id = TopicId("0" * 32)
    origins = {topic_id: TopicOrigin(topic_id, DEPARTURES, (Hop(ACME, topic_id),), onward)}
    asked = replace(READ, topic_id=topic_id)
    decision = decide(asked, {GRANT.id: GRANT}, {FLIGHTS: SHARE}, {GLOBEX: PeerState.ACTIVE}, 150, origins)
    assert (decision.allowed, decision.reason is Reason.COPY_NOT_ONWARD) == (onward, not onward)
    assert "acme.example" in decision.steps[-1]
    other = replace(asked, topic_id=TopicId("1" * 32))
    assert decide(other, {GRANT.id: GRANT}, {FLIGHTS: SHARE}, {GLOBEX: PeerState.ACTIVE}, 150, origins).allowed
