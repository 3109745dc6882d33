"""A leaf declared dead by its owner: told over the links, believed for the owner's own domain only."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.peers.denials import Denials, DisownedUnusable, KeyInUse
from gateway.peers.errors import PeerRefusedRequest
from mesh.shares import PeerState
from mesh.trust.denial import Denial, DenialRefused, accept_denial, denial_digest
from mesh.trust.errors import LeafRefused, ProofRefused
from mesh.trust.leaf import key_hash
from mesh.trust.pem import to_der
from mesh.wire.v1 import trust_pb2 as pb
from tests.support.hubs import Gateway, made, two, until
from tests.support.trust import NOW, Organization, organization

STOLEN = "ab" * 32


def denials(gateway: Gateway, directory: Path) -> Denials:
    hub = gateway.hub
    path = directory / f"{gateway.organization.org}.json"
    return Denials(path, gateway.registry, hub, lambda: hub._identity, lambda: datetime.now(UTC))


async def test_a_stolen_leaf_is_cut_at_the_peer_as_soon_as_its_owner_says_so(tmp_path: Path) -> None:
    async with two() as both:
        ours, _ = denials(both.globex, tmp_path), denials(both.acme, tmp_path)
        acme, globex = both.acme.organization.org, both.globex.organization.org
        await both.globex.hub.wait(acme)
        thief = await made(globex)
        stolen = key_hash(thief.hub._identity.leaf)
        assert both.acme.listener is not None
        await thief.know(both.acme, both.acme.listener.address)
        thief.task = asyncio.get_running_loop().create_task(thief.hub.run())
        try:
            await thief.hub.wait(acme)
            async with asyncio.timeout(5):
                assert await ours.disown(stolen) == {acme: ""}
                await until(lambda: not thief.hub.status())
            assert both.acme.registry.peer(globex).denied == (stolen,)
            assert both.globex.hub.status(), "the owner's own link is cut, too"
        finally:
            await thief.close()


async def test_a_peer_that_was_away_is_told_on_its_next_link(tmp_path: Path) -> None:
    async with two(globex_dials=False) as both:
        ours, _ = denials(both.globex, tmp_path), denials(both.acme, tmp_path)
        acme, globex = both.acme.organization.org, both.globex.organization.org
        told = await ours.disown(STOLEN)
        assert "there is no link" in told[acme]
        assert both.acme.listener is not None
        await both.globex.registry.set_peer_addresses(acme, [both.acme.listener.address])
        await until(lambda: both.acme.registry.peer(globex).denied == (STOLEN,))
        assert denials(both.globex, tmp_path).own == (STOLEN,), "it is kept"


async def test_a_peer_cannot_declare_the_leaves_of_another_dead(tmp_path: Path) -> None:
    async with two() as both:
        denials(both.acme, tmp_path)
        acme, globex = both.acme.organization.org, both.globex.organization.org
        await both.globex.hub.wait(acme)
        identity = both.globex.hub._identity
        hashes = [bytes.fromhex(STOLEN)]
        for claimed in ("initech.example", acme):
            statement = pb.LeafDenial(
                organization=claimed,
                key_hashes=hashes,
                signer=to_der(identity.leaf),
                signature=identity.sign(denial_digest(claimed, hashes)),
            )
            with pytest.raises(PeerRefusedRequest):
                await both.globex.hub.ask(acme, statement, "denials")
        assert both.acme.registry.peer(globex).denied == ()


async def test_the_key_in_use_is_not_disowned(tmp_path: Path) -> None:
    async with two() as both:
        ours = denials(both.globex, tmp_path)
        with pytest.raises(KeyInUse):
            await ours.disown(key_hash(both.globex.hub._identity.leaf))
        assert ours.own == ()


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": 1, "keys": ["zz"]}', '{"format": 2, "keys": []}', '{"keys": 1}']
)
async def test_a_damaged_list_is_refused(tmp_path: Path, text: str) -> None:
    gateway = await made("globex.example")
    (tmp_path / "globex.example.json").write_text(text)
    with pytest.raises(DisownedUnusable):
        denials(gateway, tmp_path)


# The rule itself

GLOBEX, INITECH = organization("globex.example", NOW), organization("initech.example", NOW)
KEY = b"\x07" * 32


def statement(org: str, signer: Organization, *keys: bytes) -> Denial:
    identity = signer.identity()
    return Denial(org, keys, to_der(identity.leaf), identity.sign(denial_digest(org, keys)))


def test_a_word_by_a_living_leaf_about_its_own_domain_is_believed() -> None:
    assert accept_denial(statement(GLOBEX.org, GLOBEX, KEY, KEY), GLOBEX.org, GLOBEX.trust(), NOW) == [KEY.hex()]


def test_any_other_word_is_not() -> None:
    good = statement(GLOBEX.org, GLOBEX, KEY)
    refused = [
        (statement(INITECH.org, INITECH, KEY), DenialRefused),
        (statement(GLOBEX.org, INITECH, KEY), LeafRefused),
        (statement(GLOBEX.org, GLOBEX), DenialRefused),
        (statement(GLOBEX.org, GLOBEX, KEY[:-1]), DenialRefused),
        (Denial(good.org, (b"\x08" * 32,), good.signer, good.signature), ProofRefused),
        (Denial(good.org, good.key_hashes, b"", good.signature), LeafRefused),
    ]
    for denial, error in refused:
        with pytest.raises(error):
            accept_denial(denial, GLOBEX.org, GLOBEX.trust(), NOW)
    with pytest.raises(LeafRefused, match="suspended"):
        accept_denial(good, GLOBEX.org, GLOBEX.trust(PeerState.SUSPENDED), NOW)
