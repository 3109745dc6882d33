"""Positions of groups on the wire: what was sent arrives, and nothing else gets in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.groups import messages
from gateway.groups.errors import PositionsIllegal
from gateway.groups.messages import encoded, groups_of, positions_of
from mesh.groups import PeerGroup, TopicPositions
from mesh.ids import GroupName, TopicId, TopicName
from mesh.link.machine import MAX_LANES
from mesh.offsets.breaks import OFFSET_LIMIT
from mesh.wire.v1 import link_pb2

ORDERS, OTHER, GROUP = TopicName("orders"), TopicName("other"), GroupName("billing")
ID = TopicId("ab" * 16)

offsets = st.integers(0, OFFSET_LIMIT - 1)
places = st.dictionaries(st.integers(0, MAX_LANES - 1), st.tuples(offsets, offsets), max_size=6)


@settings(max_examples=60, deadline=None)
@given(places, st.booleans())
def test_positions_arrive_as_they_were_sent(found: dict[int, tuple[int, int]], with_ends: bool) -> None:
    positions = {number: at for number, (at, _) in found.items()}
    ends = {number: end for number, (_, end) in found.items()} if with_ends else {}
    sent = TopicPositions(ORDERS, ID, positions, ends)
    assert positions_of(encoded([sent])) == (sent,)


def reply(**changes: object) -> link_pb2.GroupPositionsReply:
    topic = {"topic": "orders", "topic_id": ID, "partitions": [0, 1], "positions": [5, 6], **changes}
    group = link_pb2.GroupPositions(group=GROUP, topics=[link_pb2.TopicPositions(**topic)])  # type: ignore[arg-type]
    return link_pb2.GroupPositionsReply(groups=[group])


def test_a_reply_names_groups_of_the_peer() -> None:
    (group,) = groups_of(reply(), GROUP, [ORDERS])
    assert group == PeerGroup(GROUP, False, (TopicPositions(ORDERS, ID, {0: 5, 1: 6}),))


@pytest.mark.parametrize(
    "changes",
    [
        {"topic": "other"},
        {"topic": "a/b"},
        {"topic_id": "no id"},
        {"positions": [5]},
        {"ends": [5]},
        {"partitions": [1, 1]},
        {"partitions": [0, MAX_LANES]},
        {"positions": [5, OFFSET_LIMIT]},
        {"ends": [5, OFFSET_LIMIT]},
    ],
    ids=str,
)
def test_a_reply_that_makes_no_sense_is_refused_whole(changes: dict[str, object]) -> None:
    with pytest.raises(PositionsIllegal):
        groups_of(reply(**changes), GROUP, [ORDERS])


@pytest.mark.parametrize(
    "change",
    [
        lambda sent: sent.groups.append(sent.groups[0]),
        lambda sent: setattr(sent.groups[0], "group", "other"),
        lambda sent: setattr(sent.groups[0], "group", "\x1b[2J"),
        lambda sent: sent.groups[0].topics.append(sent.groups[0].topics[0]),
    ],
)
def test_a_reply_that_names_something_twice_or_unasked_is_refused(
    change: Callable[[link_pb2.GroupPositionsReply], None],
) -> None:
    sent = reply()
    change(sent)
    with pytest.raises(PositionsIllegal):
        groups_of(sent, GROUP, [ORDERS])


def test_a_reply_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_POSITIONS", 1)
    with pytest.raises(PositionsIllegal):
        groups_of(reply(), GROUP, [ORDERS])


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_give_positions_or_a_refusal(data: bytes) -> None:
    try:
        sent = link_pb2.GroupPositionsReply.FromString(data)
    except DecodeError:
        return
    with suppress(PositionsIllegal):
        groups_of(sent, None, [ORDERS, OTHER])
