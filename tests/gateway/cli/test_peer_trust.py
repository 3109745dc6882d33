"""`mesh peer why`, `deny`, `revoke-leaves`, `doctor`, and `mesh drill revoke`, against a real admin API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.peers.sight import Presented
from gateway.services import DialFailure, LinkStatus, PeerSight
from mesh.ids import GatewayName, OrgId
from mesh.shares import PeerState
from mesh.trust.leaf import key_hash
from mesh.trust.pem import to_der, to_pem
from tests.support.admin import authority, now_ms
from tests.support.control_cli import ControlGateway, control_gateway, peer_file

GLOBEX = OrgId("globex.example")
LINK = LinkStatus(GLOBEX, "spiffe://globex.example/gateway/one", "dialler", 0, "127.0.0.1:9", version="1.0")


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[ControlGateway]:
    async with control_gateway(tmp_path) as running:
        await running.add_peer(GLOBEX)
        yield running


def leaf(org: str = GLOBEX) -> bytes:
    return to_der(authority(org).issue(GatewayName("one"), datetime.now(UTC)).certificate)


async def test_why_shows_each_step_for_a_pasted_certificate(gateway: ControlGateway, tmp_path: Path) -> None:
    certificate = authority(GLOBEX).issue(GatewayName("one"), datetime.now(UTC)).certificate
    path = tmp_path / "leaf.pem"
    path.write_text(to_pem([certificate]))
    said = await gateway.done("peer", "why", str(path))
    assert "yes  exactly one URI SAN, a well-formed gateway id: spiffe://globex.example/gateway/one" in said.out
    assert said.out.splitlines()[-1] == "accepted"
    await gateway.done("peer", "deny", GLOBEX, "--key-hash", key_hash(certificate))
    said = await gateway.mesh("peer", "why", str(path))
    assert (said.code, said.out.splitlines()[-1]) == (1, "refused: denied")
    assert "NO   not on the deny list" in said.out
    found = (await gateway.mesh("peer", "why", str(path), "--json")).json
    assert (found["org"], found["leaves"][0]["reason"]) == (GLOBEX, "denied")


async def test_why_tells_what_a_live_peer_presented_and_what_its_grants_say(gateway: ControlGateway) -> None:
    await gateway.done("topic", "create", "departures")
    await gateway.done("share", "create", "flights", "--topic", "departures")
    await gateway.done("grant", "create", "flights", "--to", GLOBEX)
    leaves = [Presented(leaf(), now_ms()), Presented(leaf("initech.example"), 5000, "unknown-domain")]
    gateway.admin.links.sights[GLOBEX] = PeerSight(leaves=leaves)
    said = await gateway.done("peer", "why", GLOBEX)
    assert "accepted then" in said.out
    assert "presented at 1970-01-01 00:00:05Z, refused (unknown-domain) then" in said.out
    assert "globex.example sees share flights: allowed" in said.out
    assert "grant flights@globex.example is active" in said.out


async def test_why_needs_something_to_explain(gateway: ControlGateway) -> None:
    await gateway.refused("leaf-absent", "peer", "why", GLOBEX)
    await gateway.refused("peer-absent", "peer", "why", "nobody.example")


async def test_a_certificate_that_is_none_is_explained_too(gateway: ControlGateway, tmp_path: Path) -> None:
    path = tmp_path / "leaf.pem"
    path.write_text("not a certificate")
    said = await gateway.mesh("peer", "why", str(path), "--json")
    assert (said.code, said.json["leaves"][0]["reason"], said.json["org"]) == (1, "malformed-certificate", "")


async def test_older_certificates_are_declared_dead_up_to_now_and_no_further(gateway: ControlGateway) -> None:
    said = await gateway.done("peer", "revoke-leaves", GLOBEX, "--before", "2026-01-01T00:00Z")
    assert said.out == f"{GLOBEX}: certificates from before 2026-01-01 00:00:00Z are dead\n"
    begun_ms = now_ms()
    future = (await gateway.done("peer", "revoke-leaves", GLOBEX, "--before", "2126-01-01", "--json")).json
    assert begun_ms <= future["revoked_before_ms"] <= now_ms()
    earlier = (await gateway.done("peer", "revoke-leaves", GLOBEX, "--before", "2025-01-01", "--json")).json
    assert earlier["revoked_before_ms"] == future["revoked_before_ms"]
    later = (await gateway.done("peer", "revoke-leaves", GLOBEX, "--before", "now", "--json")).json
    assert later["revoked_before_ms"] >= future["revoked_before_ms"]
    await gateway.refused("time-refused", "peer", "revoke-leaves", GLOBEX, "--before", "yesterday")


async def test_a_key_hash_has_one_form(gateway: ControlGateway) -> None:
    for wrong in ("abc", "AB" * 32, "zz" * 32):
        await gateway.refused("key-hash-refused", "peer", "deny", GLOBEX, "--key-hash", wrong)
    await gateway.done("peer", "deny", GLOBEX, "--key-hash", "ab" * 32)
    assert "ab" * 32 in (await gateway.done("peer", "show", GLOBEX)).out


async def test_show_lists_live_links_with_age_end_and_lanes(gateway: ControlGateway) -> None:
    link = replace(LINK, since_ms=now_ms() - 90_000, leaf_end_ms=4_000_000_000_000, exports=2, imports=1)
    gateway.admin.links.found = [link]
    down = (DialFailure("other.globex.example:9", "peer-unreachable", "connection refused"),)
    gateway.admin.links.sights[GLOBEX] = PeerSight("two certificates have one key", down, is_linked=True)
    said = await gateway.done("peer", "show", GLOBEX)
    told = "other.globex.example:9 is down: connection refused (peer-unreachable)"
    for part in ("0:01:3", "2096-10-02", "2 out, 1 in", "two certificates have one key", told):
        assert part in said.out
    shown = (await gateway.done("peer", "show", GLOBEX, "--json")).json
    assert (shown["failure"], [each["address"] for each in shown["down"]]) == (None, ["other.globex.example:9"])
    assert "bundle refused" in (await gateway.done("peer", "list")).out


async def test_revoking_is_answered_when_nothing_is_under_way(gateway: ControlGateway) -> None:
    await gateway.done("peer", "revoke", GLOBEX)
    assert gateway.admin.links.asked_to_stop == [GLOBEX]
    assert gateway.admin.lanes.asked_to_stop == [GLOBEX]
    await gateway.refused("peer-revoked", "peer", "resume", GLOBEX)


async def test_a_cluster_that_does_not_answer_makes_the_command_say_so(
    gateway: ControlGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.admin.peers.SETTLE_S", -29.9)
    gateway.admin.lanes.stops.clear()
    said = await gateway.refused("peer-still-busy", "peer", "suspend", GLOBEX)
    assert "nothing new is taken" in said
    assert gateway.admin.services.registry.peer(GLOBEX).state is PeerState.SUSPENDED


async def test_the_doctor_says_one_line_a_hop_and_the_finding_last(gateway: ControlGateway) -> None:
    await gateway.done("peer", "add", "-", "--address", "nowhere.invalid:1", stdin=_file("hooli.example"))
    said = await gateway.mesh("peer", "doctor", "hooli.example")
    lines = said.out.splitlines()
    assert said.code == 1
    assert lines[0] == "ok    state: the peer is active"
    assert any(line.startswith("FAIL  name nowhere.invalid: it does not resolve") for line in lines)
    assert lines[-1].startswith("name nowhere.invalid: it does not resolve")
    found = (await gateway.mesh("peer", "doctor", "hooli.example", "--json")).json
    assert found["failed"][0] == "name nowhere.invalid"
    await gateway.refused("peer-absent", "peer", "doctor", "nobody.example")


async def test_a_drill_needs_a_grant(gateway: ControlGateway) -> None:
    await gateway.refused("grant-absent", "drill", "revoke", "flights@globex.example")


def _file(org: str) -> str:
    return peer_file(org).to_json()
