"""Asks an HTTP API of a gateway by its own OpenAPI document, and in ways that no document describes.

The law: every answer is what the document says, every refusal one of the documented errors, nothing a failure of ours.
FUZZ_EXAMPLES (2) is how many requests are made for each operation, of each kind.
"""

from __future__ import annotations

import http.client
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from certs.authority import Authority
from certs.bundle import bundle_of
from gateway.cli.reference import project_errors
from mesh.ids import OrgId
from mesh.trust.peerfile import PeerFile

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
CODES = frozenset(error.code for error in project_errors()) - {"internal-error"}
OPEN = ("/livez", "/readyz", "/metrics")
"""They take nothing that could be wrong, and answer in plain text."""
PLACES = re.compile(r"\{\w+\}")


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


def operations(document: Mapping[str, Any], without: set[str]) -> dict[str, Any]:
    """By method and path. Asked with the token, always: to leave it away would be what makes most requests wrong."""
    schema = schemathesis.openapi.from_dict({key: value for key, value in document.items() if key != "security"})
    found = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    return {f"{each.method.upper()} {each.path}": each for each in found if each.path not in without}


def kinds(operations: Mapping[str, Any]) -> list[tuple[str, GenerationMode]]:
    """Each operation as it should be asked, and as it should not where something can be wrong."""
    wrong = [
        (name, GenerationMode.NEGATIVE)
        for name, operation in operations.items()
        if not name.endswith(OPEN) and (operation.body or operation.query)
    ]
    return [*((name, GenerationMode.POSITIVE) for name in operations), *wrong]


@dataclass(frozen=True, slots=True)
class Asking:
    """How requests of one API are made and judged."""

    door: Door
    known: Callable[[Case[Any]], Mapping[str, str]]
    """What there is, so that some requests get past the look for it."""
    code_of: Callable[[Any], str]
    """In the JSON of a refusal."""
    adjust: Callable[[Case[Any]], bool] = lambda case: True
    """Changes a request that would be answered without an end; False where it is left out."""

    def ask(self, operation: Any, mode: GenerationMode) -> None:
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
                known = self.known(case)
                case.path_parameters.update({key: known[key] for key in case.path_parameters if key in known})
            if self.adjust(case):
                self._one(operation, mode, case)

        asks()

    def _one(self, operation: Any, mode: GenerationMode, case: Case[Any]) -> None:
        headers = self.door.headers
        if not operation.body:
            headers = headers | {"Content-Type": "application/json"}
        response = case.call(base_url=self.door.url, headers=headers, timeout=30)
        self._documented(case, response)
        excluded: list[Any] = [not_a_server_error, positive_data_acceptance]  # `_documented` says which failures may be
        if mode is GenerationMode.POSITIVE:
            excluded.append(negative_data_rejection)
        case.validate_response(response, excluded_checks=excluded, headers=self.door.headers)

    def _documented(self, case: Case[Any], response: Any) -> None:
        """A refusal is a documented error, and no failure of ours."""
        if response.status_code >= 400 and case.path not in OPEN:
            code = self.code_of(json.loads(response.content))
            assert code in CODES, f"{response.status_code}: {response.content!r:.500}"

    def refused(self, status: int, body: bytes) -> None:
        """What no document describes is refused, or taken; nothing else."""
        assert status < 500, (status, body[:500])
        if status >= 400 and body.startswith(b"{"):  # what aiohttp itself does not understand is answered in plain text
            assert self.code_of(json.loads(body)) in CODES, body[:500]


@schemathesis.serializer("application/x-ndjson")
def as_lines(context: object, value: object) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


TOKENS = ["", "Bearer", "Bearer ", "Bearer \xff", "Basic OjE=", "Bearer " + "x" * 4000]


def bodies(most_bytes: int) -> dict[str, bytes]:
    def nested(opening: bytes) -> bytes:
        return opening * (most_bytes // len(opening) - 10)

    return {
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
        "too much": b'{"name": "' + b"x" * (2 * most_bytes) + b'"}',
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


def with_bodies(document: Mapping[str, Any], names: Mapping[str, str], without: set[str]) -> Iterator[tuple[str, str]]:
    """Method and path of what takes a body, with names in the path."""
    for path, methods in sorted(document["paths"].items()):
        for method, said in methods.items():
            if "requestBody" in said and path not in without:
                yield method.upper(), PLACES.sub(lambda place: names.get(place[0][1:-1], "x"), path)


def peer_file() -> bytes:
    """Of a partner that nobody runs."""
    org, now = OrgId("globex.example"), datetime.now(UTC)
    return PeerFile(bundle_of(org, [Authority.create(org, now).certificate], now), ()).to_json().encode()
