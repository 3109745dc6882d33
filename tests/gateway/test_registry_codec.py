"""How control objects are stored: entries that use nothing new say nothing that an older gateway does not know."""

from __future__ import annotations

import json

import pytest

from gateway.registry_codec import Entry, decode, encode, key_of
from mesh.ids import OrgId, ShareName, SubscriptionName, TopicName
from mesh.shares import Grant, GroupAccess, Share, Subscription, TopicMapping

GLOBEX, FLIGHTS, TOPIC = OrgId("globex.example"), ShareName("flights"), TopicName("departures")
MAPPING = TopicMapping(TOPIC, TOPIC)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (Share(FLIGHTS, (TOPIC,)), {"format", "name", "topics", "version", "created_ms"}),
        (Grant(FLIGHTS, GLOBEX), {"format", "share", "peer", "start_ms", "end_ms", "state"}),
        (
            Grant(FLIGHTS, GLOBEX, groups=GroupAccess.READ),
            {"format", "share", "peer", "start_ms", "end_ms", "state", "groups"},
        ),
        (
            Subscription(SubscriptionName("flights"), GLOBEX, FLIGHTS, (MAPPING,)),
            {"format", "name", "peer", "share", "topics", "start", "state", "on_foreign_write"},
        ),
    ],
)
def test_what_uses_nothing_new_is_stored_as_an_older_gateway_reads_it(entry: Entry, said: set[str]) -> None:
    stored = encode(entry)
    assert json.loads(stored).keys() == said
    assert decode(key_of(entry), stored) == entry
