"""Threat 13: what a partner calls things, and says of errors, stays one readable line: in logs, audit and terminal."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from gateway import logs
from gateway.cli import output, status_view
from gateway.cli.output import tame_json
from gateway.cli.topics import tamed_lines
from gateway.peer import Peer
from gateway.peers.errors import PeerRefusedRequest
from gateway.services import LinkStatus
from gateway.topics.lines import format_record
from mesh.ids import LaneId, OrgId, SubscriptionName, TopicName
from mesh.lanes.status import LaneState, LaneStatus
from mesh.link.errors import LaneEnded
from mesh.wire.v1 import catalog_pb2
from tests.support.admin import AdminGateway, FakeLinks, admin_gateway
from tests.support.cli import CliResult, mesh
from tests.support.trust import organization

GLOBEX = organization("globex.example")
PARTS = {
    "a line": "x\r\n2026-01-01 info forged=true",
    "a line of Unicode": "x\u2028forged\u2029\x85forged",
    "a terminal's": "\x1b[2J\x1b]0;title\x07\x1b[31mred",
    "a terminal's in one byte": "\x9b2J\x9d0;title\x9c",
    "back over it": "error\x08\x08\x08\x08\x08fine\x7f",
    "JSON": '","level":"info","event":"forged","x":{"',
    "the other way": "\u202eelif\u202c\u2066x\u2069\u200f\u200b\ufeff",
    "markup": "[bold red]x[/][link=http://evil.example]y[/link]",
    "half a pair": "\udcff",
    "much": "y" * 100_000,
}
HOSTILE = "".join(text for kind, text in PARTS.items() if kind not in {"much", "half a pair"})

pytestmark = pytest.mark.usefixtures("restored_logs")


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize("kind", PARTS)
def test_an_event_is_one_line_whatever_is_in_it(style: str, kind: str) -> None:
    text, stream = PARTS[kind], io.StringIO()
    logs.configure("info", style, stream)
    error = LaneEnded(text, text, True, None)
    structlog.get_logger().warning("lane ended", peer=text, code=error.ended_code, reason=str(error))
    structlog.get_logger().warning(text)
    logging.getLogger("library").warning("it said %s", text)

    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert all(line.isprintable() and len(line) < 8192 for line in lines)
    if style == "json":
        assert [json.loads(line)["level"] for line in lines] == ["warning"] * 3


def test_a_name_has_no_words_of_its_own_on_a_console() -> None:
    """A field that ends early would let its rest pass for other fields."""
    stream = io.StringIO()
    logs.configure("info", "console", stream)
    structlog.get_logger().warning("link ended", reason="x' level='info", peer="acme.example")
    (line,) = stream.getvalue().splitlines()
    assert """reason="x' level='info" peer='acme.example'""" in line


class Refusing(FakeLinks):
    async def catalog(self, peer: OrgId) -> catalog_pb2.CatalogReply:
        raise PeerRefusedRequest(peer, HOSTILE, HOSTILE)


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[AdminGateway]:
    """Of a partner that says such things wherever it may say something."""
    async with admin_gateway(tmp_path) as running:
        await running.services.registry.add_peer(Peer(GLOBEX.bundle))
        topic = catalog_pb2.CatalogTopic(name=HOSTILE, partitions=1, config={HOSTILE: HOSTILE})
        running.links.catalogs[GLOBEX.org] = catalog_pb2.CatalogReply(
            shares=[catalog_pb2.CatalogShare(name=HOSTILE, topics=[topic])]
        )
        running.links.found = [LinkStatus(GLOBEX.org, HOSTILE, "dialler", 1, "127.0.0.1:1", version=HOSTILE)]
        lane = LaneId(SubscriptionName("copies"), TopicName("t"), 0)
        ended = LaneEnded(HOSTILE, HOSTILE, False, None)
        running.lanes.found = [
            LaneStatus(lane, GLOBEX.org, "t", LaneState.STOPPED, ended.code, str(ended), ended.remedy, gateway=HOSTILE)
        ]
        yield running


def shown(said: CliResult) -> list[str]:
    """Its lines, none of which holds what could move a cursor."""
    lines = (said.out + said.err).split("\n")
    assert all(line.isprintable() for line in lines), said
    assert "forged" in said.out + said.err
    return lines


@pytest.mark.parametrize("words", [("catalog", "--peer", GLOBEX.org), ("status",), ("peer", "show", GLOBEX.org)])
@pytest.mark.parametrize("form", [(), ("--json",)])
async def test_a_terminal_shows_it_as_text(admin: AdminGateway, words: tuple[str, ...], form: tuple[str, ...]) -> None:
    said = await mesh(*words, *form, directory=admin.directory)
    assert said.code == 0, said
    if words[0] != "peer":
        shown(said)
    if form and words[0] == "catalog":
        assert said.json[0]["name"] == HOSTILE  # escaped is not changed


async def test_a_refusal_is_three_lines(admin: AdminGateway) -> None:
    admin.services.links.__class__ = Refusing
    said = await mesh("catalog", "--peer", GLOBEX.org, directory=admin.directory)
    assert said.code == 1
    assert [line.partition(":")[0] for line in shown(said)] == ["error", "remedy", "code", ""]


def test_every_line_for_people_goes_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    for say in (output.say, output.note, output.fail):
        say(HOSTILE)
    output.emit({HOSTILE: HOSTILE}, as_json=False)
    output.table([{"a": HOSTILE}], ["a"])
    out, err = capsys.readouterr()
    assert all(line.isprintable() for line in (out + err).split("\n"))


def test_records_on_a_terminal_keep_their_lines() -> None:
    block = b"".join(format_record(0, at, 1, HOSTILE.encode(), b"\x9b\xff", ()) + b"\n" for at in range(3))
    found = tamed_lines(block).decode().split("\n")
    assert [line.isprintable() for line in found] == [True] * 4
    assert [json.loads(line)["key"] for line in found[:3]] == [HOSTILE] * 3
    assert tame_json('"Grüße 👋"\n') == '"Grüße 👋"\n'


async def test_audit_is_a_line_an_entry(admin: AdminGateway) -> None:
    await admin.services.audit.record("peer.refused", HOSTILE, "refused", actor=f"peer:{HOSTILE}", reason=HOSTILE)
    for words in (("audit", "list"), ("audit", "list", "--json")):
        said = await mesh(*words, directory=admin.directory)
        assert all(line.isprintable() for line in said.out.split("\n"))
    entries = [json.loads(line) for line in said.out.splitlines()]
    assert entries[-1]["object"] == HOSTILE
    exported = admin.directory / "audit.ndjson"
    await mesh("audit", "export", "--output", str(exported), directory=admin.directory)
    assert all(line.isprintable() for line in exported.read_text().split("\n"))
    assert HOSTILE in [json.loads(line)["object"] for line in exported.read_text().splitlines()]


def test_a_status_on_the_screen_is_tamed_too() -> None:
    rows = [{"peer": HOSTILE, "gateway": HOSTILE, "role": "dialler", "address": HOSTILE, "since_ms": 0}]
    stream = io.StringIO()
    console = output.console()
    console.file = stream
    console.print(status_view.link_table(rows, 1))
    assert all(line.isprintable() for line in stream.getvalue().split("\n"))
