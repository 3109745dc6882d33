"""Certificates change under a mirror that runs: nothing is lost, nothing comes twice, nothing comes late."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from certs.profiles import Lifetimes
from certs.rotation import Phase
from gateway.rpc.identity import Identity
from mesh.trust.pem import to_der
from tests.support.rotating import LATE_S, Both, Site, rotating

pytestmark = pytest.mark.slow


def shown_to(site: Site) -> set[bytes]:
    """The leaves of its peer that the open links of `site` were made with."""
    return {
        to_der(link.authenticator.leaf.certificate)
        for _, link in site.hub._table.all()
        if link.session.is_open and link.authenticator.leaf is not None
    }


async def until_shown(both: Both, site: Site, identity: Identity) -> None:
    await both.until("the new leaf", lambda: shown_to(site) == {to_der(identity.leaf)})


@pytest.mark.parametrize("acme_dials", [True, False])
async def test_a_new_leaf_takes_over_without_a_late_record(tmp_path: Path, acme_dials: bool) -> None:
    async with rotating(tmp_path, acme_dials=acme_dials) as both:
        for site, other in ((both.acme, both.globex), (both.globex, both.acme)):
            before = site.keeper.identity
            await site.keeper.rotate_leaf()
            assert site.keeper.identity.leaf.public_key() != before.leaf.public_key()
            await until_shown(both, other, site.keeper.identity)
            await both.copied(20)
        assert both.latest_s < LATE_S
        await both.check()


@pytest.mark.parametrize("acme_dials", [True, False])
async def test_a_new_ca_takes_over_without_a_late_record(tmp_path: Path, acme_dials: bool) -> None:
    async with rotating(tmp_path, acme_dials=acme_dials) as both:
        acme, globex = both.acme, both.globex
        await acme.keeper.start(None, emergency=False)
        await both.until("SWITCHED", lambda: acme.keeper.own.issuing == 2)
        await until_shown(both, globex, acme.keeper.identity)
        assert acme.keeper.identity.leaf.issuer != globex.bundle.anchors()[0].subject
        assert len(globex.registry.peer(acme.org).bundle.certificates) == 2
        assert acme.registry.peer(globex.org).acknowledged_sequence == 2
        await both.copied(20)
        assert both.latest_s < LATE_S
        await both.check()


async def test_leaves_of_a_short_life_and_the_old_root_go_by_themselves(tmp_path: Path) -> None:
    short = Lifetimes(leaf=timedelta(seconds=4), backdated=timedelta())
    async with rotating(tmp_path, lifetimes=short) as both:
        acme, globex = both.acme, both.globex
        await acme.keeper.start(None, emergency=False)
        await both.until("RETIRED", lambda: acme.keeper.own.under_way is None and acme.keeper.own.rotation)
        await both.until("stored", lambda: globex.registry.peer(acme.org).bundle.sequence == 3)
        assert len(globex.registry.peer(acme.org).bundle.certificates) == 1
        assert acme.keeper.own.rotation is not None
        assert acme.keeper.own.rotation.phase is Phase.RETIRED
        await both.until("the old key is gone", lambda: not acme.files.ca_key(1).exists())
        await both.copied(20)
        assert both.latest_s < LATE_S
        await both.check()
