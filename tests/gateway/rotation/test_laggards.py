"""Peers that are away or refuse while a CA is rotated, emergencies, and peers that have to be pinned anew."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from certs.errors import AuthorityAbsent, NoRotation, RotationTooEarly, RotationUnderWay
from certs.rotation import Phase
from tests.support.rotating import LATE_S, Both, Site, rotating

pytestmark = pytest.mark.slow


def rotation_of(site: Site) -> dict[str, Any]:
    found = site.keeper.status()["rotation"]
    assert isinstance(found, dict)
    return found


async def published_without_globex(both: Both, deadline: timedelta | None = None, *, emergency: bool = False) -> None:
    await both.globex.kill()
    await both.acme.keeper.start(deadline, emergency=emergency)
    await both.until("PUBLISHED", lambda: rotation_of(both.acme)["phase"] != "prepared")


async def test_a_peer_that_is_away_is_named_and_left_only_by_name_after_the_deadline(tmp_path: Path) -> None:
    async with rotating(tmp_path) as both:
        acme, globex = both.acme, both.globex
        await published_without_globex(both)
        assert rotation_of(acme)["lagging"] == [globex.org]
        with pytest.raises(RotationTooEarly):
            await acme.keeper.leave([globex.org])
        acme.ahead = timedelta(days=8)
        assert "leave them by name" in rotation_of(acme)["why"]
        assert acme.keeper.own.issuing == 1
        acme.ahead = timedelta()
        await both.restart(acme)
        assert rotation_of(acme)["lagging"] == [globex.org]


async def test_a_peer_left_behind_comes_back_when_it_is_pinned_anew(tmp_path: Path) -> None:
    async with rotating(tmp_path) as both:
        acme, globex = both.acme, both.globex
        await published_without_globex(both, timedelta())
        await acme.keeper.leave([globex.org])
        await both.until("SWITCHED", lambda: acme.keeper.own.issuing == 2)
        await both.until("the new leaf", lambda: acme.keeper.identity.leaf.issuer != acme.bundle.anchors()[0].subject)
        assert rotation_of(acme)["left"] == [globex.org]
        await both.start(globex)
        await both.until("refused", lambda: b"mesh_handshake_failures_total{" in globex.metrics.render())
        assert not globex.hub.status()
        await globex.registry.set_peer_bundle(acme.bundle, pinned=True)
        await both.linked()
        await both.copied(5)
        await both.check()


async def test_an_emergency_ends_the_trust_in_the_stolen_root(tmp_path: Path) -> None:
    async with rotating(tmp_path) as both:
        acme, globex = both.acme, both.globex
        await acme.keeper.start(None, emergency=True)
        await both.until("RETIRED", lambda: acme.keeper.own.rotation and acme.keeper.own.under_way is None)
        assert rotation_of(acme)["left"] == [], "its acknowledgement came over the link that it ended"
        assert acme.keeper.own.issuing == 2
        new = acme.bundle
        assert len(new.certificates) == 1
        await both.until("stored", lambda: globex.registry.peer(acme.org).bundle.certificates == new.certificates)
        await both.until("the old key is gone", lambda: not acme.files.ca_key(1).exists())
        await both.linked()
        await both.copied(20)
        assert both.latest_s < LATE_S
        await both.check()


async def test_an_emergency_does_not_wait_for_a_peer_that_is_away(tmp_path: Path) -> None:
    async with rotating(tmp_path) as both:
        await published_without_globex(both, timedelta(), emergency=True)
        await both.until("SWITCHED", lambda: both.acme.keeper.own.issuing == 2)
        assert rotation_of(both.acme)["left"] == [both.globex.org]


async def test_only_one_rotation_at_a_time_and_only_where_the_key_is(tmp_path: Path) -> None:
    async with rotating(tmp_path) as both:
        with pytest.raises(NoRotation):
            await both.acme.keeper.leave([both.globex.org])
        both.globex.files.ca_key(1).unlink()
        with pytest.raises(AuthorityAbsent):
            await both.globex.keeper.start(None, emergency=False)
        with pytest.raises(AuthorityAbsent):
            await both.globex.keeper.rotate_leaf()
        await published_without_globex(both)
        with pytest.raises(RotationUnderWay):
            await both.acme.keeper.start(None, emergency=False)


async def test_both_sides_rotate_at_once(tmp_path: Path) -> None:
    async with rotating(tmp_path) as both:
        for site in (both.acme, both.globex):
            await site.keeper.start(None, emergency=False)
        sites = (both.acme, both.globex)
        await both.until("SWITCHED", lambda: [site.keeper.own.issuing for site in sites] == [2, 2])
        for site in sites:
            assert site.keeper.own.rotation is not None
            assert site.keeper.own.rotation.phase is Phase.SWITCHED
        await both.linked()
        await both.copied(20)
        assert both.latest_s < LATE_S
        await both.check()
