"""What the control paths of the admin API refuse before they do anything."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.admin import AdminGateway

SUBSCRIPTION = {"peer": "globex.example", "share": "flights", "topics": [{"source": "departures"}]}


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        ("shares", {"name": "flights", "topic": ["t"]}, "field 'topic' is not known, did you mean 'topics'?"),
        ("shares", {"name": 7}, "field 'name' must be a text"),
        ("shares", {}, "field 'name' must be a text"),
        ("shares", {"name": "flights", "topics": "t"}, "field 'topics' must be a list of texts"),
        (
            "grants",
            {"share": "flights", "peer": "globex.example", "end_ms": -1},
            "field 'end_ms' must be a whole number",
        ),
        ("grants", {"share": "flights", "peer": "globex.example", "end_ms": True}, "field 'end_ms' must be a whole"),
        ("peers", {"file": None}, "field 'file' must be a text"),
        ("peers", {"file": "{}", "zzz": 1}, "field 'zzz' is not known"),
        ("subscriptions", SUBSCRIPTION | {"topics": {}}, "field 'topics' must be a list of objects"),
        ("subscriptions", SUBSCRIPTION | {"topics": [{"from": "a"}]}, "field 'from' is not known"),
        ("subscriptions", SUBSCRIPTION | {"on_foreign_write": "x"}, "must be one of stop, report"),
    ],
)
async def test_a_body_out_of_form_is_refused(admin: AdminGateway, path: str, body: dict[str, Any], why: str) -> None:
    async with admin.session.post(f"{admin.url}/v1/{path}", json=body) as response:
        error = (await response.json())["error"]
    assert (response.status, error["code"]) == (400, "body-refused")
    assert why in error["sentence"]
    assert error["remedy"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "peers/nobody.example", 404, "peer-absent"),
        ("POST", "peers/nobody.example/revoke", 404, "peer-absent"),
        ("POST", "peers/nobody.example/explode", 404, "path-absent"),
        ("POST", "grants/flights/nobody.example/revoke", 404, "grant-absent"),
        ("GET", "subscriptions/nothing", 404, "subscription-absent"),
        ("DELETE", "subscriptions/nothing", 404, "subscription-absent"),
        ("GET", "subscriptions/nothing/gaps", 404, "subscription-absent"),
        ("GET", "catalog", 400, "body-refused"),
        ("GET", "catalog?peer=nobody.example", 404, "peer-absent"),
        ("GET", "grants/Flights/nobody.example/explain", 400, "illegal-name"),
    ],
)
async def test_what_is_not_there_is_a_404_with_a_code(
    admin: AdminGateway, method: str, path: str, status: int, code: str
) -> None:
    async with admin.session.request(
        method, f"{admin.url}/v1/{path}", json={} if method == "POST" else None
    ) as response:
        error = (await response.json())["error"]
    assert (response.status, error["code"]) == (status, code)


async def test_a_gateway_without_its_ca_certificate_cannot_export(admin: AdminGateway) -> None:
    async with admin.session.get(f"{admin.url}/v1/peer-file") as response:
        error = (await response.json())["error"]
    assert error["code"] == "certificate-file-unreadable"
