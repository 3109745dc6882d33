"""Who the console answers: a page of its own origin, whose reader is logged in, and nobody else."""

from __future__ import annotations

import asyncio
import json
from http.cookies import SimpleCookie
from typing import Any

import aiohttp
import pytest

from gateway.console.files import DIRECTORY, TYPES
from tests.support.admin import AdminGateway

API = "/console/api/v1/status"


class Page:
    """Sends what a browser would send for a page of the console, headers and cookies by hand."""

    def __init__(self, admin: AdminGateway, http: aiohttp.ClientSession) -> None:
        self.admin, self.http = admin, http
        self.headers = {"Origin": admin.url, "Sec-Fetch-Site": "same-origin"}

    async def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, str, aiohttp.ClientResponse]:
        sent = {name: value for name, value in (self.headers | headers).items() if value}
        async with self.http.request(method, self.admin.url + path, json=body, headers=sent) as answer:
            text = await answer.text()
        code = json.loads(text).get("error", {}).get("code", "") if answer.content_type == "application/json" else ""
        return answer.status, code, answer

    async def login(self, **by: str) -> aiohttp.ClientResponse:
        status, _, answer = await self.ask("POST", "/console/session", by or {"token": self.admin.token})
        assert status == 201, status
        cookie = SimpleCookie(answer.headers["Set-Cookie"])
        (name,) = cookie
        key = (await answer.json())["key"]
        self.headers |= {"Cookie": f"{name}={cookie[name].value}", "mesh-console-key": key}
        return answer


@pytest.fixture
async def page(admin: AdminGateway) -> Any:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield Page(admin, http)


async def test_a_login_opens_the_api_under_the_console(page: Page) -> None:
    assert (await page.ask("GET", API))[:2] == (401, "session-refused")
    answer = await page.login()
    (said,) = SimpleCookie(answer.headers["Set-Cookie"]).values()
    port = page.admin.listening.port
    assert (said.key, said["httponly"], said["samesite"], said["path"]) == (
        f"mesh-console-{port}",
        True,
        "Strict",
        "/console/",
    )
    assert 0 < int(said["max-age"]) <= 86_400
    assert (await page.ask("GET", API))[0] == 200


async def test_a_session_is_good_for_nothing_else(page: Page) -> None:
    await page.login()
    for path in ("/v1/status", "/openapi.json"):
        assert (await page.ask("GET", path))[:2] == (401, "token-refused")
    for path in ("/console/api/v1/shutdown", "/console/api/v1/console-address"):
        assert (await page.ask("POST", path, {}))[0] in {401, 404}
    assert not page.admin.stops


@pytest.mark.parametrize("lost", ["Cookie", "mesh-console-key"])
async def test_neither_cookie_nor_key_is_enough(page: Page, lost: str) -> None:
    await page.login()
    assert (await page.ask("GET", API, **{lost: ""}))[:2] == (401, "session-refused")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Origin": ""}, "page-foreign"),
        ({"Origin": "null"}, "origin-refused"),
        ({"Origin": "http://elsewhere.example"}, "origin-refused"),
        ({"Sec-Fetch-Site": "cross-site"}, "page-foreign"),
        ({"Sec-Fetch-Site": "same-site"}, "page-foreign"),
        ({"Host": "elsewhere.example"}, "host-refused"),
        ({"Content-Type": "text/plain"}, "content-type-refused"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, "content-type-refused"),
    ],
    ids=["no origin", "a file", "another site", "cross-site", "another port", "a rebound name", "text", "a form"],
)
async def test_no_other_page_can_change_anything(page: Page, headers: dict[str, str], code: str) -> None:
    await page.login()
    for path in ("/console/session", "/console/api/v1/topics"):
        assert (await page.ask("POST", path, {"name": "t"}, **headers))[1] == code
    assert await page.admin.services.cluster.topics.list() == []


async def test_this_origin_by_another_name_is_another_origin(page: Page) -> None:
    await page.login()
    named = page.admin.url.replace("127.0.0.1", "localhost")
    assert (await page.ask("POST", "/console/api/v1/topics", {"name": "t"}, Origin=named))[1] == "page-foreign"


async def test_what_is_no_token_does_not_log_in(page: Page) -> None:
    for by in ({"token": "wrong"}, {"token": ""}, {"code": "wrong"}, {}):
        assert (await page.ask("POST", "/console/session", by))[:2] == (401, "login-refused")
    assert (await page.ask("POST", "/console/session", {"tokn": "x"}))[1] == "body-refused"


async def test_an_address_logs_in_once(page: Page) -> None:
    async with page.admin.session.post(f"{page.admin.url}/v1/console-address", json={}) as answer:
        address = str((await answer.json())["address"])
    start, _, code = address.partition("#code=")
    assert start == f"{page.admin.url}/console/"
    await page.login(code=code)
    assert (await page.ask("GET", API))[0] == 200
    assert (await page.ask("POST", "/console/session", {"code": code}))[1] == "login-refused"


async def test_after_the_logout_nothing_is_answered(page: Page) -> None:
    await page.login()
    assert (await page.ask("DELETE", "/console/session"))[0] == 200
    assert (await page.ask("GET", API))[1] == "session-refused"


@pytest.mark.parametrize("path", ["/console/", "/console/gateway", "/console/nothing.js", API, "/console/api/nothing"])
async def test_every_answer_says_what_a_browser_may_do_with_it(page: Page, path: str) -> None:
    headers = (await page.ask("GET", path))[2].headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    for part in (
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ):
        assert part in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] in {"no-store", "no-cache"}


async def test_files_are_served_by_their_names_and_no_others(page: Page) -> None:
    for path in sorted(DIRECTORY.iterdir()):
        status, _, answer = await page.ask("GET", f"/console/{path.name}")
        assert (status, answer.headers["Content-Type"]) == (200, TYPES[path.suffix]), path
    for name in ("nothing.js", "..%2fapp.py", "%2e%2e/app.py", "static", "api.js.map"):
        assert (await page.ask("GET", f"/console/{name}"))[0] in {401, 404}, name


async def test_the_root_leads_to_the_console(page: Page) -> None:
    for path in ("/", "/console"):
        async with page.http.get(page.admin.url + path, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, "/console/")


async def test_events_say_what_is_and_then_what_changes(page: Page) -> None:
    await page.login()
    async with page.http.get(f"{page.admin.url}/console/api/events", headers=page.headers) as stream:
        assert stream.content_type == "text/event-stream"
        first = await _event(stream)
        assert first["event"] == "overview"
        assert json.loads(first["data"])["organization"] == "acme.example"
        assert (await _event(stream))["event"] == "tick"
        await page.ask("POST", "/console/api/v1/topics", {"name": "departures"})
        await page.ask("POST", "/console/api/v1/shares", {"name": "flights", "topics": ["departures"]})
        while (found := await _event(stream))["event"] != "overview":
            pass
        assert [each["name"] for each in json.loads(found["data"])["shares"]] == ["flights"]


async def test_a_stream_ends_with_its_session(page: Page) -> None:
    await page.login()
    async with page.http.get(f"{page.admin.url}/console/api/events", headers=page.headers) as stream:
        await _event(stream)
        await page.ask("DELETE", "/console/session")
        async with asyncio.timeout(10):
            await stream.read()


async def _event(stream: aiohttp.ClientResponse) -> dict[str, str]:
    lines = (await stream.content.readuntil(b"\n\n")).decode().strip().split("\n")
    return dict(line.split(": ", 1) for line in lines)
