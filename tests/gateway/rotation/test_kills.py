"""A gateway killed at any step of a rotation finds on its files what is left to do, and does it.

Each case makes what a kill would leave on the disk, starts the gateway on it, and waits for the end of the rotation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from certs import rotation as rules
from certs import store
from certs.authority import Authority, new_key
from certs.own import TrustFiles, load_generation, load_own, new_generation, save_own
from certs.profiles import DEFAULT_LIFETIMES
from mesh.trust.pem import to_der
from tests.support.rotating import Site, rotating

pytestmark = pytest.mark.slow


def planned(site: Site) -> None:
    """Killed right after the order was kept."""
    now = site.now()
    new = new_generation(site.keys, site.org, 1, now, DEFAULT_LIFETIMES)
    save_own(site.keys, replace(load_own(site.keys, site.org, now), rotation=rules.plan(1, new, now)))


def only_the_key_written(site: Site) -> None:
    """Killed before the new root was whole: the operator begins anew, and the half is never used."""
    store.write_key(site.files.ca_key(2), new_key())
    planned(site)


def published(site: Site) -> None:
    """Killed after the bundle was kept, before anybody was told."""
    planned(site)
    own = load_own(site.keys, site.org, site.now())
    assert own.rotation is not None
    new = store.read_certificates(site.files.ca_certificate(own.rotation.new))[0]
    step = rules.published(own.rotation, 2)
    save_own(site.keys, own.publishing((*own.bundle.certificates, to_der(new)), site.now(), step))


def adopted(site: Site) -> None:
    published(site)
    own = load_own(site.keys, site.org, site.now())
    assert own.rotation is not None
    save_own(site.keys, replace(own, rotation=rules.adopted(own.rotation)))


CASES: list[Callable[[Site], None]] = [planned, only_the_key_written, published, adopted]


@pytest.mark.parametrize("left_by_kill", CASES, ids=lambda case: case.__name__)
async def test_a_kill_before_the_switch_is_made_up_for(tmp_path: Path, left_by_kill: Callable[[Site], None]) -> None:
    async with rotating(tmp_path) as both:
        await both.acme.kill()
        left_by_kill(both.acme)
        await both.start(both.acme)
        await both.until("SWITCHED", lambda: both.acme.keeper.own.issuing > 1)
        await both.linked()
        await both.copied(5)
        await both.check()
        assert both.globex.registry.peer(both.acme.org).bundle.sequence == 2


@pytest.mark.parametrize("how_far", ["nothing", "key beside", "pair beside", "key in place"])
async def test_a_kill_between_the_switch_and_the_new_leaf(tmp_path: Path, how_far: str) -> None:
    async with rotating(tmp_path) as both:
        acme = both.acme
        before = acme.keeper.identity
        await acme.keeper.start(None, emergency=False)
        await both.until("SWITCHED", lambda: acme.keeper.own.issuing == 2)
        await both.until("shown", lambda: acme.keeper.identity is not before)
        await acme.kill()
        # the state says SWITCHED, the leaf is that of before
        for path in (acme.files.leaf, acme.files.leaf_key):
            path.unlink()
        store.write_key(acme.files.leaf_key, before.key)
        store.write_certificates(acme.files.leaf, list(before.chain))
        leave_replacement(acme.files, load_generation(acme.keys, acme.org, 2), how_far, acme)
        await both.start(acme)
        root = store.read_certificates(acme.files.ca_certificate(2))[0]
        await both.until("the new leaf", lambda: acme.keeper.identity.leaf.issuer == root.subject)
        await both.copied(5)
        await both.check()


def leave_replacement(files: TrustFiles, authority: Authority, how_far: str, site: Site) -> None:
    issued = authority.issue(site.identity().id.name, site.now())
    steps = ["nothing", "key beside", "pair beside", "key in place"].index(how_far)
    beside_key = files.leaf_key.with_name(".gateway.key.next")
    if steps >= 1:
        store.write_key(beside_key, issued.key)
    if steps >= 2:
        store.write_certificates(files.leaf.with_name(".gateway.pem.next"), [issued.certificate])
    if steps >= 3:
        beside_key.replace(files.leaf_key)


async def test_a_kill_around_the_retirement(tmp_path: Path) -> None:
    async with rotating(tmp_path) as both:
        acme, globex = both.acme, both.globex
        await acme.keeper.start(None, emergency=False)
        await both.until("SWITCHED", lambda: acme.keeper.own.issuing == 2)
        await both.until("the new leaf", lambda: acme.keeper.identity.leaf.issuer != acme.bundle.anchors()[0].subject)
        await acme.kill()
        own = load_own(acme.keys, acme.org, acme.now())
        assert own.rotation is not None
        save_own(acme.keys, replace(own, rotation=replace(own.rotation, old_end=acme.now() - timedelta(seconds=1))))
        await both.start(acme)  # killed once SWITCHED was over: it retires
        await both.until("RETIRED", lambda: globex.registry.peer(acme.org).bundle.sequence == 3)
        await acme.kill()
        acme.files.ca_key(1).touch(mode=0o600)  # killed before the old key was removed
        await both.start(acme)
        await both.until("the old key is gone", lambda: not acme.files.ca_key(1).exists())
        await both.copied(5)
        await both.check()


async def test_a_peer_killed_before_it_answered_acknowledges_when_it_is_back(tmp_path: Path) -> None:
    async with rotating(tmp_path) as both:
        await both.globex.kill()
        await both.acme.keeper.start(None, emergency=False)
        await both.until("PUBLISHED", lambda: both.acme.keeper.own.bundle.sequence == 2)
        status = both.acme.keeper.status()["rotation"]
        assert isinstance(status, dict)
        assert status["lagging"] == ["globex.example"]
        assert both.acme.keeper.own.issuing == 1
        await both.start(both.globex)
        await both.until("SWITCHED", lambda: both.acme.keeper.own.issuing == 2)
        await both.copied(5)
        await both.check()
