"""The admin API of a real gateway process, asked by its own OpenAPI document, and in ways that no document describes.

The law: every answer is what the document says, every refusal one of the documented errors, nothing a failure of ours.
FUZZ_EXAMPLES (2) is how many requests are made for each operation, of each kind.
"""

from __future__ import annotations

import http.client
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from certs.authority import Authority
from certs.bundle import bundle_of
from gateway.admin.guard import MAX_BODY_BYTES
from gateway.admin.openapi import document
from gateway.admin.server import all_routes
from gateway.cli.reference import project_errors
from mesh.ids import OrgId
from mesh.trust.peerfile import PeerFile
from tests.support.organization import Organization, stop_all

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
DOCUMENT = document(all_routes())
SCHEMA = schemathesis.openapi.from_dict({key: value for key, value in DOCUMENT.items() if key != "security"})
"""Asked with the token, always: to leave it away would otherwise be what makes most requests wrong."""
ENDLESS = {"/v1/status/watch"}
"""Answers for as long as somebody listens."""
LAST = {"/v1/shutdown"}
NAMES = {"name": "flights", "org": "globex.example", "share": "flights", "peer": "globex.example"}
TOPIC = {"name": "departures"}
"""What there is, so that some requests get past the look for it."""
FOUND = [result.ok() for result in SCHEMA.get_all_operations() if isinstance(result, Ok)]
OPERATIONS = {f"{each.method.upper()} {each.path}": each for each in FOUND if each.path not in ENDLESS | LAST}
CODES = frozenset(error.code for error in project_errors()) - {"internal-error"}


@dataclass(frozen=True, slots=True)
class Door:
    host: str
    port: int
    token: str

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, path, body, self.headers | headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


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


def peer_file() -> bytes:
    """Of a partner that nobody runs."""
    org, now = OrgId("globex.example"), datetime.now(UTC)
    return PeerFile(bundle_of(org, [Authority.create(org, now).certificate], now), ()).to_json().encode()


@pytest.fixture(scope="module")
def door(acme: Organization) -> Door:
    host, _, port = acme.admin.rpartition(":")
    return Door(host, int(port), (acme.home / "state" / "admin.token").read_text().split()[0])


def documented(case: Case[Any], response: Any) -> None:
    """A refusal is a documented error, and no failure of ours."""
    if response.status_code >= 400 and case.path not in OPEN:
        code = json.loads(response.content)["error"]["code"]
        assert code in CODES, f"{response.status_code}: {response.content!r:.500}"


OPEN = ("/livez", "/readyz", "/metrics")
"""They take nothing that could be wrong, and answer in plain text."""
PLACES = re.compile(r"\{\w+\}")
KINDS = [(name, GenerationMode.POSITIVE) for name in OPERATIONS]
KINDS += [
    (name, GenerationMode.NEGATIVE)
    for name, operation in OPERATIONS.items()
    if not name.endswith(OPEN) and (operation.body or operation.query)  # others take nothing that could be wrong
]


@schemathesis.serializer("application/x-ndjson")
def as_lines(context: object, value: object) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@pytest.mark.parametrize(("name", "mode"), KINDS, ids=[f"{mode.value} {name}" for name, mode in KINDS])
def test_answers_are_as_the_document_says(name: str, mode: GenerationMode, door: Door) -> None:
    operation = OPERATIONS[name]
    number = iter(range(1 << 30))

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def asks(case: Case[Any]) -> None:
        if mode is GenerationMode.POSITIVE and next(number) % 2:
            known = NAMES | (TOPIC if case.path.startswith("/v1/topics/") else {})
            case.path_parameters.update({key: known[key] for key in case.path_parameters if key in known})
        if str(case.query.get("follow")).lower() == "true":
            return  # an answer without an end
        headers = door.headers if operation.body else door.headers | {"Content-Type": "application/json"}
        response = case.call(base_url=door.url, headers=headers, timeout=30)
        documented(case, response)
        excluded: list[Any] = [not_a_server_error, positive_data_acceptance]  # `documented` says which failures may be
        if mode is GenerationMode.POSITIVE:
            excluded.append(negative_data_rejection)
        case.validate_response(response, excluded_checks=excluded, headers=door.headers)

    asks()


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer ", "Bearer \xff", "Basic OjE=", "Bearer " + "x" * 4000])
def test_nothing_is_answered_without_the_token(token: str, door: Door) -> None:
    for name, operation in OPERATIONS.items():
        if not name.endswith(OPEN):
            status, body = door.ask(
                operation.method.upper(), PLACES.sub("x", operation.path), b"{}", {"Authorization": token}
            )
            assert status == 401, (name, status, body[:500])
            assert json.loads(body)["error"]["code"] in CODES


def nested(opening: bytes) -> bytes:
    return opening * (MAX_BODY_BYTES // len(opening) - 10)


BODIES: dict[str, bytes] = {
    "brackets in brackets": nested(b"["),
    "objects in objects": nested(b'{"a":'),
    "not UTF-8": b'{"name": "\xff\xfe"}',
    "a lone surrogate": b'{"name": "\\ud800", "topics": ["\\udfff"], "file": "\\ud800", "grant": "\\ud800"}',
    "a number beyond any": b'{"partitions": 1e400, "ttl_s": 1e400, "runs": 1e400}',
    "a number of 5000 digits": b'{"name": "x", "partitions": ' + b"9" * 5000 + b"}",
    "not a number": b'{"partitions": NaN, "start_ms": -Infinity}',
    "a list": b"[]",
    "null": b"null",
    "a text": b'"text"',
    "cut": b'{"name": "x"',
    "nothing": b"",
    "a NUL": b'{"name": "a\\u0000b"}\x00',
    "too much": b'{"name": "' + b"x" * (2 * MAX_BODY_BYTES) + b'"}',
    "the same name twice": b'{"name": 1, "name": []}',
}
HEADERS: dict[str, dict[str, str]] = {
    "another charset": {"Content-Type": "application/json; charset=utf-16"},
    "no charset": {"Content-Type": "application/json; charset=nonsense"},
    "a form": {"Content-Type": "application/x-www-form-urlencoded"},
    "no type": {"Content-Type": ""},
    "a broken type": {"Content-Type": "application/json; charset"},
    "gzip that is none": {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    "an unknown encoding": {"Content-Type": "application/json", "Content-Encoding": "x-nothing"},
}
WITH_BODIES = sorted(
    (method.upper(), path.replace("{name}", "flights").replace("{share}", "flights").replace("{id}", "0" * 32))
    for path, methods in DOCUMENT["paths"].items()
    for method, said in methods.items()
    if "requestBody" in said and path not in LAST
)


def refused(status: int, body: bytes) -> None:
    assert status < 500, (status, body[:500])
    if status >= 400 and body.startswith(b"{"):  # what aiohttp itself does not understand is answered in plain text
        assert json.loads(body)["error"]["code"] in CODES, body[:500]


@pytest.mark.parametrize("body", BODIES)
def test_no_body_is_a_failure_of_ours(body: str, door: Door) -> None:
    for method, path in WITH_BODIES:
        path = path.replace("{org}", "globex.example").replace("{peer}", "globex.example")
        refused(*door.ask(method, path, BODIES[body], {"Content-Type": "application/json"}))


@pytest.mark.parametrize("headers", HEADERS)
def test_no_type_and_no_encoding_is_a_failure_of_ours(headers: str, door: Door) -> None:
    for body in (b'{"name": "x", "topics": []}', b'{"name": "\xc3"}', b""):
        refused(*door.ask("POST", "/v1/shares", body, HEADERS[headers]))
        refused(*door.ask("POST", "/v1/topics/departures/records", body, HEADERS[headers]))


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
def test_no_path_is_a_failure_of_ours(path: str, door: Door) -> None:
    for method in ("GET", "DELETE", "POST"):
        refused(*door.ask(method, path, b"", {"Content-Type": "application/json"}))
