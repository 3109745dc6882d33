"""What the local HTTP API is to the checks that all HTTP APIs share, and how it refuses: problem+json (RFC 9457)."""

from __future__ import annotations

from gateway.audit.actor import APPLICATION
from gateway.http.api import Api
from gateway.http.errors import status_of
from gateway.http.schemas import FLAG, TEXT, WHOLE, object_of
from mesh.errors import MeshError
from mesh.local.errors import ApiTokenRefused
from mesh.local.names import TOKEN_METADATA

OPEN_PATHS = frozenset({"/livez", "/readyz"})
PROBLEM_TYPE = "application/problem+json"
PROBLEM = object_of(
    {
        "type": TEXT,
        "title": TEXT,
        "status": WHOLE,
        "detail": TEXT,
        "code": TEXT,
        "remedy": TEXT,
        "actor": TEXT,
        "retriable": FLAG,
    }
)


def problem(error: MeshError) -> dict[str, object]:
    return {
        "type": f"urn:stream-mesh:{error.code}",
        "title": error.code.replace("-", " "),
        "status": status_of(error),
        "detail": str(error),
        "code": error.code,
        "remedy": error.remedy,
        "actor": error.actor,
        "retriable": error.retriable,
    }


LOCAL = Api(
    name="local",
    token_header=TOKEN_METADATA,
    actor=APPLICATION,
    open_paths=OPEN_PATHS,
    max_body_bytes=8 * 1024 * 1024,
    body_of=problem,
    token_refused=ApiTokenRefused,
    refusal_type=PROBLEM_TYPE,
    body_s=30.0,
    body_types=frozenset({"application/json"}),
)
