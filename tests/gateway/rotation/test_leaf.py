"""When a gateway's leaf is due: half-way of its life, and where a clock that was ahead has made one of the future."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from random import Random

from certs.organization import create_organization
from certs.own import TrustFiles, load_own
from certs.profiles import DEFAULT_LIFETIMES
from gateway.rotation.leaf import LeafKeeper
from gateway.rpc.identity import load_identity
from mesh.ids import GatewayName, OrgId
from tests.support.trust import NOW

ORG = OrgId("acme.example")


def test_a_leaf_that_was_made_while_the_clock_was_ahead_is_replaced_when_it_is_right(tmp_path: Path) -> None:
    keys = create_organization(tmp_path / "acme", ORG, GatewayName("gw-1"), NOW).keys
    files, clock = TrustFiles(keys), [NOW]
    own = load_own(keys, ORG, NOW)
    identity = load_identity(files.leaf, files.leaf_key)
    keeper = LeafKeeper(keys, identity, lambda: own, lambda: clock[0], Random(1), DEFAULT_LIFETIMES)
    assert not keeper.is_due
    clock[0] = NOW + timedelta(days=91)
    assert keeper.is_due
    keeper.renew()
    assert not keeper.is_due
    clock[0] = NOW + timedelta(minutes=1)
    assert keeper.is_due, "nobody takes a leaf of the future"
    keeper.renew()
    assert not keeper.is_due
    assert keeper.identity.leaf.not_valid_before_utc < clock[0]
