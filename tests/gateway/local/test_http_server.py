"""The local HTTP API's door, its life and its bounds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import structlog
from aiohttp import web

from gateway.address import Address
from gateway.http.errors import AddressRefused, PortInUse
from gateway.local import http_server
from gateway.local.doors import http_door
from gateway.local.http_problems import LOCAL
from gateway.local.http_server import create_app, start
from gateway.unix_socket import SocketPath, SocketPathTooLong
from tests.support.local_http import TOKEN_NAME, LocalHttp, local_http, refusal

RECORDS = "/v1/topics/flights/records"


async def test_tokens_are_rotated_without_a_restart(local: LocalHttp) -> None:
    (local.admin.directory / "state" / TOKEN_NAME).write_text(f"a-new-one\n{local.token}\n")

    for token, status in ((local.token, 200), ("a-new-one", 200), ("an-old-one", 401)):
        answer = await local.session.get(f"{local.url}/v1/openapi.json", headers={"mesh-api-token": token})
        assert answer.status == status


async def test_a_body_that_does_not_arrive_is_waited_for_so_long(
    local: LocalHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "LOCAL", replace(LOCAL, body_s=0.05))
    listening = await start(create_app(local.api, lambda: [local.token]), http_door(Address("127.0.0.1", 0)))

    async def body() -> AsyncIterator[bytes]:
        yield b'{"records": ['
        await asyncio.Event().wait()

    try:
        for path in (RECORDS, "/v1/subscriptions"):
            url, headers = f"http://{listening.address}{path}", {"Content-Type": "application/json"}
            answer = await local.session.post(url, data=body(), headers=headers)
            assert await refusal(answer) == (408, "body-slow")
            answer.close()
    finally:
        await listening.close()


async def test_health_needs_no_token(local: LocalHttp) -> None:
    local.admin.health.add("cluster", lambda: "not reached yet")
    async with aiohttp.ClientSession() as stranger:
        assert await (await stranger.get(f"{local.url}/livez")).text() == "ok\n"
        ready = await stranger.get(f"{local.url}/readyz?verbose")
        assert (ready.status, await ready.text()) == (
            503,
            "[+] not-stopping\n[-] cluster: not reached yet\nnot ready\n",
        )


async def test_shutdown_begins_the_clean_end(local: LocalHttp) -> None:
    assert (await local.session.post(f"{local.url}/v1/shutdown", json={})).status == 202
    assert local.stops == [True]


async def test_an_unknown_exception_is_told_by_its_number_only(tmp_path: Path) -> None:
    async def broken(request: web.Request) -> web.Response:
        raise RuntimeError("the secret is 1234")

    async with local_http(tmp_path) as local:
        app = create_app(local.api, lambda: ["token"])
        app.router.add_get("/broken", broken)
        listening = await start(app, http_door(Address("127.0.0.1", 0)))
        try:
            with structlog.testing.capture_logs() as logs:
                answer = await local.session.get(
                    f"http://{listening.address}/broken", headers={"mesh-api-token": "token"}
                )
                assert await refusal(answer) == (500, "internal-error")
                text = await answer.text()
        finally:
            await listening.close()

    assert "1234" not in text
    assert [entry["incident"] in text for entry in logs] == [True]


async def test_connections_beyond_the_bound_are_told_so(local: LocalHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.local.http_server.MAX_CONNECTIONS", 2)
    listening = await start(create_app(local.api, lambda: ["token"]), http_door(Address("127.0.0.1", 0)))
    host, _, port = listening.address.rpartition(":")
    try:
        held = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
        answers = await asyncio.wait_for(held[2][0].read(), 5)
        assert answers.startswith(b"HTTP/1.1 503 ")
        assert json.loads(answers.partition(b"\r\n\r\n")[2])["code"] == "too-many-connections"
        held[0][1].write(f"GET /livez HTTP/1.1\r\nHost: {listening.address}\r\nConnection: close\r\n\r\n".encode())
        assert b"200 OK" in await asyncio.wait_for(held[0][0].read(), 5)
        for _, writer in held:
            writer.close()
    finally:
        await listening.close()


async def test_a_port_that_is_taken_is_named_with_the_remedy(local: LocalHttp) -> None:
    with pytest.raises(PortInUse, match="the local HTTP listener cannot have"):
        http_door(Address("127.0.0.1", int(local.listening.address.rpartition(":")[2])))


async def test_only_loopback_is_listened_on() -> None:
    with pytest.raises(AddressRefused, match="not a loopback address"):
        http_door(Address("0.0.0.0", 0))


async def test_over_a_unix_socket_its_name_is_localhost(tmp_path: Path) -> None:
    place = SocketPath(tmp_path / "local.sock")
    async with local_http(tmp_path, place) as local:
        assert place.path.stat().st_mode & 0o777 == 0o600
        assert (await local.session.get("http://localhost/v1/openapi.json")).status == 200
        for host in ("evil.example", "localhost:80", "127.0.0.1"):
            assert await refusal(await local.session.get("http://localhost/livez", headers={"Host": host})) == (
                403,
                "host-refused",
            )
        with pytest.raises(PortInUse, match="another process listens there"):
            http_door(place)
    assert not place.path.exists()


def test_the_socket_of_a_killed_gateway_is_replaced(tmp_path: Path) -> None:
    place = SocketPath(tmp_path / "local.sock")
    http_door(place).socket.close()  # as a kill does: the file stays
    assert place.path.exists()

    http_door(place).close()

    assert not place.path.exists()


@pytest.mark.parametrize(
    ("path", "refused", "why"),
    [
        ("x" * 200, SocketPathTooLong, "107 at most"),
        ("nowhere/local.sock", AddressRefused, "its directory does not exist"),
        ("a-file", AddressRefused, "there is something that is no socket"),
    ],
)
def test_a_path_that_cannot_be_a_socket_is_refused(
    tmp_path: Path, path: str, refused: type[Exception], why: str
) -> None:
    (tmp_path / "a-file").write_text("mine")

    with pytest.raises(refused, match=why):
        http_door(SocketPath(tmp_path / path))
    assert (tmp_path / "a-file").read_text() == "mine"
