"""Who the local API answers, and in which form it refuses: the matrix of bad input, row by row.

All of them ask one gateway: whatever is refused changes nothing.
"""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from gateway.http.errors import AddressRefused
from gateway.local.http_problems import LOCAL
from tests.support.local_http import LocalHttp, local_http, refusal

pytestmark = pytest.mark.asyncio(loop_scope="module")

RECORDS = "/v1/topics/flights/records"
BODY = {"records": [{"value": "YQ=="}]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def local(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalHttp]:
    async with local_http(tmp_path_factory.mktemp("local")) as running:
        yield running


@pytest.mark.parametrize("name", ["Authorization", "mesh-api-token"])
async def test_either_header_carries_the_token(local: LocalHttp, name: str) -> None:
    value = f"Bearer {local.token}" if name == "Authorization" else local.token
    async with aiohttp.ClientSession() as stranger:
        assert (await stranger.get(f"{local.url}/v1/openapi.json", headers={name: value})).status == 200


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"mesh-api-token": ""}, {"mesh-api-token": "\xff"}, {"Cookie": "token"}],
)
async def test_without_the_token_nothing_is_answered(local: LocalHttp, headers: dict[str, str]) -> None:
    async with aiohttp.ClientSession() as stranger:
        for path in ("/v1/status", RECORDS, "/v1/openapi.json", "/v1/shutdown", "/nothing", "/"):
            answer = await stranger.get(local.url + path, headers=headers)
            assert await refusal(answer) == (401, "api-token-refused")


async def test_the_two_tokens_are_two_doors(local: LocalHttp) -> None:
    async with aiohttp.ClientSession() as stranger:
        with_admins = await stranger.get(f"{local.url}/v1/status", headers={"mesh-api-token": local.admin.token})
        with_ours = await stranger.get(f"{local.admin.url}/v1/status", headers={"mesh-admin-token": local.token})

        assert (with_admins.status, with_ours.status) == (401, 401)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost", "localhost.evil.example:80"])
async def test_a_foreign_host_is_refused_even_with_the_token(local: LocalHttp, host: str) -> None:
    for path in (RECORDS, "/livez", "/readyz"):
        answer = await local.session.get(local.url + path, headers={"Host": host})
        assert await refusal(answer) == (403, "host-refused")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1"])
async def test_a_foreign_origin_is_refused_even_with_the_token(local: LocalHttp, origin: str) -> None:
    for method in ("GET", "OPTIONS", "POST"):
        answer = await local.session.request(method, local.url + RECORDS, headers={"Origin": origin})
        assert await refusal(answer) == (403, "origin-refused")
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", "application/x-ndjson", ""]
)
async def test_only_json_is_read(local: LocalHttp, kind: str) -> None:
    answer = await local.session.post(local.url + RECORDS, data=b'{"records": []}', headers={"Content-Type": kind})

    assert await refusal(answer) == (415, "content-type-refused")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{", "it is not JSON"),
        (b"[]", "it is not a JSON object"),
        (b"\xff", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"", "field 'records' must be a list of 1 to 10000 objects"),
        (b'{"records": []}', "field 'records' must be a list of 1 to 10000 objects"),
        (b'{"records": [' + b"{}," * 10_000 + b"{}]}", "field 'records' must be a list of 1 to 10000 objects"),
        (b'{"records": [{}, 7]}', "field 'records' must be a list of 1 to 10000 objects"),
        (b'{"records": [{}, {"value": "%"}]}', "records[1]: field 'value' of a record is not base64"),
        (b'{"records": [{"key": 7}]}', "records[0]: field 'key' must be a text"),
        (b'{"records": [{"headers": [{"name": "a"}, {}]}]}', "records[0]: headers[1]: field 'name' must be a text"),
        (b'{"records": [{"partition": 1}]}', "records[0]: field 'partition' is not known"),
        (b'{"records": [{}], "topic": "x"}', "field 'topic' is not known"),
    ],
)
async def test_a_body_that_holds_no_records_is_refused(local: LocalHttp, body: bytes, why: str) -> None:
    answer = await local.session.post(local.url + RECORDS, data=body, headers={"Content-Type": "application/json"})

    said = await answer.json(content_type=None)
    assert (answer.status, said["code"]) == (400, "body-refused")
    assert why in said["detail"]


async def test_a_body_beyond_the_limit_is_refused(local: LocalHttp) -> None:
    body = io.BytesIO(json.dumps({"records": [{"value": "x" * LOCAL.max_body_bytes}]}).encode())
    answer = await local.session.post(local.url + RECORDS, data=body, headers={"Content-Type": "application/json"})

    assert await refusal(answer) == (413, "body-too-large")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("?encoding=rot13", "query-refused"),
        ("?positions=0", "query-refused"),
        ("?positions=0:1,0:2", "body-refused"),
        ("?partitions=-1", "query-refused"),
        ("?max_records=0", "query-refused"),
        ("?until_end=yes", "query-refused"),
        ("?follow=true", "body-refused"),
        ("?cursor=a&cursor=b", "body-refused"),
    ],
)
async def test_a_parameter_that_cannot_be_is_refused(local: LocalHttp, query: str, code: str) -> None:
    assert await refusal(await local.session.get(local.url + RECORDS + query)) == (400, code)


@pytest.mark.parametrize("given", ["", "x", "0:1;1:2", "0:1,0:2"])
async def test_a_last_event_id_that_is_not_ours_is_refused(local: LocalHttp, given: str) -> None:
    answer = await local.session.get(local.url + RECORDS, headers={"Last-Event-ID": given})

    assert (await refusal(answer))[0] == 400


@pytest.mark.parametrize("key", ["", " ", "a b", "ä", "x" * 201])
async def test_an_idempotency_key_is_printable_and_short(local: LocalHttp, key: str) -> None:
    answer = await local.session.post(local.url + RECORDS, json=BODY, headers={"Idempotency-Key": key})

    assert await refusal(answer) == (400, "query-refused")


async def test_what_is_not_there_is_named(local: LocalHttp) -> None:
    assert await refusal(await local.session.get(f"{local.url}/v1/nothing")) == (404, "path-absent")
    put = await local.session.put(f"{local.url}/v1/topics", json={})
    assert (await refusal(put), put.headers["Allow"]) == ((405, "method-refused"), "GET, HEAD")
    # the answer to HEAD would have no end
    assert (await local.session.head(local.url + RECORDS)).status == 405


async def test_the_api_describes_itself(local: LocalHttp) -> None:
    document = await (await local.session.get(f"{local.url}/v1/openapi.json")).json()

    assert document["info"]["title"] == "Stream Mesh local API"
    assert set(document["paths"][RECORDS.replace("flights", "{topic}")]) == {"get", "post"}
    assert document["security"] == [{"token": []}, {"bearer": []}]


async def test_every_refusal_is_a_problem_with_all_its_members() -> None:
    assert set(LOCAL.body_of(AddressRefused("a", "b", "c"))) == {
        "type", "title", "status", "detail", "code", "remedy", "actor", "retriable",
    }  # fmt: skip
