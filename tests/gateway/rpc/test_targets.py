"""Where a partner's word may lead: every address that its name resolves to is checked, and only that is dialled."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gateway.rpc.targets import checked_targets, dial_target
from mesh.link.errors import LinkLost
from mesh.trust.addresses import is_public_ip
from mesh.trust.enrolment_errors import AddressNotPublic

PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "2002:7f00:1::",
    "64:ff9b::10.0.0.1",
    "not an address",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_and_disguised_addresses_are_not_public(address: str) -> None:
    assert not is_public_ip(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_public_addresses_are(address: str) -> None:
    assert is_public_ip(address)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "localhost:1", "2130706433:1", "0x7f000001:1", "[::1]:1", "0:1"])
async def test_every_way_to_write_this_machine_is_refused(address: str) -> None:
    with pytest.raises(AddressNotPublic):
        await checked_targets(address, allow_private=False)


async def test_what_is_dialled_is_the_checked_address() -> None:
    assert await checked_targets("127.0.0.1:7463", allow_private=True) == ["ipv4:127.0.0.1:7463"]
    assert await checked_targets("[::1]:7463", allow_private=True) == ["ipv6:[::1]:7463"]


class Resolver:
    """Answers each question as a test says, the last answer for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def getaddrinfo(self, host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [(socket.AF_INET6 if ":" in each else socket.AF_INET, 0, 0, "", (each, port)) for each in found]


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", Resolver(*answers).getaddrinfo, raising=False)


async def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["8.8.8.8", "169.254.169.254"])
    with pytest.raises(AddressNotPublic, match=r"169\.254\.169\.254"):
        await checked_targets("rebind.example:80", allow_private=False)


async def test_a_name_that_resolves_differently_later_leads_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is asked once: what is handed on is an address, so the second answer is never used."""
    resolving(monkeypatch, ["8.8.8.8"], ["127.0.0.1"])
    assert await dial_target("rebind.example:80") == "ipv4:8.8.8.8:80"


async def test_a_name_that_does_not_resolve_is_a_failed_link(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", fails, raising=False)
    with pytest.raises(LinkLost, match="does not resolve"):
        await dial_target("nowhere.example:80")
