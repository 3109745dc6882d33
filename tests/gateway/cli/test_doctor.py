"""`mesh doctor` at the command line: asked of a gateway, and from here."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.doctor.used_topics import used_topics
from tests.support.admin import AdminGateway
from tests.support.cli import mesh, run


async def test_a_running_gateway_is_asked(admin: AdminGateway) -> None:
    for arguments in (("topic", "create", "departures"), ("share", "create", "flights", "--topic", "departures")):
        assert (await mesh(*arguments, directory=admin.directory)).code == 0
    assert [each.name for each in await used_topics(admin.services)] == ["departures"]
    said = await mesh("doctor", directory=admin.directory)
    assert said.code == 0, said.out
    assert "lock: held by this gateway" in said.out
    assert said.out.splitlines()[-1].endswith(" checks")


async def test_the_findings_are_there_as_json(admin: AdminGateway) -> None:
    said = await mesh("doctor", "--probe-append", "--json", directory=admin.directory)
    found = json.loads(said.out)
    assert found["ok"] is True
    assert {"check", "level", "found", "follows", "remedy"} == set(found["findings"][0])
    assert any(each["check"] == "append" for each in found["findings"])


def test_without_a_gateway_it_looks_from_here_and_says_why_none_starts(tmp_path: Path) -> None:
    assert run(["init", "--org", "acme.example", "--dir", str(tmp_path), "--kafka", "127.0.0.1:1"]).code == 0
    beside = run(["--dir", str(tmp_path), "doctor"])
    assert beside.code == 1
    assert "no gateway runs" in beside.err
    assert "FAIL  bootstrap at 127.0.0.1:1: " in beside.out
    alone = run(["doctor", "--config", str(tmp_path / "mesh.toml"), "--json"])
    assert alone.code == 1
    assert alone.json["fails"] == 1
