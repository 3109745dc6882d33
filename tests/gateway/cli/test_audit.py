"""`mesh audit`: listing, verifying, exporting, and a file that was changed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.control_cli import ControlGateway, control_gateway


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[ControlGateway]:
    async with control_gateway(tmp_path) as running:
        await running.add_peer("globex.example")
        await running.done("peer", "suspend", "globex.example")
        await running.done("topic", "create", "departures")
        await running.done("share", "create", "flights", "--topic", "departures")
        yield running


async def test_the_entries_say_who_did_what(gateway: ControlGateway) -> None:
    said = await gateway.done("audit", "list", "--json")
    entries = [json.loads(line) for line in said.out.splitlines()]
    assert [(entry["actor"], entry["action"], entry["object"]) for entry in entries] == [
        ("operator", "peer.added", "globex.example"),
        ("operator", "peer.suspended", "globex.example"),
        ("operator", "share.created", "flights"),
    ]
    only = await gateway.done("audit", "list", "--action", "peer")
    assert "peer.suspended" in only.out
    assert "share.created" not in only.out
    assert "no entries" in (await gateway.done("audit", "list", "--since", "2999-01-01T00:00:00Z")).out


async def test_an_untouched_log_verifies_here_and_as_a_file(gateway: ControlGateway) -> None:
    assert "verified: 3 entries, 0 signed heads" in (await gateway.done("audit", "verify")).out
    file = gateway.directory / "audit.jsonl"
    assert "wrote 4 entries" in (await gateway.done("audit", "export", "--output", str(file))).out
    certificate = str(gateway.directory / "keys" / "ca.pem")
    for options in ([], ["--certificate", certificate]):
        said = await gateway.done("audit", "verify", str(file), *options)
        assert "verified: 4 entries, 1 signed heads" in said.out
        assert "signed by spiffe://acme.example/gateway/one" in said.out


async def test_a_changed_file_is_refused_with_its_first_bad_entry(gateway: ControlGateway) -> None:
    file = gateway.directory / "audit.jsonl"
    await gateway.done("audit", "export", "-o", str(file))
    text = file.read_bytes()
    file.write_bytes(text.replace(b"peer.suspended", b"peer.resumed"))
    assert "broken at entry 1" in await gateway.refused("audit-broken", "audit", "verify", str(file))
    lines = text.splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    assert "broken at entry 2" in await gateway.refused("audit-broken", "audit", "verify", str(file))


async def test_an_export_is_not_verified_by_another_organizations_certificate(gateway: ControlGateway) -> None:
    from certs.store import write_certificates
    from tests.support.admin import authority

    file, other = gateway.directory / "audit.jsonl", gateway.directory / "other.pem"
    await gateway.done("audit", "export", "-o", str(file))
    write_certificates(other, [authority("globex.example").certificate])
    await gateway.refused("audit-broken", "audit", "verify", str(file), "--certificate", str(other))


async def test_files_that_are_not_there(gateway: ControlGateway) -> None:
    await_file = str(gateway.directory / "absent" / "audit.jsonl")
    said = await gateway.mesh("audit", "verify", await_file)
    assert (said.code, "cannot read" in said.err) == (1, True)
    said = await gateway.mesh("audit", "export", "-o", await_file)
    assert (said.code, "cannot write" in said.err) == (1, True)
