"""`mesh verify` at the command line: the closing line, the evidence, the exit code."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.cli.verify import show
from gateway.services import DigestPage
from gateway.verify.digests import digest_page
from mesh.ids import LaneId, OrgId, Partition, ShareName, SubscriptionName, TopicName
from mesh.lanes.status import LaneState, LaneStatus
from mesh.offsets.map import OffsetMap
from tests.support.admin import AdminGateway
from tests.support.cli import mesh
from tests.support.control_cli import catalog_of, control_gateway, peer_file

PEER = "ports.example"
LANE = LaneId(SubscriptionName("flights"), TopicName("departures"), 0)
CLEAN = "verified: 3 records, 0 lost, 0 duplicated, 0 reordered, 0 altered, 0 wrong translations"


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[AdminGateway]:
    async with control_gateway(tmp_path) as running:
        yield running.admin


async def mirrored(admin: AdminGateway, source: list[str], copy: list[str], count: int) -> None:
    """A subscription whose copy holds `copy`; the peer's log is a topic of this very cluster."""

    async def digests(
        peer: OrgId,
        share: ShareName,
        topic: TopicName,
        partition: int,
        start: int,
        end: int,
        max_records: int,
        *,
        bare: bool = False,
    ) -> DigestPage:
        source = admin.services.cluster.source
        return await digest_page(source, Partition(str(topic), partition), start, end, max_records, bare=bare)

    admin.links.digests = digests  # type: ignore[method-assign]
    admin.links.catalogs[PEER] = catalog_of("flights", {"departures": 1})
    file = admin.directory / "ports.peer"
    file.write_text(peer_file(PEER, "127.0.0.1:9").to_json())
    for arguments in (
        ("peer", "add", str(file)),
        ("topic", "create", "departures"),
        ("subscribe", f"{PEER}/flights", "--topic", "departures=copy"),
    ):
        assert (await mesh(*arguments, directory=admin.directory)).code == 0
    for topic, values in (("departures", source), ("copy", copy)):
        lines = [json.dumps({"key": "k", "value": value, "timestamp": 5}) + "\n" for value in values]
        said = await mesh("topic", "append", topic, "--force", directory=admin.directory, stdin="".join(lines).encode())
        assert said.code == 0, said.err
    admin.lanes.maps[LANE] = OffsetMap(0)
    admin.lanes.maps[LANE].add_records(0, 0, count)
    admin.lanes.found = [LaneStatus(LANE, PEER, "copy", LaneState.RUNNING, lag_records=len(source) - count)]


async def test_a_clean_copy_ends_with_the_closing_line(admin: AdminGateway) -> None:
    await mirrored(admin, ["a", "b", "c", "d"], ["a", "b", "c"], 3)
    said = await mesh("verify", "flights", directory=admin.directory)
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[-1] == CLEAN
    assert "1 behind, not counted as lost" in said.out
    assert "3 source offsets" in said.out


async def test_damage_is_shown_with_its_offsets_and_fails(admin: AdminGateway) -> None:
    await mirrored(admin, ["a", "b", "c"], ["a", "x", "c"], 3)
    said = await mesh("verify", "flights", directory=admin.directory)
    assert said.code == 1
    assert said.out.splitlines()[-1] == CLEAN.replace("0 altered", "1 altered")
    assert "altered  flights/departures/0" in said.out


async def test_json_carries_totals_lanes_and_the_closing_line(admin: AdminGateway) -> None:
    await mirrored(admin, ["a", "b", "c"], ["a", "b", "c"], 3)
    said = await mesh("verify", "flights", "--json", directory=admin.directory)
    assert (said.code, said.err) == (0, "")
    result = json.loads(said.out)
    assert (result["ok"], result["closing"], result["translations"]) == (True, CLEAN, 3)
    assert [lane["lane"] for lane in result["lanes"]] == ["flights/departures/0"]


async def test_a_lane_that_cannot_be_read_fails_and_says_why(admin: AdminGateway) -> None:
    await mirrored(admin, ["a", "b", "c"], ["a", "b", "c"], 3)
    assert (await mesh("topic", "delete", "departures", directory=admin.directory)).code == 0
    said = await mesh("verify", "flights", directory=admin.directory)
    assert said.code == 1
    assert "cannot be verified: topic 'departures' does not exist" in said.out


@pytest.mark.parametrize(("name", "code"), [("nothing", "subscription-absent"), ("flights", "nothing-to-verify")])
async def test_what_cannot_be_verified_is_refused(admin: AdminGateway, name: str, code: str) -> None:
    await mirrored(admin, ["a"], ["a"], 1)
    admin.lanes.maps.clear()
    said = await mesh("verify", name, directory=admin.directory)
    assert said.code == 1
    assert f"code: {code}" in said.err


def test_what_is_no_damage_is_told_in_words_before_the_closing_line(capsys: pytest.CaptureFixture[str]) -> None:
    counts = dict.fromkeys(("translations", "translations_left_out", "foreign", "filtered", "not_compared"), 0)
    show(counts | {"lanes": [], "not_begun": [], "left_over": 3, "overridden": 2, "closing": CLEAN})
    assert capsys.readouterr().out.splitlines() == [
        "translations checked both ways: 0 source offsets",
        "left over: 3 records are copies of what the source has lost since, see: mesh gaps",
        "timestamp overridden: 2 records were copied without theirs, all else is compared",
        CLEAN,
    ]
