"""The newest entries of the audit log, page by page."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.admin import AdminGateway


async def tail(admin: AdminGateway, **query: Any) -> dict[str, Any]:
    async with admin.session.get(f"{admin.url}/v1/audit/tail", params=query) as answer:
        found: dict[str, Any] = await answer.json()
        assert answer.status == 200, found
        return found


def objects(found: dict[str, Any]) -> list[str]:
    return [each["object"] for each in found["entries"]]


@pytest.fixture
async def logged(admin: AdminGateway) -> AdminGateway:
    for number in range(7):
        await admin.services.audit.record("share.created" if number % 2 else "grant.created", f"o{number}")
    return admin


async def test_the_newest_come_first_and_older_ones_on_demand(logged: AdminGateway) -> None:
    first = await tail(logged, limit=3)
    assert objects(first) == ["o6", "o5", "o4"]
    second = await tail(logged, limit=3, before=first["next"])
    assert objects(second) == ["o3", "o2", "o1"]
    last = await tail(logged, limit=3, before=second["next"])
    assert (objects(last), last["next"]) == (["o0"], None)


async def test_a_kind_is_told_from_others(logged: AdminGateway) -> None:
    assert objects(await tail(logged, action="share")) == ["o5", "o3", "o1"]
    first = await tail(logged, action="share.created", limit=2)
    assert objects(await tail(logged, action="share.created", before=first["next"])) == ["o1"]
    assert objects(await tail(logged, action="sha")) == []


async def test_beyond_the_end_is_the_end(logged: AdminGateway) -> None:
    assert len(objects(await tail(logged, before=1_000_000))) == 7
    assert await tail(logged, before=0) == {"entries": [], "next": None}


async def test_an_empty_log_has_no_entries(admin: AdminGateway) -> None:
    assert await tail(admin) == {"entries": [], "next": None}
