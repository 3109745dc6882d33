from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.drills.revoke import DrillFailed, DrillRefused, drill_revoke
from gateway.registry_errors import GrantAbsent
from gateway.services import Services
from mesh.shares import GrantState
from tests.support.admin import admin_gateway
from tests.support.hubs import until
from tests.support.importing import Importing, importing

GRANT = "flights@globex.example"


@asynccontextmanager
async def live(directory: Path) -> AsyncIterator[tuple[Importing, Services]]:
    """The exporter's services while GLOBEX reads."""
    async with admin_gateway(directory) as admin, importing(60) as run:
        acme = run.both.acme
        yield run, replace(admin.services, registry=acme.registry, links=acme.hub)


async def test_a_drill_stops_and_resumes_a_lane_and_says_how_long_both_took(tmp_path: Path) -> None:
    async with live(tmp_path) as (run, services):
        await until(lambda: run.slow.written > 5)
        *runs, result = [dict(event) async for event in drill_revoke(services, GRANT, 3)]
        assert [(event["event"], event["number"], event["lanes"]) for event in runs] == [
            ("run", 1, 1), ("run", 2, 1), ("run", 3, 1),
        ]  # fmt: skip
        stop = result["stop_ms"]
        assert isinstance(stop, dict)
        assert 0 < stop["p50"] <= stop["p99"] <= stop["max"] < 1000
        assert services.registry.grants[GRANT].state is GrantState.ACTIVE
        await until(lambda: run.end == 60 * 3)
        # what was revoked three times on its way is there once
        assert run.slow.written == 60


async def test_a_drill_needs_a_grant_that_is_in_use(tmp_path: Path) -> None:
    async with live(tmp_path) as (run, services):
        await until(lambda: run.slow.written > 5)
        with pytest.raises(GrantAbsent):
            await anext(drill_revoke(services, "fares@globex.example", 1))
        with pytest.raises(DrillRefused, match="runs"):
            await anext(drill_revoke(services, GRANT, 0))
        await services.registry.revoke_grant("flights", "globex.example")
        with pytest.raises(DrillRefused, match="it is revoked"):
            await anext(drill_revoke(services, GRANT, 1))
        assert services.registry.grants[GRANT].state is GrantState.REVOKED


async def test_a_lane_that_does_not_come_back_fails_the_drill_with_the_grant_active(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.drills.revoke.RESUME_S", 0.2)
    async with live(tmp_path) as (run, services):
        await until(lambda: run.slow.written > 5)
        run.task.cancel()
        with pytest.raises(DrillFailed, match=r"not resumed after 0\.2 s: departures\[0\]"):
            await anext(drill_revoke(services, GRANT, 1))
        assert services.registry.grants[GRANT].state is GrantState.ACTIVE


async def test_a_drill_that_is_given_up_leaves_the_grant_active(tmp_path: Path) -> None:
    async with live(tmp_path) as (run, services):
        await until(lambda: run.slow.written > 5)
        drill = drill_revoke(services, GRANT, 100)
        await anext(drill)
        await drill.aclose()  # type: ignore[attr-defined]  # it is a generator
        assert services.registry.grants[GRANT].state is GrantState.ACTIVE
