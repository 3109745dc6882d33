"""The JSON of a request's body."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from gateway.http.api import api_of
from gateway.http.errors import BodyRefused, BodySlow
from mesh.json_text import read_json


async def read_object(request: web.Request) -> dict[str, Any]:
    """The JSON object in the body; an empty body is an empty object. Raises BodyRefused, BodySlow."""
    try:
        text = await _text(request)
        value = read_json(text) if text.strip() else {}
    except (ValueError, LookupError) as error:  # no JSON, an unknown charset
        raise BodyRefused("it is not JSON") from error
    if not isinstance(value, dict):
        raise BodyRefused("it is not a JSON object")
    return value


async def _text(request: web.Request) -> str:
    within_s = api_of(request).body_s
    try:
        async with asyncio.timeout(within_s):
            return await request.text()
    except TimeoutError as error:
        assert within_s is not None
        raise BodySlow(within_s) from error
