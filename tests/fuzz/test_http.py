"""The admin API of a real gateway process, asked by its own OpenAPI document, and in ways that no document describes.

The law: every answer is what the document says, every refusal one of the documented errors, nothing a failure of ours.
FUZZ_EXAMPLES (2) is how many requests are made for each operation, of each kind.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from schemathesis import Case, GenerationMode

from gateway.admin.guard import MAX_BODY_BYTES
from gateway.admin.openapi import document
from gateway.admin.server import all_routes
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
ENDLESS = {"/v1/status/watch"}
"""Answers for as long as somebody listens."""
LAST = {"/v1/shutdown"}
NAMES = {"name": "flights", "org": "globex.example", "share": "flights", "peer": "globex.example"}
TOPIC = {"name": "departures"}
"""What there is, so that some requests get past the look for it."""
OPERATIONS = operations(DOCUMENT, ENDLESS | LAST)


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Organization]:
    acme = Organization.init(tmp_path_factory.mktemp("fuzz") / "acme", "acme.example")
    with stop_all(acme):
        acme.start()
        acme.mesh("peer", "add", "-", stdin=peer_file())
        acme.mesh("topic", "create", "departures")
        acme.mesh("share", "create", "flights", "--topic", "departures")
        acme.mesh("grant", "create", "flights", "--to", "globex.example")
        yield acme
        assert acme.process is not None
        assert acme.process.poll() is None, "the gateway ended"
        assert "Traceback" not in acme.log
        assert "incident" not in acme.log


@pytest.fixture(scope="module")
def door(acme: Organization) -> Door:
    host, _, port = acme.admin.rpartition(":")
    return Door(host, int(port), (acme.home / "state" / "admin.token").read_text().split()[0])


@pytest.fixture(scope="module")
def asking(door: Door) -> Asking:
    return Asking(door, known, lambda said: str(said["error"]["code"]), has_an_end)


def known(case: Case[Any]) -> Mapping[str, str]:
    return NAMES | (TOPIC if case.path.startswith("/v1/topics/") else {})


def has_an_end(case: Case[Any]) -> bool:
    return str(case.query.get("follow")).lower() != "true"


KINDS = kinds(OPERATIONS)


@pytest.mark.parametrize(("name", "mode"), KINDS, ids=[f"{mode.value} {name}" for name, mode in KINDS])
def test_answers_are_as_the_document_says(name: str, mode: GenerationMode, asking: Asking) -> None:
    asking.ask(OPERATIONS[name], mode)


@pytest.mark.parametrize("token", TOKENS)
def test_nothing_is_answered_without_the_token(token: str, door: Door) -> None:
    for name, operation in OPERATIONS.items():
        if not name.endswith(OPEN):
            status, body = door.ask(
                operation.method.upper(), PLACES.sub("x", operation.path), b"{}", {"Authorization": token}
            )
            assert status == 401, (name, status, body[:500])
            assert json.loads(body)["error"]["code"] in CODES


BODIES = bodies(MAX_BODY_BYTES)
WITH_BODIES = [*paths_with_bodies(DOCUMENT, NAMES | {"id": "0" * 32}, LAST)]


@pytest.mark.parametrize("body", BODIES)
def test_no_body_is_a_failure_of_ours(body: str, asking: Asking) -> None:
    for method, path in WITH_BODIES:
        asking.refused(*asking.door.ask(method, path, BODIES[body], {"Content-Type": "application/json"}))


@pytest.mark.parametrize("headers", HEADERS)
def test_no_type_and_no_encoding_is_a_failure_of_ours(headers: str, asking: Asking) -> None:
    for body in (b'{"name": "x", "topics": []}', b'{"name": "\xc3"}', b""):
        asking.refused(*asking.door.ask("POST", "/v1/shares", body, HEADERS[headers]))
        asking.refused(*asking.door.ask("POST", "/v1/topics/departures/records", body, HEADERS[headers]))


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "OPTIONS"])
def test_a_method_that_a_path_does_not_have(method: str, door: Door) -> None:
    for path, methods in DOCUMENT["paths"].items():
        if method.lower() in methods or "{" in path:
            continue
        status, body = door.ask(method, path, b"{}", {"Content-Type": "application/json"})
        assert status == 405, (method, path, status, body)
        assert json.loads(body)["error"]["code"] == "method-refused"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/topics/%00", "/v1/topics/%ff%fe", "/v1/topics/..%2f..%2fetc", "/v1/topics/" + "x" * 5000,
        "/v1/shares/%e2%80%ae", "/v1/peers/%2e%2e", "/v1/subscriptions/%0d%0aX:%20y/gaps", "/v1/topics?ranges=%ff",
        "/v1/topics?ranges=true&ranges=true", "/v1/audit?since_ms=" + "9" * 4000, "/v1/grants/a/b/explain?topic=%00",
        "/v1/catalog?peer=%f0%28", "/v1/topics/departures/records?from=timestamp:" + "9" * 30,
        "/v1/topics/departures/records?from=offset:-1", "/v1/topics/departures/records?partition=-1&max=0",
        "/v1/peer-file?addresses=" + "a:1," * 1500, "/v1/groups/show?group=%00%0a", "/v1//topics", "//", "/v1/%",
    ],
)  # fmt: skip
def test_no_path_is_a_failure_of_ours(path: str, asking: Asking) -> None:
    for method in ("GET", "DELETE", "POST"):
        asking.refused(*asking.door.ask(method, path, b"", {"Content-Type": "application/json"}))
