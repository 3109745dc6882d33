"""GET /v1/topics/{topic}/records: a topic's records as they come in, for as long as the reader stays.

A. What is fetched is written, and nothing more is fetched until it is: a slow reader slows the fetch (rule H).
B. A reader that takes nothing is ended with ReaderStalled, and its connection is cut where it does not take even that.
C. A reader that has left is noticed within LOOK_S, and one that stays is told of the gateway's end as quickly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic

from aiohttp import web

from gateway.http.described import Flag, Number, Text, operation
from gateway.http.fields import one_of
from gateway.http.guard import as_mesh_error, is_gone
from gateway.http.query import header_formed, query_flag, query_formed, query_number, query_text
from gateway.http.schemas import REPORT
from gateway.local import http_positions as positions_json
from gateway.local.api import LocalApi
from gateway.local.http_positions import PARTITIONS_TEXT, POSITIONS_TEXT
from gateway.local.http_problems import GatewayStopping
from gateway.local.http_records import Encoding
from gateway.local.http_streams import Form, form_of
from gateway.local.reading import Reading
from gateway.local.values import ReadQuery

LAST_EVENT_ID = "Last-Event-ID"
STOPPING = web.AppKey("stopping", asyncio.Event)
LOOK_S = 1.0
IDLE_S = 15.0
"""Between signs of life on a stream without records."""
LAST_WORD_S = 5.0
"""For a stalled reader to take the error that ends its stream."""
MAX_HEADER = 4000
"""Clients refuse longer ones: of more partitions they get no word here."""
MAX_COUNT = (1 << 53) - 1


def routes(api: LocalApi) -> list[web.RouteDef]:
    @operation(
        "records, as they come in",
        query={
            "cursor": Text(required=False),
            "start": Text(required=False),
            "positions": POSITIONS_TEXT,
            "partitions": PARTITIONS_TEXT,
            "until_end": Flag(),
            "max_records": Number(least=1, most=MAX_COUNT),
            "encoding": one_of(Encoding),
        },
        headers={LAST_EVENT_ID: POSITIONS_TEXT},
        answers=REPORT,
        streams=True,
        has_events=True,
    )
    async def read(request: web.Request) -> web.StreamResponse:
        encoding = Encoding(query_text(request, "encoding", Encoding.BASE64))
        async with api.read(read_query(request)) as reading:
            form = form_of(request.headers.get("Accept", ""), encoding)
            response = web.StreamResponse(headers=_headers(reading, form))
            await response.prepare(request)
            await _Writing(request, response, reading, form).run()
            return response

    # an answer without its body would have no end
    return [web.get("/v1/topics/{topic}/records", read, allow_head=False)]


def read_query(request: web.Request) -> ReadQuery:
    """Where an interrupted stream of events goes on, it goes on there whatever else is asked. Raises QueryRefused."""
    resumed = positions_json.parsed(header_formed(request, LAST_EVENT_ID))
    return ReadQuery(
        topic=request.match_info["topic"],
        partitions=positions_json.partitions(query_formed(request, "partitions")),
        start=query_text(request, "start", ""),
        positions=positions_json.parsed(query_formed(request, "positions")) | resumed,
        cursor=query_text(request, "cursor", ""),
        until_end=query_flag(request, "until_end"),
        max_records=query_number(request, "max_records") or 0,
    )


def _headers(reading: Reading, form: Form) -> Mapping[str, str]:
    """Lines say by headers where they begin and what commits by the cursor; events say it themselves, too."""
    begun = reading.begun
    found = {"Content-Type": form.content_type, "Cache-Control": "no-store"}
    stands = positions_json.as_text(begun.positions)
    if len(stands) <= MAX_HEADER:
        found["mesh-positions"] = stands
    if begun.lease:
        found["mesh-lease"] = begun.lease
    return found


class _Writing:
    """One stream while it lasts."""

    def __init__(self, request: web.Request, response: web.StreamResponse, reading: Reading, form: Form) -> None:
        self._request, self._response, self._reading, self._form = request, response, reading, form

    async def run(self) -> None:
        try:
            if begun := self._form.begun(self._reading.begun):
                await self._write(begun)
            await self._records()
            await self._reading.taken(self._response.write_eof(self._form.ended()))
        except ConnectionError:
            pass  # it has left: there is nobody to tell
        except Exception as error:
            await self._last_word(error)

    async def _records(self) -> None:
        heard = monotonic()
        while (parts := await self._reading.next(LOOK_S)) is not None:
            if is_gone(self._request):
                raise ConnectionResetError("the reader has left")
            if self._request.app[STOPPING].is_set():
                raise GatewayStopping
            block = self._form.records(parts)
            if not block and monotonic() - heard > IDLE_S:
                block = self._form.idle()
            if block:
                await self._write(block)
                heard = monotonic()

    async def _write(self, block: bytes) -> None:
        await self._reading.taken(self._response.write(block))

    async def _last_word(self, error: Exception) -> None:
        try:
            async with asyncio.timeout(LAST_WORD_S):
                await self._response.write_eof(self._form.failed(as_mesh_error(self._request, error)))
        except (TimeoutError, ConnectionError):
            if self._request.transport is not None:
                self._request.transport.abort()
