"""The commands of first contact against an admin API whose desk has a real listener, and a partner in this process."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import mesh.trust.invite
from gateway.admin.server import create_app, start
from gateway.enrolment.desk import Acceptance, EnrolmentDesk
from gateway.health import Health
from gateway.ports_file import Ports, write_ports
from mesh.trust.enrolment import confirmation_phrase
from mesh.trust.words import spoken, words_of
from tests.support.control_cli import ControlGateway, control_gateway
from tests.support.enrolling import Side, running

GLOBEX = "globex.example"
PRIVATE = "--allow-private-addresses"


@dataclass
class Meeting:
    """`acme` is the gateway that commands are typed at, `desk` its desk; `globex` the partner."""

    acme: ControlGateway
    desk: EnrolmentDesk
    globex: Side
    file: Path

    async def invite(self) -> tuple[str, str]:
        """The file's text and the words."""
        said = await self.acme.done("peer", "invite", "--expect-domain", GLOBEX, "-o", str(self.file), "--json")
        return self.file.read_text(), str(said.json["words"])


@pytest.fixture
async def meeting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Meeting]:
    """The desk of the admin API is that of a `Side` of acme.example; its registry is the one that commands see."""
    monkeypatch.setattr(mesh.trust.invite, "SCRYPT_N", 1 << 4)
    async with AsyncExitStack() as stack:
        stack.enter_context(capture_logs())  # its lines would stand in the commands' own output
        acme = await stack.enter_async_context(control_gateway(tmp_path))
        registry = acme.admin.services.registry
        side, globex = await Side.open("acme.example", registry=registry), await Side.open(GLOBEX)
        await stack.enter_async_context(running(side, globex))
        services = replace(acme.admin.services, enrolment=side.desk)
        app = create_app(services, Health(), acme.admin.token)
        listening = await start(app, "127.0.0.1", 0)
        stack.push_async_callback(listening.close)
        write_ports(acme.admin.services.config.state_dir, Ports(listening.address))
        yield Meeting(acme, side.desk, globex, tmp_path / "globex.invite.json")


async def test_inviting_writes_a_file_and_shows_the_words_once(meeting: Meeting) -> None:
    said = await meeting.acme.done("peer", "invite", "--expect-domain", GLOBEX, "-o", str(meeting.file))
    words = next(line.removeprefix("words: ") for line in said.out.splitlines() if line.startswith("words: "))
    assert len(words.split()) == 6
    assert words not in meeting.file.read_text()
    assert "cannot reach a private address" in said.err
    listed = await meeting.acme.done("peer", "invites")
    assert GLOBEX in listed.out
    assert "open" in listed.out
    assert words not in listed.out


async def test_a_file_that_exists_is_not_overwritten_and_no_invite_is_made(meeting: Meeting) -> None:
    meeting.file.write_text("precious")
    said = await meeting.acme.mesh("peer", "invite", "--expect-domain", GLOBEX, "-o", str(meeting.file))
    assert (said.code, meeting.file.read_text()) == (1, "precious")
    assert meeting.acme.admin.services.registry.invites == {}


async def test_the_whole_way_by_commands(meeting: Meeting) -> None:
    text, words = await meeting.invite()
    theirs = await meeting.globex.desk.accept(Acceptance(text, words))
    phrase = spoken(confirmation_phrase(bytes.fromhex(theirs.transcript)))
    shown = await meeting.acme.done("peer", "show", GLOBEX)
    assert f"phrase: {phrase}" in shown.out
    await meeting.acme.refused("phrase-wrong", "peer", "approve", GLOBEX, "--phrase", spoken(words_of(b"any other")))
    await meeting.acme.refused("words-malformed", "peer", "approve", GLOBEX, "--phrase", "one two")
    said = await meeting.acme.done("peer", "approve", GLOBEX, stdin=f"{phrase.upper()}\n")
    assert said.out.endswith("it is active as soon as both sides have approved and met\n")
    assert (await meeting.acme.done("peer", "show", GLOBEX, "--json")).json["approved"] is True


async def test_accepting_by_command(meeting: Meeting, tmp_path: Path) -> None:
    made = await meeting.globex.invites("acme.example")
    meeting.file.write_text(made.text)
    words = tmp_path / "words"
    words.write_text(spoken(made.words) + "\n")
    await meeting.acme.done("peer", "accept", str(meeting.file), "--words-file", str(words), PRIVATE)
    assert (await meeting.acme.done("peer", "reject", GLOBEX)).out == f"rejected {GLOBEX}: it is forgotten here\n"
    await meeting.acme.refused("peer-absent", "peer", "reject", GLOBEX)


async def test_words_never_come_back_in_a_refusal(meeting: Meeting) -> None:
    made = await meeting.globex.invites("acme.example")
    meeting.file.write_text(made.text)
    secret = spoken(made.words)
    wrong = " ".join([*made.words[:5], "abacus"])
    for given, code in ((wrong, "invite-unfit"), (secret[:-1], "words-malformed"), (secret * 2, "words-malformed")):
        said = await meeting.acme.refused(code, "peer", "accept", str(meeting.file), "--words-file", "-", stdin=given)
        assert not any(f" {word} " in f" {said} " for word in made.words)


async def test_private_addresses_need_the_operators_word(meeting: Meeting) -> None:
    meeting.desk.allow_private = False
    made = await meeting.globex.invites("acme.example")
    meeting.file.write_text(made.text)
    arguments = ("peer", "accept", str(meeting.file), "--words-file", "-")
    await meeting.acme.refused("address-not-public", *arguments, stdin=spoken(made.words))
    await meeting.acme.done(*arguments, PRIVATE, stdin=spoken(made.words))


async def test_an_invite_is_withdrawn(meeting: Meeting) -> None:
    _, _ = await meeting.invite()
    (invite,) = (await meeting.acme.done("peer", "invites", "--json")).json
    (withdrawn,) = (await meeting.acme.done("peer", "invites", "--withdraw", invite["id"], "--json")).json
    assert withdrawn["state"] == "withdrawn"
    await meeting.acme.refused("invite-absent", "peer", "invites", "--withdraw", "f" * 32)


@pytest.mark.parametrize("ttl", ["", "h", "1w", "-1h", "1.5h"])
async def test_a_time_that_is_none_is_wrong_usage(meeting: Meeting, ttl: str) -> None:
    said = await meeting.acme.mesh("peer", "invite", "--expect-domain", GLOBEX, "-o", str(meeting.file), f"--ttl={ttl}")
    assert said.code == 2


@pytest.mark.parametrize("domain", ["Globex.example", "gl\u043ebex.example", "globex.example\n", "../x", ""])
async def test_a_domain_that_looks_like_another_is_refused(meeting: Meeting, domain: str) -> None:
    said = await meeting.acme.refused(
        "illegal-name", "peer", "invite", "--expect-domain", domain, "-o", str(meeting.file)
    )
    assert said.isprintable()


async def test_what_strangers_made_stays_out_of_the_audit_log(meeting: Meeting) -> None:
    text, words = await meeting.invite()
    await meeting.globex.desk.accept(Acceptance(text, words))
    log = meeting.acme.admin.services.audit.log
    lines = await log.read(0, 100)
    actions = [json.loads(line)["action"] for line in lines]
    assert actions[:3] == ["invite.created", "peer.added", "invite.used"]
    assert all(words.encode() not in line for line in lines)


async def test_without_a_desk_an_invite_is_refused_with_its_remedy(tmp_path: Path) -> None:
    async with control_gateway(tmp_path) as acme:
        await acme.refused(
            "enrolment-closed", "peer", "invite", "--expect-domain", GLOBEX, "-o", str(tmp_path / "file")
        )
