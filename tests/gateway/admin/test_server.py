"""Who the admin API answers, and in which form it refuses."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
from pathlib import Path

import aiohttp
import pytest
import structlog
from aiohttp import web

from gateway.admin import guard
from gateway.admin.errors import TokenRefused
from gateway.admin.server import start
from gateway.admin.token import TOKEN_NAME, TokenFile, TokenFileUnsafe
from gateway.http.errors import AddressRefused, PortInUse, status_of
from mesh.cluster_errors import (
    BatchRefused,
    ClusterUnreachable,
    DiskFull,
    TopicAbsent,
    TopicExists,
)
from mesh.errors import MeshError, PeerError
from mesh.ids import IllegalName
from tests.support.admin import AdminGateway


async def refusal(response: aiohttp.ClientResponse) -> tuple[int, str]:
    body = await response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "sentence", "remedy", "actor"}
    return response.status, body["error"]["code"]


@pytest.mark.parametrize("name", ["Authorization", "mesh-admin-token"])
async def test_either_header_carries_the_token(admin: AdminGateway, name: str) -> None:
    value = f"Bearer {admin.token}" if name == "Authorization" else admin.token
    async with aiohttp.ClientSession() as stranger:
        response = await stranger.get(f"{admin.url}/v1/status", headers={name: value})

        assert response.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"mesh-admin-token": ""},
        {"Authorization": "x"},
    ],
)
async def test_without_the_token_nothing_is_answered(admin: AdminGateway, headers: dict[str, str]) -> None:
    async with aiohttp.ClientSession() as stranger:
        for path in ("/v1/status", "/v1/topics", "/v1/shutdown", "/nothing"):
            assert await refusal(await stranger.get(admin.url + path, headers=headers)) == (401, "token-refused")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:80"])
async def test_a_foreign_host_is_refused_even_with_the_token(admin: AdminGateway, host: str) -> None:
    for path in ("/v1/status", "/livez", "/metrics"):
        response = await admin.session.get(admin.url + path, headers={"Host": host})
        assert await refusal(response) == (403, "host-refused")


async def test_localhost_is_an_own_name(admin: AdminGateway) -> None:
    response = await admin.session.get(f"{admin.url}/v1/status", headers={"Host": f"localhost:{admin.listening.port}"})

    assert response.status == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1", "file://"])
async def test_a_foreign_origin_is_refused_even_with_the_token(admin: AdminGateway, origin: str) -> None:
    response = await admin.session.get(f"{admin.url}/v1/status", headers={"Origin": origin})

    assert await refusal(response) == (403, "origin-refused")
    assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data"])
async def test_only_json_is_read(admin: AdminGateway, content_type: str) -> None:
    response = await admin.session.post(
        f"{admin.url}/v1/topics", data=b'{"name": "flights"}', headers={"Content-Type": content_type}
    )

    assert await refusal(response) == (415, "content-type-refused")


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'"text"', b"[" * 100_000])
async def test_a_body_that_is_no_object_is_refused(admin: AdminGateway, body: bytes) -> None:
    response = await admin.session.post(
        f"{admin.url}/v1/topics", data=body, headers={"Content-Type": "application/json"}
    )

    assert await refusal(response) == (400, "body-refused")


async def test_an_unknown_charset_is_refused(admin: AdminGateway) -> None:
    response = await admin.session.post(
        f"{admin.url}/v1/topics", data=b"{}", headers={"Content-Type": "application/json; charset=none-such"}
    )

    assert await refusal(response) == (400, "body-refused")


async def test_headers_that_are_no_text_are_refused_like_others(admin: AdminGateway) -> None:
    for line, code in ((b"Authorization: Bearer \xff", b"token-refused"), (b"Origin: \xff", b"origin-refused")):
        reader, writer = await asyncio.open_connection("127.0.0.1", admin.listening.port)
        writer.write(b"GET /v1/status HTTP/1.1\r\nHost: %s\r\n" % admin.listening.address.encode())
        writer.write(line + b"\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert code in answer


async def test_a_body_beyond_the_limit_is_refused(admin: AdminGateway) -> None:
    body = json.dumps({"name": "x" * guard.MAX_BODY_BYTES}).encode()
    response = await admin.session.post(
        f"{admin.url}/v1/topics", data=io.BytesIO(body), headers={"Content-Type": "application/json"}
    )

    assert await refusal(response) == (413, "body-too-large")


async def test_what_is_not_there_is_named(admin: AdminGateway) -> None:
    assert await refusal(await admin.session.get(f"{admin.url}/v1/nothing")) == (404, "path-absent")
    put = await admin.session.put(f"{admin.url}/v1/status", json={})
    assert (await refusal(put), put.headers["Allow"]) == ((405, "method-refused"), "GET, HEAD")


async def test_an_unknown_exception_is_logged_with_the_incident_that_the_caller_gets(tmp_path: Path) -> None:
    async def broken(request: web.Request) -> web.Response:
        raise RuntimeError("the secret is 1234")

    app = web.Application(middlewares=[guard.errors])
    app.add_routes([web.get("/broken", broken)])
    listening = await start(app, "127.0.0.1", 0)
    try:
        with structlog.testing.capture_logs() as logs:
            async with aiohttp.ClientSession() as session:
                response = await session.get(f"http://{listening.address}/broken")
                text = await response.text()
    finally:
        await listening.close()

    assert response.status == 500
    assert "1234" not in text
    assert "Traceback" not in text
    assert [entry["incident"] in text for entry in logs] == [True]
    assert "1234" in str(logs[0]["exc_info"])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (TopicAbsent("a"), 404),
        (TopicExists("a"), 409),
        (IllegalName("topic", "/", "rule"), 400),
        (BatchRefused("a", 0, "why"), 409),
        (DiskFull("/log"), 503),
        (ClusterUnreachable("kafka", "why"), 503),
        (PeerError(), 502),
        (TokenRefused(), 401),
    ],
)
def test_the_status_says_who_must_act(error: MeshError, status: int) -> None:
    assert status_of(error) == status


async def test_a_port_that_is_taken_is_named_with_the_remedy(admin: AdminGateway) -> None:
    with pytest.raises(PortInUse) as caught:
        await start(web.Application(), "127.0.0.1", admin.listening.port)

    assert str(caught.value) == (
        f"the admin listener cannot have {admin.listening.address}: another process listens there"
    )
    assert "another port" in caught.value.remedy


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
async def test_only_loopback_is_listened_on(host: str) -> None:
    with pytest.raises(AddressRefused, match="not a loopback address"):
        await start(web.Application(), host, 0)


async def test_health_and_metrics_need_no_token_and_tell_no_secret(admin: AdminGateway) -> None:
    admin.health.add("store", lambda: "")
    async with aiohttp.ClientSession() as stranger:
        assert await (await stranger.get(f"{admin.url}/livez")).text() == "ok\n"
        ready = await stranger.get(f"{admin.url}/readyz?verbose")
        assert (ready.status, await ready.text()) == (200, "[+] not-stopping\n[+] store\nready\n")
        metrics = await (await stranger.get(f"{admin.url}/metrics")).text()

    assert "mesh_ready 1.0" in metrics
    assert admin.token not in metrics


async def test_not_ready_says_why_and_alive_stays_alive(admin: AdminGateway) -> None:
    admin.health.add("cluster", lambda: "not reached yet")
    admin.health.stopping()

    response = await admin.session.get(f"{admin.url}/readyz?verbose")

    assert response.status == 503
    assert await response.text() == (
        "[-] not-stopping: the gateway is stopping\n[-] cluster: not reached yet\nnot ready\n"
    )
    assert (await admin.session.get(f"{admin.url}/livez")).status == 200


async def test_shutdown_begins_the_clean_end(admin: AdminGateway) -> None:
    response = await admin.session.post(f"{admin.url}/v1/shutdown", json={})

    assert response.status == 202
    assert admin.stops == [True]


async def test_tokens_can_be_rotated_without_a_restart(admin: AdminGateway) -> None:
    path = admin.services.config.state_dir / TOKEN_NAME
    path.write_text(f"a-new-one\n{admin.token}\n")

    for token, status in ((admin.token, 200), ("a-new-one", 200), ("another", 401)):
        headers = {"Authorization": f"Bearer {token}"}
        assert (await admin.session.get(f"{admin.url}/v1/status", headers=headers)).status == status


def test_the_token_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / TOKEN_NAME
    first = TokenFile(path)()

    assert TokenFile(path)() == first
    assert len(first[0]) >= 43
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_token_file_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / TOKEN_NAME
    TokenFile(path)
    path.chmod(0o644)

    with pytest.raises(TokenFileUnsafe, match="its mode is 0644"):
        TokenFile(path)


def test_a_token_file_that_is_a_link_is_not_used(tmp_path: Path) -> None:
    os.symlink(tmp_path / "elsewhere", tmp_path / TOKEN_NAME)

    with pytest.raises(TokenFileUnsafe, match="not a regular file"):
        TokenFile(tmp_path / TOKEN_NAME)


@pytest.mark.parametrize("body", [b'{"name": "x"}', gzip.compress(bytes(1 << 24))])
async def test_a_compressed_body_is_refused_and_not_unpacked(admin: AdminGateway, body: bytes) -> None:
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    answer = await admin.session.post(f"{admin.url}/v1/shares", data=body, headers=headers)
    assert await refusal(answer) == (415, "content-type-refused")


async def test_the_api_describes_itself(admin: AdminGateway) -> None:
    document = await (await admin.session.get(f"{admin.url}/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    assert set(document["paths"]["/v1/shares"]) == {"get", "post"}
    assert document["paths"]["/v1/shares"]["post"]["requestBody"]["content"]["application/json"]["schema"] == {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "topics": {"type": ["array", "null"], "items": {"type": "string"}},
        },
        "additionalProperties": False,
        "required": ["name"],
    }


async def test_a_parameter_that_the_path_does_not_know_is_refused(admin: AdminGateway) -> None:
    for query in ("?rnages=true", "?ranges=true&ranges=true"):
        answer = await admin.session.get(f"{admin.url}/v1/topics{query}")
        assert await refusal(answer) == (400, "body-refused")
