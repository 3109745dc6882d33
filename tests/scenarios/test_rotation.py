"""A CA is rotated by docs/how-to/rotate-a-ca.md, on two real gateways; then again, under kills at random moments."""

from __future__ import annotations

import re
import time
from pathlib import Path
from random import Random

import pytest

from tests.support.organization import Organization, stop_all, wait_for

PAGE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "rotate-a-ca.md"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.alone]


def commands() -> list[str]:
    """Every command of the page, in its order, without its comments."""
    return [line.partition("#")[0].strip() for line in re.findall(r"^    (mesh .*)$", PAGE.read_text(), re.M)]


def pair_up(home: Path) -> tuple[Organization, Organization]:
    acme = Organization.init(home / "acme", "acme.example")
    globex = Organization.init(home / "globex", "globex.example")
    acme.start()
    globex.start()
    acme.pair(globex)
    acme.mesh("topic", "create", "departures")
    acme.share("flights", globex, "departures")
    globex.mesh("subscribe", "acme.example/flights", "--topic", "departures=acme.departures", "--from", "earliest")
    return acme, globex


def mirror(acme: Organization, globex: Organization, records: int) -> None:
    """So many more, and both logs are the same afterwards."""
    before = copied(globex)
    acme.append("departures", ({"key": str(number), "value": number} for number in range(records)))
    wait_for("the copy", lambda: copied(globex) == before + records)
    globex.mesh("verify", "flights")


def copied(globex: Organization) -> int:
    return sum(lane["records"] for lane in globex.lanes())


def phase(acme: Organization) -> str:
    rotation = acme.mesh("certs", "rotate-ca", "--json").json
    return str(rotation["phase"]) if rotation else ""


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    acme, globex = pair_up(tmp_path)
    with stop_all(acme, globex):
        mirror(acme, globex, 50)
        status, plan, start, show, without, export, repin, emergency, leaf = commands()

        for command in (status, plan, start, show):
            acme.mesh(*command.split()[1:])
        wait_for("switched", lambda: phase(acme) == "switched")
        mirror(acme, globex, 50)
        assert acme.refuses(*without.split()[1:]).code == "peer-not-lagging"
        acme.mesh(*leaf.split()[1:])
        mirror(acme, globex, 50)

        file = tmp_path / "acme.json"
        said = acme.mesh(*export.replace("acme.json", str(file)).split()[1:])
        fingerprint = said.err.split("fingerprint ")[1].split()[0]
        words = repin.replace("acme.json", str(file)).replace("sha256:…", fingerprint).split()[1:]
        globex.mesh(*words)
        assert acme.refuses(*emergency.split()[1:]).code == "rotation-under-way"
        mirror(acme, globex, 50)
        actions = [entry["action"] for entry in acme.mesh("audit", "list", "--json").lines]
        assert [action for action in actions if action.startswith("rotation.")] == [
            f"rotation.{step}" for step in ("prepared", "published", "adopted", "switched")
        ]


def test_a_rotation_survives_kills_at_random_moments(tmp_path: Path) -> None:
    random = Random(7)
    acme, globex = pair_up(tmp_path)
    with stop_all(acme, globex):
        mirror(acme, globex, 20)
        acme.mesh("certs", "rotate-ca", "--start")
        for victim in (acme, globex, acme):
            time.sleep(random.random() * 0.1)  # the moment of the kill is what is tried out
            victim.kill()
            victim.start()
        wait_for("switched", lambda: phase(acme) == "switched")
        mirror(acme, globex, 20)
