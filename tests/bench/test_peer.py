"""As it comes, MirrorMaker is told only what it needs; tuned, its clients are told what they are told for catch-up."""

from __future__ import annotations

from bench.peer import Peer

SOURCE = {"bootstrap.servers": "127.0.0.1:1", "security.protocol": "SSL"}


def test_as_it_comes_only_what_is_needed_is_set() -> None:
    settings = Peer("A", "flights", SOURCE, "127.0.0.1:2").settings()
    assert settings["A->B.topics"] == "flights"
    assert settings["A.security.protocol"] == "SSL"
    assert not [key for key in settings if "consumer" in key or "producer" in key or "tasks" in key]


def test_tuned_settings_stand_under_the_alias() -> None:
    peer = Peer("T", "flights", SOURCE, "127.0.0.1:2", tuned_for=4, codec="lz4")
    settings = peer.settings()
    assert (settings["tasks.max"], settings["B.producer.compression.type"]) == ("4", "lz4")
    assert settings["T.consumer.fetch.min.bytes"] == "262144"
    assert peer.copy == "T.flights"
