"""Peers, shares, grants, subscriptions, catalog, offsets: what the commands do and what they refuse."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.config import GatewayConfig
from gateway.offers import ANY_TIMESTAMP
from gateway.services import LinkStatus
from mesh.batch.stamp import Producer
from mesh.ids import LaneId, OrgId, SubscriptionName, TopicId, TopicName
from mesh.lanes.checkpoint import checkpoint_of, recorded
from mesh.lanes.checkpoint import entries as stored_entries
from mesh.lanes.ledger import LedgerEntry
from mesh.lanes.losses import LossKind, LostRange
from mesh.lanes.status import LaneState, LaneStatus
from mesh.offsets.map import OffsetMap
from mesh.spans import GapReason
from tests.support.control_cli import ControlGateway, catalog_of, control_gateway, peer_file

GLOBEX = "globex.example"
LANE = LaneId(SubscriptionName("flights"), TopicName("departures"), 0)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[ControlGateway]:
    async with control_gateway(tmp_path) as running:
        yield running


async def with_share(gateway: ControlGateway) -> None:
    await gateway.done("topic", "create", "departures")
    await gateway.add_peer(GLOBEX)
    await gateway.done("share", "create", "flights", "--topic", "departures")


async def with_subscription(gateway: ControlGateway) -> None:
    await gateway.add_peer(GLOBEX)
    gateway.admin.links.catalogs[GLOBEX] = catalog_of("flights", {"departures": 2}, retention_ms="1000000000000")
    await gateway.done("subscribe", f"{GLOBEX}/flights", "--topic", "departures=copy")


# Peers


async def test_what_one_exports_the_other_adds(gateway: ControlGateway) -> None:
    exported = await gateway.done("peer", "export")
    file = json.loads(exported.out)
    assert (file["org"], file["addresses"]) == ("acme.example", ["127.0.0.1:7463"])
    assert f"fingerprint {file['fingerprint']}" in exported.err
    assert "only this machine can reach 127.0.0.1:7463" in exported.err
    again = await gateway.done("peer", "export", "--json")
    assert again.json["fingerprint"] == file["fingerprint"]
    moved = await gateway.done("peer", "export", "--address", "mesh.acme.example:443", "--json")
    assert moved.json["addresses"] == ["mesh.acme.example:443"]
    target = gateway.directory / "acme.peer"
    await gateway.done("peer", "export", "--output", str(target))
    assert json.loads(target.read_text()) == file


async def test_a_peer_is_added_listed_and_shown(gateway: ControlGateway, tmp_path: Path) -> None:
    file = peer_file(GLOBEX, "mesh.globex.example:7463")
    path = tmp_path / "globex.peer"
    path.write_text(file.to_json())
    added = await gateway.done("peer", "add", str(path), "--expect-fingerprint", file.fingerprint)
    assert added.out == f"added {GLOBEX}, active, fingerprint {file.fingerprint}\n"
    gateway.admin.links.found = [LinkStatus(OrgId(GLOBEX), "gw-7", "dialler", 0, "127.0.0.1:9")]
    listed = (await gateway.done("peer", "list", "--json")).json
    assert [(peer["org"], peer["state"], peer["links"][0]["gateway"]) for peer in listed] == [
        (GLOBEX, "active", "gw-7")
    ]
    assert "mesh.globex.example:7463" in (await gateway.done("peer", "list")).out
    assert "dialler" in (await gateway.done("peer", "show", GLOBEX)).out
    assert (await gateway.done("peer", "show", GLOBEX, "--json")).json["addresses"] == ["mesh.globex.example:7463"]


async def test_addresses_given_by_hand_replace_those_of_the_file(gateway: ControlGateway) -> None:
    file = peer_file(GLOBEX, "a.example:1").to_json()
    added = await gateway.done("peer", "add", "-", "--address", "b.example:2", "--json", stdin=file)
    assert added.json["addresses"] == ["b.example:2"]


async def test_a_peer_file_that_may_not_be_added_is_refused(gateway: ControlGateway) -> None:
    own = (await gateway.done("peer", "export")).out
    assert "own organization" in await gateway.refused("peer-file-refused", "peer", "add", "-", stdin=own)
    file = peer_file(GLOBEX, "a.example:1").to_json()
    await gateway.refused("fingerprint-mismatch", "peer", "add", "-", "--expect-fingerprint", "sha256:00", stdin=file)
    changed = file.replace("a.example:1", "b.example:1")
    assert "changed" in await gateway.refused("peer-file-refused", "peer", "add", "-", stdin=changed)
    await gateway.refused("peer-file-refused", "peer", "add", "-", stdin="{}")
    await gateway.refused("peer-address-refused", "peer", "add", "-", "--address", "nowhere", stdin=file)
    await gateway.refused("peer-address-refused", "peer", "export", "--address", "nowhere")
    missing = await gateway.mesh("peer", "add", "missing.peer")
    assert (missing.code, "no such file" in missing.err) == (1, True)
    await gateway.done("peer", "add", "-", stdin=file)
    await gateway.refused("peer-exists", "peer", "add", "-", stdin=file)


async def test_a_peer_is_suspended_resumed_and_revoked_for_good(gateway: ControlGateway) -> None:
    await gateway.add_peer(GLOBEX)
    assert (await gateway.done("peer", "suspend", GLOBEX)).out == f"{GLOBEX} is suspended\n"
    assert (await gateway.done("peer", "resume", GLOBEX, "--json")).json["state"] == "active"
    await gateway.done("peer", "revoke", GLOBEX)
    await gateway.refused("peer-revoked", "peer", "resume", GLOBEX)
    await gateway.refused("peer-revoked", "peer", "add", "-", stdin=peer_file(GLOBEX).to_json())
    assert "did you mean 'globex.example'?" in await gateway.refused("peer-absent", "peer", "show", "globe.example")


# Shares and grants


async def test_a_share_is_created_of_topics_that_exist(gateway: ControlGateway) -> None:
    assert "departures" in await gateway.refused("topic-absent", "share", "create", "flights", "--topic", "departures")
    await gateway.done("topic", "create", "departures")
    made = await gateway.done("share", "create", "flights", "--topic", "departures")
    assert made.out == "created share flights of departures\n"
    await gateway.refused("share-exists", "share", "create", "flights", "--topic", "departures")
    await gateway.refused("illegal-name", "share", "create", "Flights", "--topic", "departures")
    await gateway.refused("illegal-name", "share", "create", "state", "--topic", "_mesh.control")
    assert "departures" in (await gateway.done("share", "list")).out
    listed = (await gateway.done("share", "list", "--json")).json
    assert [(share["name"], share["topics"], share["granted_to"]) for share in listed] == [
        ("flights", ["departures"], [])
    ]


async def test_a_grant_is_created_explained_and_revoked(gateway: ControlGateway) -> None:
    await with_share(gateway)
    denied = await gateway.done("grant", "explain", "flights", "--to", GLOBEX)
    assert denied.out.splitlines()[0] == f"{GLOBEX} sees share flights: denied (not-granted)"
    made = await gateway.done("grant", "create", "flights", "--to", GLOBEX, "--until", "2099-01-01T00:00:00Z")
    assert made.out == f"granted flights to {GLOBEX} until 2099-01-01 00:00:00Z\n"
    groups = await gateway.done("grant", "explain", "flights", "--to", GLOBEX, "--groups", "read")
    assert "denied (groups-not-granted)" in groups.out
    allowed = await gateway.done("grant", "explain", "flights", "--to", GLOBEX, "--topic", "departures", "--json")
    assert (allowed.json["allowed"], len(allowed.json["steps"])) == (True, 6)
    assert "allowed" in (await gateway.done("grant", "list")).out
    assert (await gateway.done("share", "list", "--json")).json[0]["granted_to"] == [GLOBEX]
    assert (
        await gateway.done("grant", "revoke", "flights", "--from", GLOBEX)
    ).out == f"revoked flights from {GLOBEX}\n"
    assert (await gateway.done("grant", "list", "--json")).json[0]["reason"] == "grant-revoked"


async def test_terms_of_a_grant_are_changed_without_taking_it_back(gateway: ControlGateway) -> None:
    await with_share(gateway)
    await gateway.done("grant", "create", "flights", "--to", GLOBEX, "--until", "2099-01-01T00:00:00Z")
    said = await gateway.done("grant", "set", "flights", "--to", GLOBEX, "--groups", "read", "--onward")
    assert said.out == f"flights to {GLOBEX}: groups read, onward, until 2099-01-01 00:00:00Z\n"
    said = await gateway.done("grant", "set", "flights", "--to", GLOBEX, "--until", "never", "--no-onward")
    assert said.out == f"flights to {GLOBEX}: groups read, not onward, without end\n"
    changed = await gateway.done("grant", "set", "flights", "--to", GLOBEX, "--until", "4102444800000", "--json")
    assert (changed.json["end_ms"], changed.json["groups"], changed.json["allowed"]) == (4102444800000, "read", True)
    assert (await gateway.mesh("grant", "set", "flights", "--to", GLOBEX)).code == 2
    await gateway.refused("illegal-terms", "grant", "set", "flights", "--to", GLOBEX, "--until", "1")
    said = await gateway.mesh("grant", "set", "flights", "--to", GLOBEX, "--groups", "all")
    assert (said.code, "'read'" in said.err) == (2, True)
    await gateway.refused("grant-absent", "grant", "set", "fares", "--to", GLOBEX, "--onward")
    await gateway.done("grant", "revoke", "flights", "--from", GLOBEX)
    await gateway.refused("grant-over", "grant", "set", "flights", "--to", GLOBEX, "--onward")


async def test_a_grant_that_cannot_be_is_refused(gateway: ControlGateway) -> None:
    await with_share(gateway)
    await gateway.refused("share-absent", "grant", "create", "fares", "--to", GLOBEX)
    await gateway.refused("peer-absent", "grant", "create", "flights", "--to", "initech.example")
    await gateway.refused("illegal-terms", "grant", "create", "flights", "--to", GLOBEX, "--until", "1")
    await gateway.refused("grant-absent", "grant", "revoke", "flights", "--from", GLOBEX)
    await gateway.done("grant", "create", "flights", "--to", GLOBEX)
    await gateway.refused("grant-exists", "grant", "create", "flights", "--to", GLOBEX)
    for time in ("tomorrow", "2099-01-01T00:00:00"):
        usage = await gateway.mesh("grant", "create", "flights", "--to", GLOBEX, "--until", time)
        assert usage.code == 2


# Subscriptions


async def test_the_catalog_shows_what_a_peer_grants(gateway: ControlGateway) -> None:
    await gateway.add_peer(GLOBEX)
    await gateway.refused("peer-unreachable", "catalog", "--peer", GLOBEX)
    gateway.admin.links.catalogs[GLOBEX] = catalog_of("flights", {"departures": 2})
    assert "departures" in (await gateway.done("catalog", "--peer", GLOBEX)).out
    topic = (await gateway.done("catalog", "--peer", GLOBEX, "--json")).json[0]["topics"][0]
    assert (topic["name"], topic["partitions"]) == ("departures", 2)
    await gateway.done("peer", "suspend", GLOBEX)
    await gateway.refused("peer-not-active", "catalog", "--peer", GLOBEX)
    await gateway.refused("peer-absent", "catalog", "--peer", "nobody.example")


async def test_subscribing_makes_the_destination_topic_like_the_source(gateway: ControlGateway) -> None:
    await with_subscription(gateway)
    topic = await gateway.admin.services.cluster.topics.describe("copy")
    assert (topic.partitions, dict(topic.config)) == (2, {"retention.ms": "1000000000000"} | ANY_TIMESTAMP)
    listed = (await gateway.done("subscription", "list", "--json")).json
    assert [(each["name"], each["state"], each["start"]) for each in listed] == [("flights", "active", "earliest")]
    assert "departures to copy" in (await gateway.done("subscription", "list")).out


async def test_subscribing_takes_a_topic_that_is_there_and_large_enough(gateway: ControlGateway) -> None:
    await gateway.add_peer(GLOBEX)
    gateway.admin.links.catalogs[GLOBEX] = catalog_of("flights", {"departures": 2, "arrivals": 2})
    await gateway.done("topic", "create", "large", "--partitions", "3")
    await gateway.done("topic", "create", "small", "--partitions", "1")
    target = f"{GLOBEX}/flights"
    said = await gateway.refused(
        "destination-too-small", "subscribe", target, "--topic", "arrivals=fresh", "--topic", "departures=small"
    )
    assert "has 1 partitions, its source has 2" in said
    assert {t.name for t in await gateway.admin.services.cluster.topics.list()} == {"large", "small"}
    more = ("--from", "offset:5", "--name", "mine", "--on-foreign-write", "report", "--json")
    made = (await gateway.done("subscribe", target, "--topic", "departures=large", *more)).json
    assert (made["name"], made["start"], made["on_foreign_write"]) == ("mine", "offset:5", "report")
    assert made["created_topics"] == []


async def test_a_provider_cannot_set_what_weakens_our_topics(gateway: ControlGateway) -> None:
    await gateway.add_peer(GLOBEX)
    hostile = {"min_insync_replicas": "0", "unclean_leader_election_enable": "true", "retention_ms": "5"}
    late = {"message_timestamp_type": "LogAppendTime"}
    gateway.admin.links.catalogs[GLOBEX] = catalog_of("flights", {"departures": 2}, **hostile, **late)
    await gateway.done("subscribe", f"{GLOBEX}/flights", "--topic", "departures=copy")
    topic = await gateway.admin.services.cluster.topics.describe("copy")
    assert dict(topic.config) == {"retention.ms": "5"} | ANY_TIMESTAMP


@pytest.mark.parametrize("partitions", [0, 10_001, (1 << 32) - 1])
async def test_an_offer_without_bounds_makes_nothing_here(gateway: ControlGateway, partitions: int) -> None:
    await gateway.add_peer(GLOBEX)
    gateway.admin.links.catalogs[GLOBEX] = catalog_of("flights", {"departures": partitions})
    await gateway.refused("offer-unfit", "subscribe", f"{GLOBEX}/flights", "--topic", "departures=copy")
    assert await gateway.admin.services.cluster.topics.list() == []


async def test_a_subscription_that_cannot_be_is_refused(gateway: ControlGateway) -> None:
    await with_subscription(gateway)
    target, topic = f"{GLOBEX}/flights", "departures=other"
    await gateway.refused("subscription-exists", "subscribe", target, "--topic", topic)
    named = ("subscribe", target, "--name", "second", "--topic")
    await gateway.refused("destination-taken", *named, "departures=copy")
    await gateway.refused("illegal-start", *named, topic, "--from", "yesterday")
    await gateway.refused("illegal-name", *named, "departures=_mesh.lanes")
    assert "did you mean 'departures'?" in await gateway.refused("topic-not-shared", *named, "departure=x")
    await gateway.refused("not-available", "subscribe", f"{GLOBEX}/fares", "--topic", topic)
    await gateway.refused("peer-absent", "subscribe", "nobody.example/fares", "--topic", topic)
    said = await gateway.mesh(*named, topic, "--on-foreign-write", "shrug")
    assert (said.code, "'report'" in said.err) == (2, True)
    assert (await gateway.mesh("subscribe", GLOBEX, "--topic", topic)).code == 2
    assert (await gateway.mesh("subscribe", target, "--topic", "departures")).code == 2
    assert {t.name for t in await gateway.admin.services.cluster.topics.list()} == {"copy"}


async def test_a_subscription_is_paused_resumed_and_deleted(gateway: ControlGateway) -> None:
    await with_subscription(gateway)
    assert (await gateway.done("subscription", "pause", "flights")).out == "flights is paused\n"
    assert (await gateway.done("subscription", "resume", "flights", "--json")).json["state"] == "active"
    assert (await gateway.done("subscription", "delete", "flights")).out == "deleted flights; kept copy\n"
    for verb in ("pause", "resume", "show", "delete"):
        await gateway.refused("subscription-absent", "subscription", verb, "flights")


@contextmanager
def drain_timeout(config: GatewayConfig, timeout_s: float) -> Iterator[None]:
    """Another timeout for a while. The value is frozen and shared with other configurations: it is put back."""
    before = config.timing.drain_timeout_s
    object.__setattr__(config.timing, "drain_timeout_s", timeout_s)
    try:
        yield
    finally:
        object.__setattr__(config.timing, "drain_timeout_s", before)


async def test_a_subscription_is_deleted_only_after_its_lanes_have_stopped(gateway: ControlGateway) -> None:
    await with_subscription(gateway)
    lanes = gateway.admin.services.cluster.lanes
    await lanes.put({"lane/flights/departures/0/checkpoint": b"x"})
    gateway.admin.lanes.stops.clear()
    with drain_timeout(gateway.admin.services.config, 0.05):
        await gateway.refused("lanes-still-running", "subscription", "delete", "flights")
    assert (await gateway.done("subscription", "show", "flights", "--json")).json["state"] == "paused"
    assert await lanes.load("lane/flights/")
    gateway.admin.lanes.stops.set()
    await gateway.done("subscription", "delete", "flights")
    assert gateway.admin.lanes.asked_to_stop == ["flights", "flights"]
    assert await lanes.load("lane/flights/") == {}


async def test_a_subscription_is_shown_with_its_lanes_and_remedies(gateway: ControlGateway) -> None:
    await with_subscription(gateway)
    gateway.admin.lanes.found = [
        LaneStatus(LANE, GLOBEX, "copy", LaneState.RUNNING, lag_records=3),
        LaneStatus(LANE._replace(partition=1), GLOBEX, "copy", LaneState.STOPPED, "x", "it broke", "mend it"),
    ]
    shown = await gateway.done("subscription", "show", "flights")
    assert "1 running, 1 stopped" in shown.out
    assert "departures[1]: mend it" in shown.out
    as_json = (await gateway.done("subscription", "show", "flights", "--json")).json
    assert [lane["state"] for lane in as_json["lanes"]] == ["running", "stopped"]
    assert as_json["lag_records"] == 3


# Offsets


def offset_map() -> OffsetMap:
    """Source 10 to 13 at 0 to 3, 13 to 15 compacted, 15 to 17 at 4 to 6 with a foreign record at 3."""
    made = OffsetMap(10)
    made.add_records(10, 0, 3)
    made.add_gap(13, 2, GapReason.COMPACTED)
    made.add_records(15, 4, 2)
    made.add_gap(17, 1, GapReason.MARKER)
    return made


async def with_map(gateway: ControlGateway) -> None:
    await with_subscription(gateway)
    gateway.admin.lanes.maps[LANE] = offset_map()
    gateway.admin.lanes.found = [LaneStatus(LANE, GLOBEX, "copy", LaneState.RUNNING)]


TRANSLATE = ("offsets", "translate", "flights", "--topic", "departures", "--partition", "0")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--offset", "12"], "source 12 is destination 2"),
        (["--offset", "13"], "source 13 has no copy (compacted); the next record is destination 4"),
        (["--offset", "17"], "source 17 has no copy (marker); the next record is not mirrored yet"),
        (["--offset", "5", "--reverse"], "source 16 is destination 5"),
        (["--offset", "3", "--reverse"], "destination 3 was not written by the mirror; its next record is source 15"),
    ],
)
async def test_offsets_translate_both_ways(gateway: ControlGateway, options: list[str], sentence: str) -> None:
    await with_map(gateway)
    assert (await gateway.done(*TRANSLATE, *options)).out == f"{sentence}\n"


async def test_outside_of_the_map_the_answer_says_what_it_covers(gateway: ControlGateway) -> None:
    await with_map(gateway)
    said = await gateway.refused("offset-not-mapped", *TRANSLATE, "--offset", "9")
    assert "source offset 9 of departures[0]" in said
    assert "covers 10 to 18 (exclusive)" in said
    assert "0 to 6" in await gateway.refused("offset-not-mapped", *TRANSLATE, "--offset", "6", "--reverse")


async def test_a_time_is_answered_by_both_offsets(gateway: ControlGateway) -> None:
    await with_map(gateway)
    lines = "".join(f'{{"value": {n}, "timestamp": {n * 100}, "partition": 0}}\n' for n in range(6))
    async with gateway.admin.session.post(
        f"{gateway.admin.url}/v1/topics/copy/records?force=true",
        data=lines,
        headers={"Content-Type": "application/x-ndjson"},
    ) as appended:
        assert appended.status == 200
    found = (await gateway.done(*TRANSLATE, "--timestamp", "150", "--json")).json
    assert (found["answer"], found["source_offset"], found["destination_offset"]) == ("exact", 12, 2)
    foreign = (await gateway.done(*TRANSLATE, "--timestamp", "300", "--json")).json
    assert (foreign["source_offset"], foreign["destination_offset"]) == (15, 4)
    assert "600" in await gateway.refused("timestamp-not-found", *TRANSLATE, "--timestamp", "600")


async def test_questions_without_an_answer_are_refused(gateway: ControlGateway) -> None:
    await with_map(gateway)
    at = ("--offset", "1")
    translate = ("offsets", "translate")
    await gateway.refused("lane-not-begun", *translate, "flights", "--topic", "departures", "--partition", "7", *at)
    said = await gateway.refused(
        "topic-not-subscribed", *translate, "flights", "--topic", "departure", "--partition", "0", *at
    )
    assert "did you mean 'departures'?" in said
    await gateway.refused("subscription-absent", *translate, "fares", "--topic", "departures", "--partition", "0", *at)
    await gateway.refused("query-refused", *TRANSLATE, "--offset", str(1 << 60))
    for usage in ([], [*at, "--timestamp", "1"], ["--timestamp", "1", "--reverse"]):
        assert (await gateway.mesh(*TRANSLATE, *usage)).code == 2


async def test_gaps_are_listed_with_their_reasons(gateway: ControlGateway) -> None:
    await with_map(gateway)
    assert "compacted" in (await gateway.done("gaps", "flights")).out
    gaps = (await gateway.done("gaps", "flights", "--json")).json["gaps"]
    assert [(gap["source_offset"], gap["next_source_offset"], gap["reason"]) for gap in gaps] == [
        (13, 15, "compacted"),
        (17, 18, "marker"),
    ]
    await gateway.refused("subscription-absent", "gaps", "fares")


async def with_losses(gateway: ControlGateway) -> None:
    """The lane's topic was created again once; the present one lost 18 to 20 by truncation."""
    await with_map(gateway)
    made = offset_map()
    made.add_records(18, 20, 1)
    gateway.admin.lanes.maps[LANE] = made
    ledger = [
        LedgerEntry(LossKind.RECREATED, 0, 7, 100, 107, 1_700_000_000_000, "f" * 32, 0),
        LedgerEntry(LossKind.TRUNCATED, 18, 20, 6, 8, 1_700_000_000_000, "e" * 32, 1, unmapped=3),
    ]
    checkpoint = checkpoint_of(made, TopicId("e" * 32), 6, 21, Producer(1, 0), losses=2, incarnation=1)
    entries = stored_entries(LANE, checkpoint, made, None)
    for number, entry in enumerate(ledger):
        entries |= recorded(LANE, number, entry)
    await gateway.admin.services.cluster.lanes.put(entries)
    lost = LostRange(LossKind.TRIMMED, 19, 40)
    gateway.admin.lanes.found = [LaneStatus(LANE, GLOBEX, "copy", LaneState.STOPPED, "source-trimmed", lost=lost)]


async def test_losses_are_listed_with_where_their_copies_are_and_what_is_pending(gateway: ControlGateway) -> None:
    await with_losses(gateway)
    gaps = (await gateway.done("gaps", "flights", "--json")).json["gaps"]
    assert [(gap["source_offset"], gap["next_source_offset"], gap["reason"], gap.get("kind")) for gap in gaps] == [
        (13, 15, "compacted", None),
        (17, 18, "marker", None),
        (0, 7, "recreated", "recreated"),
        (18, 20, "lost", "truncated"),
        (19, 40, "lost", "trimmed"),
    ]
    assert (gaps[2]["topic_id"], gaps[2]["noticed_ms"]) == ("f" * 32, 1_700_000_000_000)
    assert (gaps[3]["destination_offset"], gaps[3]["next_destination_offset"], gaps[3]["unmapped"]) == (6, 8, 3)
    assert gaps[4]["pending"] is True
    shown = (await gateway.done("subscription", "show", "flights", "--json")).json["lanes"][0]["lost"]
    assert shown == {"kind": "trimmed", "source_offset": 19, "next_source_offset": 40}
    told = (await gateway.done("gaps", "flights")).out
    assert "6 to 8" in told
    assert "pending" in told


async def test_a_copy_of_what_the_source_lost_is_told_apart_from_a_foreign_record(gateway: ControlGateway) -> None:
    await with_losses(gateway)
    said = (await gateway.done(*TRANSLATE, "--offset", "7", "--reverse")).out
    assert said == "destination 7 holds a record that the source has lost; the next is source 18\n"
    said = (await gateway.done(*TRANSLATE, "--offset", "9", "--reverse")).out
    assert said == "destination 9 was not written by the mirror; its next record is source 18\n"
    said = await gateway.refused("offset-of-former-topic", *TRANSLATE, "--offset", "103", "--reverse")
    assert "as it was before it was created again" in said


# Configuration


async def test_config_is_checked_and_explained_with_and_without_a_gateway(gateway: ControlGateway) -> None:
    path = gateway.directory / "mesh.toml"
    assert (await gateway.done("config", "check")).out == f"{path} is valid\n"
    settings = (await gateway.done("config", "explain", "--json")).json["settings"]
    assert settings[0] == {"key": "organization", "value": "acme.example", "origin": str(path)}
    assert (await gateway.done("config", "explain", "--running", "--json")).json["settings"] == settings
    assert "limits.frame_bytes" in (await gateway.done("config", "explain")).out
    path.write_text('organisation = "acme.example"\n')
    assert "did you mean 'organization'?" in await gateway.refused("config-unknown-key", "config", "check")
