"""Certificate files that somebody else writes: good ones are picked up, broken ones change nothing but the alarm."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from certs import store
from certs.authority import Authority
from certs.organization import load_authority
from mesh.ids import GatewayName, OrgId
from mesh.trust.pem import to_der, to_pem
from tests.support.rotating import LATE_S, Site, rotating

pytestmark = pytest.mark.slow

HERE = GatewayName("one")


def put(site: Site, authority: Authority, name: GatewayName = HERE) -> bytes:
    """As an agent beside the gateway would: a new pair, replaced whole."""
    issued = authority.issue(name, datetime.now(UTC))
    store.replace_pair(site.files.leaf, site.files.leaf_key, [issued.certificate], issued.key)
    return to_der(issued.certificate)


def without_ca_key(site: Site) -> Authority:
    """The CA is somewhere else from now on."""
    authority = load_authority(site.home, site.org)
    site.files.ca_key(1).unlink()
    return authority


async def test_a_pair_that_another_program_renews_is_used_without_a_restart(tmp_path: Path) -> None:
    async with rotating(tmp_path) as both:
        authority = without_ca_key(both.acme)
        leaf = put(both.acme, authority)
        await both.until("used", lambda: both.acme.keeper.identity.chain_der[0] == leaf)
        await both.copied(20)
        assert both.latest_s < LATE_S
        await both.check()


def garbage(site: Site, authority: Authority) -> None:
    site.files.leaf.write_text("no certificate")


def another_key(site: Site, authority: Authority) -> None:
    issued = authority.issue(HERE, datetime.now(UTC))
    site.files.leaf.unlink()
    store.write_certificates(site.files.leaf, [issued.certificate])


def another_gateway(site: Site, authority: Authority) -> None:
    put(site, authority, GatewayName("two"))


def another_ca(site: Site, authority: Authority) -> None:
    put(site, Authority.create(site.org, datetime.now(UTC), 7))


def another_organization(site: Site, authority: Authority) -> None:
    put(site, Authority.create(OrgId("umbrella.example"), datetime.now(UTC)))


def key_for_all_to_read(site: Site, authority: Authority) -> None:
    put(site, authority)
    site.files.leaf_key.chmod(0o644)


def gone(site: Site, authority: Authority) -> None:
    site.files.leaf.unlink()


BROKEN = [garbage, another_key, another_gateway, another_ca, another_organization, key_for_all_to_read, gone]


@pytest.mark.parametrize("break_files", BROKEN, ids=lambda case: case.__name__)
async def test_a_broken_file_is_refused_loudly_and_the_old_leaf_stays(
    tmp_path: Path, break_files: Callable[[Site, Authority], None]
) -> None:
    async with rotating(tmp_path) as both:
        acme = both.acme
        authority, before = without_ca_key(acme), acme.keeper.identity
        break_files(acme, authority)
        await both.until("refused", lambda: acme.keeper.leaf.fault)
        assert acme.keeper.identity is before
        await both.until("counted", lambda: b"mesh_certificate_refusals_total 1.0" in acme.metrics.render())
        await both.copied(10)
        assert both.latest_s < LATE_S
        acme.files.leaf.unlink(missing_ok=True)
        leaf = put(acme, authority)
        await both.until("used", lambda: acme.keeper.identity.chain_der[0] == leaf)
        assert acme.keeper.leaf.fault == ""
        await both.check()


async def test_roots_of_an_outside_ca_are_published_before_they_are_used(tmp_path: Path) -> None:
    async with rotating(tmp_path) as both:
        acme, globex = both.acme, both.globex
        without_ca_key(acme)
        old = store.read_certificates(acme.files.ca_certificate(1))[0]
        outside = Authority.create(acme.org, datetime.now(UTC), 2)
        store.replace_text(acme.files.ca_certificate(1), to_pem([old, outside.certificate]))
        await both.until("acknowledged", lambda: acme.registry.peer(globex.org).acknowledged_sequence == 2)
        leaf = put(acme, outside)
        await both.until("used", lambda: acme.keeper.identity.chain_der[0] == leaf)
        await both.linked()
        await both.copied(20)
        assert both.latest_s < LATE_S
        await both.check()
