"""Two organizations meet for the first time: invite, accept, compare, approve, and only then exchange anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.organization import Organization, stop_all, wait_for
from tests.support.ports import free_ports

pytestmark = pytest.mark.slow

FAST = ("timing.reconnect_initial_s=0.05", "timing.reconnect_max_s=0.2")


def organization(home: Path, org: str) -> Organization:
    made = Organization.init(home, org)
    made.settings = (*FAST, f"listen.enrolment=127.0.0.1:{free_ports(1)[0]}")
    return made


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Organization, Organization]]:
    acme, globex = organization(tmp_path / "acme", "acme.example"), organization(tmp_path / "globex", "globex.example")
    with stop_all(acme, globex):
        acme.start()
        globex.start()
        yield acme, globex


def invite(acme: Organization, file: Path, *options: str) -> str:
    """The words."""
    made = acme.mesh(
        "peer", "invite", "--expect-domain", "globex.example", "--output", str(file), "--json",
        "--allow-private-addresses", *options,
    ).json  # fmt: skip
    return str(made["words"])


def accept(globex: Organization, file: Path, words: str, *options: str) -> dict[str, object]:
    found: dict[str, object] = globex.mesh(
        "peer", "accept", str(file), "--words-file", "-", "--allow-private-addresses", "--json", *options,
        stdin=words.encode(),
    ).json  # fmt: skip
    return found


def peer(of: Organization, org: str) -> dict[str, object]:
    found: dict[str, object] = of.mesh("peer", "show", org, "--json").json
    return found


def both_active(acme: Organization, globex: Organization) -> bool:
    return peer(acme, globex.org)["state"] == "active" and peer(globex, acme.org)["state"] == "active"


def test_two_organizations_meet_and_only_then_exchange(pair: tuple[Organization, Organization], tmp_path: Path) -> None:
    acme, globex = pair
    file = tmp_path / "globex.invite.json"

    # 1. acme invites: a file, and six words that are not in it.
    words = invite(acme, file)
    written = set(file.read_text().replace('"', " ").split())
    assert len(written & set(words.split())) < 3  # one may by chance be the name of a field

    # 2. globex accepts: pending on both sides, with one phrase, and nothing goes over any link.
    accepted = accept(globex, file, words)
    waiting = peer(acme, "globex.example")
    assert (accepted["state"], waiting["state"]) == ("pending", "pending")
    assert accepted["phrase"] == waiting["phrase"]
    acme.mesh("share", "create", "flights", "--topic", _topic(acme))
    assert acme.refuses("grant", "create", "flights", "--to", globex.org).code == "peer-not-active"
    assert acme.refuses("peer", "resume", globex.org).code == "peer-pending"

    # 3. One side approves: still no link, for the other has not.
    acme.mesh("peer", "approve", globex.org, "--phrase", str(accepted["phrase"]))
    assert globex.refuses("catalog", "--peer", acme.org).code == "peer-not-active"
    assert peer(acme, globex.org)["state"] == "pending"

    # 4. The other approves with the words it was read: both meet, and are active.
    globex.mesh("peer", "approve", acme.org, stdin=f"{waiting['phrase']}\n".encode())
    wait_for("both to be active", lambda: both_active(acme, globex))

    # 5. A grant is what gives data.
    assert globex.mesh("catalog", "--peer", acme.org, "--json").json == []
    acme.mesh("grant", "create", "flights", "--to", globex.org)
    assert globex.mesh("catalog", "--peer", acme.org, "--json").json[0]["name"] == "flights"

    # 6. The invite is used, and its listener closed.
    (used,) = acme.mesh("peer", "invites", "--json").json
    assert used["state"] == "used"
    wait_for(
        "the listener to close", lambda: json.loads((acme.home / "state" / "ports.json").read_text())["enrolment"] == ""
    )

    # 7. The words are in no log and no file of either side.
    for each in (acme, globex):
        assert not [path for path, content in each.files() if words.encode() in content]


def _topic(acme: Organization) -> str:
    acme.mesh("topic", "create", "departures")
    return "departures"


def test_an_open_invite_survives_a_kill_of_the_inviter(pair: tuple[Organization, Organization], tmp_path: Path) -> None:
    acme, globex = pair
    file = tmp_path / "invite.json"
    words = invite(acme, file)
    acme.kill()
    acme.start()
    accepted = accept(globex, file, words)
    acme.kill()
    acme.start()
    assert peer(acme, globex.org)["phrase"] == accepted["phrase"]
    refused = globex.try_mesh("peer", "reject", acme.org)
    assert refused.code == 0, refused.err
    again = globex.try_mesh(
        "peer", "accept", str(file), "--words-file", "-", "--allow-private-addresses", stdin=words.encode()
    )
    assert again.code == 1
    assert "code: enrolment-" in again.err


def test_known_fingerprints_stand_for_the_comparison(pair: tuple[Organization, Organization], tmp_path: Path) -> None:
    acme, globex = pair
    fingerprints = {each.org: each.mesh("peer", "export", "--json").json["fingerprint"] for each in pair}
    file = tmp_path / "invite.json"
    words = invite(acme, file, "--expect-fingerprint", fingerprints[globex.org])
    accept(globex, file, words, "--expect-fingerprint", fingerprints[acme.org])
    wait_for("both to be active", lambda: both_active(acme, globex))


def test_a_gateway_stops_in_good_order_with_an_invite_open_and_while_one_closes(
    pair: tuple[Organization, Organization], tmp_path: Path
) -> None:
    acme, globex = pair
    words = invite(acme, tmp_path / "first.json")
    assert acme.stop() == 0
    acme.start()
    accept(globex, tmp_path / "first.json", words)
    assert acme.stop() == 0
    assert globex.stop() == 0
