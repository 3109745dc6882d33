"""The local HTTP API of a real gateway process, asked by its own OpenAPI document, and in ways that none describes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from schemathesis import Case, GenerationMode

from gateway.local.http_openapi import document
from gateway.local.http_problems import LOCAL
from gateway.local.http_server import all_routes
from gateway.ports_file import read_ports
from tests.fuzz.described import (
    CODES,
    HEADERS,
    OPEN,
    PLACES,
    TOKENS,
    Asking,
    Door,
    bodies,
    kinds,
    operations,
    peer_file,
)
from tests.fuzz.described import with_bodies as paths_with_bodies
from tests.support.organization import Organization, stop_all

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

DOCUMENT = document(all_routes())
LAST = {"/v1/shutdown"}
NAMES = {"topic": "departures", "cursor": "billing", "name": "flights"}
RECORDS = "/v1/topics/departures/records"
OPERATIONS = operations(DOCUMENT, LAST)
KINDS = kinds(OPERATIONS)


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Organization]:
    acme = Organization.init(tmp_path_factory.mktemp("fuzz") / "acme", "acme.example")
    with stop_all(acme):
        acme.start("listen.local_http=127.0.0.1:0")
        acme.mesh("peer", "add", "-", stdin=peer_file())
        acme.mesh("topic", "create", "departures")
        yield acme
        assert acme.process is not None
        assert acme.process.poll() is None, "the gateway ended"
        assert "Traceback" not in acme.log
        assert "incident" not in acme.log


@pytest.fixture(scope="module")
def asking(acme: Organization) -> Asking:
    ports = read_ports(acme.home / "state")
    assert ports is not None
    host, _, port = ports.local_http.rpartition(":")
    token = (acme.home / "state" / "local.token").read_text().split()[0]
    return Asking(Door(host, int(port), token), known, lambda said: str(said["code"]), has_an_end)


def known(case: Case[Any]) -> Mapping[str, str]:
    return NAMES


def has_an_end(case: Case[Any]) -> bool:
    """A reading ends where the topic does; what is no flag is refused before."""
    if case.path.endswith("/records") and str(case.query.get("until_end", False)).lower() in {"false", "none"}:
        case.query["until_end"] = "true"
    return True


@pytest.mark.parametrize(("name", "mode"), KINDS, ids=[f"{mode.value} {name}" for name, mode in KINDS])
def test_answers_are_as_the_document_says(name: str, mode: GenerationMode, asking: Asking) -> None:
    asking.ask(OPERATIONS[name], mode)


@pytest.mark.parametrize("token", TOKENS)
def test_nothing_is_answered_without_the_token(token: str, asking: Asking) -> None:
    for name, operation in OPERATIONS.items():
        if not name.endswith(OPEN):
            path = PLACES.sub("x", operation.path)
            status, body = asking.door.ask(operation.method.upper(), path, b"{}", {"Authorization": token})
            assert status == 401, (name, status, body[:500])
            assert json.loads(body)["code"] in CODES


BODIES = bodies(LOCAL.max_body_bytes) | {
    "a lone surrogate in a record": b'{"records": [{"value": "\\ud800", "headers": [{"name": "\\udfff"}]}]}',
    "a number beyond any in a record": b'{"records": [{"value": 1e400}]}',
    "a number of 5000 digits in a record": b'{"records": [{"value": ' + b"9" * 5000 + b"}]}",
    "not a number in a record": b'{"records": [{"value": NaN}]}',
    "brackets in a record": b'{"records": [{"value": ' + b"[" * 50_000 + b"]" * 50_000 + b"}]}",
    "many records of nothing": b'{"records": [' + b"{}," * 100_000 + b"{}]}",
    "a time beyond any": b'{"records": [{"timestamp_ms": 9999999999999999999}]}',
}
WITH_BODIES = [*paths_with_bodies(DOCUMENT, NAMES, LAST)]


@pytest.mark.parametrize("body", BODIES)
def test_no_body_is_a_failure_of_ours(body: str, asking: Asking) -> None:
    for method, path in WITH_BODIES:
        for query in ("", "?encoding=text", "?encoding=json") if "record" in body and path == RECORDS else ("",):
            asking.refused(*asking.door.ask(method, path + query, BODIES[body], {"Content-Type": "application/json"}))


@pytest.mark.parametrize("headers", HEADERS)
def test_no_type_and_no_encoding_is_a_failure_of_ours(headers: str, asking: Asking) -> None:
    for body in (b'{"records": [{"value": "YQ=="}]}', b'{"records": "\xc3"}', b""):
        asking.refused(*asking.door.ask("POST", RECORDS, body, HEADERS[headers]))


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "OPTIONS", "HEAD"])
def test_a_method_that_a_path_does_not_have(method: str, asking: Asking) -> None:
    status, _ = asking.door.ask(method, RECORDS, b"{}", {"Content-Type": "application/json"})
    assert status == 405


@pytest.mark.parametrize(
    "path",
    [
        "/v1/topics/%00/records", "/v1/topics/%ff%fe/records", "/v1/topics/..%2f..%2fetc/records",
        "/v1/topics/" + "x" * 5000 + "/records", "/v1/cursors/%e2%80%ae/topics/departures",
        "/v1/cursors/%0d%0aX:%20y/topics/departures", "/v1/cursors/" + "x" * 5000 + "/topics/departures",
        RECORDS + "?positions=0:999999999999999999&until_end=true", RECORDS + "?partitions=999999999&until_end=true",
        RECORDS + "?start=timestamp:" + "9" * 30 + "&until_end=true", RECORDS + "?start=%00&until_end=true",
        RECORDS + "?cursor=%00", RECORDS + "?max_records=" + "9" * 4000, RECORDS + "?positions=" + "0:1," * 1500,
        "/v1/subscriptions/%ff/translate?topic=%00&partition=0&source_offset=0",
        "/v1/subscriptions/x/translate?topic=x&partition=" + "9" * 4000, "/v1/catalog?peer=%f0%28", "/v1//topics", "//",
    ],
)  # fmt: skip
def test_no_path_is_a_failure_of_ours(path: str, asking: Asking) -> None:
    for method in ("GET", "DELETE", "POST"):
        asking.refused(*asking.door.ask(method, path, b"", {"Content-Type": "application/json"}))


@pytest.mark.parametrize("given", ["x", "0:1,", "0:1,0:1", "\xff", "0:" + "9" * 400, "9" * 8000])
def test_no_last_event_id_is_a_failure_of_ours(given: str, asking: Asking) -> None:
    status, body = asking.door.ask("GET", RECORDS + "?until_end=true", b"", {"Last-Event-ID": given})
    assert 400 <= status < 500
    asking.refused(status, body)
