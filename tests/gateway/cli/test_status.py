"""`mesh status`: what it says, once and watched, wide and narrow."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
from typing import Any

import pytest
from rich.console import Console, RenderableType

from gateway.cli import status_view
from gateway.cli.status import changes
from gateway.services import LinkStatus
from mesh.ids import LaneId, OrgId, SubscriptionName, TopicName
from mesh.lanes.status import LaneState, LaneStatus
from tests.support.admin import AdminGateway
from tests.support.cli import mesh


def lane(partition: int, state: LaneState, **more: Any) -> LaneStatus:
    name = LaneId(SubscriptionName("from-globex"), TopicName("departures"), partition)
    return LaneStatus(name, "globex.example", "globex.departures", state, **more)


STOPPED = lane(
    1, LaneState.STOPPED, code="topic-recreated", reason="topic 'departures' was created again", remedy="subscribe anew"
)
LINK = LinkStatus(OrgId("globex.example"), "spiffe://globex.example/gateway/gw-1", "dialler", 0, "127.0.0.1:7463")


def show(admin: AdminGateway) -> None:
    admin.lanes.found = [lane(0, LaneState.RUNNING, lag_records=1234, lag_s=0.4, records=56789), STOPPED]
    admin.links.exported = [
        {"peer": "globex.example", "share": "s", "topic": "t", "partition": 0, "acknowledged": 5, "log_end": 8}
    ]
    admin.links.found = [LINK]


async def test_status_says_what_runs_and_why_something_stands_still(admin: AdminGateway) -> None:
    show(admin)

    result = await mesh("status", directory=admin.directory)

    assert result.code == 0
    for said in (
        "acme.example/gw-1  2 lanes: 1 stopped, 1 running  1 link",
        "from-globex/departures/0  running  globex.departures   56,789  1,234   0.4 s",
        "topic 'departures' was created again",
        "remedy  subscribe anew",
        "dialler",
    ):
        assert said in result.out


async def test_status_as_json_has_the_fields_by_name(admin: AdminGateway) -> None:
    show(admin)

    found = (await mesh("status", "--json", directory=admin.directory)).json

    assert found["lanes"][0] | {"lag_records": 1234, "lag_s": 0.4, "state": "running"} == found["lanes"][0]
    assert found["lanes"][1]["remedy"] == "subscribe anew"
    assert found["links"][0]["role"] == "dialler"
    assert found["exports"][0]["log_end"] == 8


async def test_watching_follows_changes_and_ends_cleanly_when_interrupted(admin: AdminGateway) -> None:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("MESH_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli.main", "--dir", str(admin.directory), "status", "--watch", "--json",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environ,
    )  # fmt: skip
    assert process.stdout is not None
    first = json.loads(await process.stdout.readline())
    show(admin)
    second = json.loads(await process.stdout.readline())
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()

    assert (len(first["lanes"]), len(second["lanes"])) == (0, 2)
    assert (process.returncode, err) == (0, b"")


def status(lanes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "organization": "acme.example", "gateway": "gw-1", "now_ms": 0, "lanes": lanes, "links": [], "exports": [],
        "warnings": [],
    }  # fmt: skip


def row(partition: int, **more: Any) -> dict[str, Any]:
    return {
        "lane": f"from-globex/departures/{partition}", "subscription": "from-globex", "topic": "departures",
        "partition": partition, "state": "running", "code": "", "reason": "", "remedy": "",
        "destination_topic": "globex.departures", "records": 1, "lag_records": 2, "lag_s": 1.0, "gaps": 0,
        "size_bytes": 2048,
    } | more  # fmt: skip


def test_what_changes_with_the_time_alone_is_no_change() -> None:
    first = status([row(0)])
    later = {**status([row(0, lag_s=9.0)]), "now_ms": 5000}
    moved = status([row(0, records=2)])
    warned = {**status([row(0)]), "warnings": [{"code": "source-stalled", "lanes": ["x"], "why": "", "remedy": ""}]}

    assert list(changes([first, later, moved, moved, warned])) == [first, moved, warned]


def test_records_a_second_are_those_between_two_looks() -> None:
    before = status([row(0, records=100), row(1, records=50)])
    after = {**status([row(0, records=350), row(1, records=10), row(2)]), "now_ms": 500}

    assert status_view.rates(before, after) == {"from-globex/departures/0": 500.0}  # the others began anew
    assert status_view.rates(after, after) == {}
    shown = status_view.render(after, 120, rates={"from-globex/departures/0": 500.0})
    text = printed(shown, 120)
    assert "records/s" in text
    assert " 500 " in text


def printed(shown: RenderableType, width: int) -> str:
    out = io.StringIO()
    Console(width=width, file=out).print(shown)
    return out.getvalue()


def text_of(found: dict[str, Any], width: int) -> str:
    return printed(status_view.render(found, width), width)


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    trouble = row(1, state="stopped", code="c", reason="because " * 30, remedy="do " * 40, lag_records=10**12)
    text = text_of(status([row(0), trouble]), width)

    assert max(map(len, text.splitlines())) <= width
    assert "because" in text


def test_many_lanes_are_summed_up_by_topic_with_the_worst_state() -> None:
    text = text_of(status([row(n, state="waiting" if n == 7 else "running") for n in range(60)]), 80)

    assert "from-globex/departures x60  waiting       60  120" in text


def test_lanes_that_share_a_reason_share_a_paragraph() -> None:
    lanes = [row(n, state="waiting", code="peer-unreachable", reason="no link", remedy="wait") for n in range(3)]

    text = text_of(status(lanes), 80)

    assert text.count("no link") == 1
    assert "waiting  from-globex/departures/0 and 2 more  peer-unreachable" in text


def test_no_name_can_move_the_cursor() -> None:
    text = text_of(status([row(0, reason="\x1b[2J\r", state="stopped", destination_topic="[red]")]), 120)

    assert "\x1b" not in text
    assert "\\x1b[2J\\r" in text
    assert "[red]" in text


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "-"), (0.04, "0.0 s"), (61, "61 s"), (300, "5 min"), (7300, "2.0 h"), (10**6, "11.6 d")],
)
def test_durations_read_like_durations(seconds: float | None, shown: str) -> None:
    assert status_view.duration(seconds) == shown


async def test_warnings_stand_below_the_lanes_with_their_remedies(admin: AdminGateway) -> None:
    stalled = {"source_position": 5, "stalled_records": 7, "stalled_s": 300.0}
    admin.lanes.found = [lane(0, LaneState.RUNNING, **stalled), lane(1, LaneState.RUNNING, retention_s=7200.0)]

    words = " ".join((await mesh("status", directory=admin.directory)).out.split())

    assert "retention-near" in words
    assert "reaches the lane's position in about 2 h" in words
    assert "has held back 7 offsets for 5 min" in words
    assert "kafka-transactions.sh find-hanging" in words
    assert words.index("retention-near") < words.index("source-stalled"), "what loses records comes first"
