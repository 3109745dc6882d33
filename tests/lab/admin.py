"""Questions to a gateway's admin API over plain HTTP: what the collector asks, without a command line in between."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from tests.support.organization import Organization

PATIENCE_S = 30.0
_opener = build_opener(ProxyHandler({}))


class NoAnswer(OSError):
    """The gateway did not answer, or refused: then `code` is its error's."""

    def __init__(self, what: str, code: str = "") -> None:
        super().__init__(what)
        self.code = code


def asking(organization: Organization, timeout_s: float = PATIENCE_S) -> Callable[[str], dict[str, Any]]:
    """Answers of this organization's gateway to GETs; raises NoAnswer."""
    return lambda path: call(organization, "GET", path, timeout_s=timeout_s)


def status(organization: Organization, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
    """Raises NoAnswer."""
    return call(organization, "GET", "/v1/status", timeout_s=timeout_s)


def call(
    organization: Organization, method: str, path: str, body: object = None, timeout_s: float = PATIENCE_S
) -> dict[str, Any]:
    """One question, a JSON object as answer. Raises NoAnswer."""
    content = None if body is None else json.dumps(body).encode()
    return send(organization, method, path, content, "application/json", timeout_s)


def send(
    organization: Organization, method: str, path: str, content: bytes | None, kind: str, timeout_s: float = PATIENCE_S
) -> dict[str, Any]:
    headers = {"Accept": "application/json", "Content-Type": kind}
    try:
        token = (organization.home / "state" / "admin.token").read_text().split()[0]
        headers["Authorization"] = f"Bearer {token}"
        request = Request(f"http://{organization.admin}{path}", content, headers, method=method)
        with _opener.open(request, timeout=timeout_s) as answer:
            found: dict[str, Any] = json.loads(answer.read() or b"{}")
            return found
    except HTTPError as refused:
        text = refused.read().decode(errors="replace")
        raise NoAnswer(f"{path}: {refused.code} {text[:500]}", _code(text)) from refused
    except (OSError, HTTPException, ValueError, IndexError) as error:
        raise NoAnswer(f"{path}: {error!r}") from error


def _code(text: str) -> str:
    try:
        return str(json.loads(text).get("error", {}).get("code", ""))
    except (ValueError, AttributeError):
        return ""
