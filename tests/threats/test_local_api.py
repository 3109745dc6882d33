"""Threat 15: what a browser, or a program without the token, gets of the local API, byte by byte over a socket.

Shown on the admin API. The API for applications has the same guard (gateway/http/guard.py), and a socket that is its
user's only (tests/gateway/local/); the files of both tokens are their owner's (threat 16).
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.admin import guard
from gateway.http.guard import check_token
from mesh.errors import MeshError
from tests.support.admin import AdminGateway, admin_gateway

BODY = b'{"name": "theirs", "partitions": 1}'


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[AdminGateway]:
    async with admin_gateway(tmp_path) as running:
        yield running


async def said(admin: AdminGateway, request: bytes) -> tuple[int, bytes]:
    """The status of the answer to raw bytes, and all of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", admin.listening.port)
    writer.write(request)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer.split(b" ", 2)[1]), answer


def post(admin: AdminGateway, *changes: tuple[str, str | None], method: str = "POST", body: bytes = BODY) -> bytes:
    """A request that is good but for `changes`: a header's value, None where it is left out."""
    good: dict[str, str | None] = {
        "Host": admin.listening.address,
        "Authorization": f"Bearer {admin.token}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    given = (good | dict(changes)).items()
    lines = [f"{method} /v1/topics HTTP/1.1", *(f"{name}: {value}" for name, value in given if value is not None)]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


REFUSED: dict[str, tuple[tuple[str, str | None], int, bytes]] = {
    "a rebound name": (("Host", "evil.example:{port}"), 403, b"host-refused"),
    "a rebound name without a port": (("Host", "evil.example"), 403, b"host-refused"),
    "our name under another": (("Host", "localhost.evil.example:{port}"), 403, b"host-refused"),
    "our name with a dot": (("Host", "localhost.:{port}"), 403, b"host-refused"),
    "an address for all": (("Host", "0.0.0.0:{port}"), 403, b"host-refused"),
    "another port": (("Host", "127.0.0.1:1"), 403, b"host-refused"),
    "another site": (("Origin", "https://evil.example"), 403, b"origin-refused"),
    "a rebound site": (("Origin", "http://evil.example:{port}"), 403, b"origin-refused"),
    "a file": (("Origin", "null"), 403, b"origin-refused"),
    "another port's page": (("Origin", "http://127.0.0.1:1"), 403, b"origin-refused"),
    "our name by https": (("Origin", "https://127.0.0.1:{port}"), 403, b"origin-refused"),
    "no token": (("Authorization", None), 401, b"token-refused"),
    "a wrong token": (("Authorization", "Bearer wrong"), 401, b"token-refused"),
    "a token of the wrong kind": (("Authorization", "Basic dDp0"), 401, b"token-refused"),
    "a cookie": (("Cookie", "token={token}"), 401, b"token-refused"),
    "a form": (("Content-Type", "application/x-www-form-urlencoded"), 415, b"content-type-refused"),
    "a form with a file": (("Content-Type", "multipart/form-data; boundary=x"), 415, b"content-type-refused"),
    "plain text": (("Content-Type", "text/plain"), 415, b"content-type-refused"),
    "no type": (("Content-Type", None), 415, b"content-type-refused"),
    "JSON in name only": (("Content-Type", "text/plain; application/json"), 415, b"content-type-refused"),
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_what_a_page_can_send_is_refused_and_does_nothing(admin: AdminGateway, kind: str) -> None:
    (name, value), status, code = REFUSED[kind]
    value = value and value.format(port=admin.listening.port, token=admin.token)
    changes = [(name, value)] + ([("Authorization", None)] if name == "Cookie" else [])
    found, answer = await said(admin, post(admin, *changes))
    assert found == status
    assert code in answer
    assert b"access-control" not in answer.lower()
    assert await admin.services.cluster.topics.list() == []


async def test_the_same_request_without_a_change_is_taken(admin: AdminGateway) -> None:
    """Or the refusals would show nothing."""
    status, _ = await said(admin, post(admin))
    assert status == 201
    assert [topic.name for topic in await admin.services.cluster.topics.list()] == ["theirs"]


async def test_two_hosts_are_none(admin: AdminGateway) -> None:
    request = post(admin).replace(b"\r\n", b"\r\nHost: evil.example\r\n", 1)
    status, answer = await said(admin, request)
    assert status in (400, 403)
    assert b"theirs" not in answer
    assert await admin.services.cluster.topics.list() == []


async def test_a_page_gets_no_leave_to_ask(admin: AdminGateway) -> None:
    """What a browser asks before a request with JSON or a token from another site."""
    for origin in ("https://evil.example", f"http://{admin.listening.address}"):
        asked = [("Origin", origin), ("Access-Control-Request-Method", "POST"), ("Authorization", None)]
        status, answer = await said(admin, post(admin, *asked, method="OPTIONS", body=b""))
        assert status >= 400
        assert b"access-control-allow" not in answer.lower()


async def test_what_needs_no_token_still_needs_our_name(admin: AdminGateway) -> None:
    """A rebound page must not read the metrics either."""
    for path in (b"/metrics", b"/livez", b"/readyz?verbose"):
        status, _ = await said(admin, b"GET %s HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n" % path)
        assert status == 403


async def test_a_body_one_byte_over_the_bound_is_refused(admin: AdminGateway) -> None:
    """Also where it comes in parts whose sum nobody stated."""
    for size, expected in ((guard.MAX_BODY_BYTES, 400), (guard.MAX_BODY_BYTES + 1, 413)):
        body = b'{"name": "%s"}' % (b"x" * (size - 12))
        assert len(body) == size
        status, _ = await said(admin, post(admin, body=body))
        assert status == expected
        chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (size, body)
        head = [("Content-Length", None), ("Transfer-Encoding", "chunked")]
        status, _ = await said(admin, post(admin, *head, body=chunked))
        assert status == expected


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every token is compared, whichever fits, by the function that is made for it."""
    compared: list[bytes] = []

    def counting(given: bytes, token: bytes) -> bool:
        compared.append(token)
        return given == token

    class Request:
        headers = {"Authorization": "Bearer one"}  # noqa: RUF012

    monkeypatch.setattr(hmac, "compare_digest", counting)
    check_token(Request(), guard.ADMIN, ["one", "two"])  # type: ignore[arg-type]
    with pytest.raises(MeshError, match="no valid admin token"):
        check_token(Request(), guard.ADMIN, ["three", "four"])  # type: ignore[arg-type]
    assert compared == [b"one", b"two", b"three", b"four"]
