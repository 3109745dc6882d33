"""The JSON of a request's body."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from gateway.http.errors import BodyRefused
from mesh.json_text import read_json


async def read_object(request: web.Request) -> dict[str, Any]:
    """The JSON object in the body, or BodyRefused; an empty body is an empty object."""
    try:
        text = await request.text()
        value = read_json(text) if text.strip() else {}
    except (ValueError, LookupError) as error:  # no JSON, an unknown charset
        raise BodyRefused("it is not JSON") from error
    if not isinstance(value, dict):
        raise BodyRefused("it is not a JSON object")
    return value
