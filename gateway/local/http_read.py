"""GET /v1/topics/{topic}/records: a topic's records as they come in, for as long as the reader stays.

A. What is fetched is written, and nothing more is fetched until it is: a slow reader slows the fetch (rule H).
B. A reader that takes nothing is ended with ReaderStalled, and its connection is cut where it does not take even that.
C. A reader that has left is noticed within LOOK_S.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic

from aiohttp import web

from gateway.http.described import Flag, Number, Text, operation
from gateway.http.fields import one_of
from gateway.http.guard import as_mesh_error, is_gone
from gateway.http.outlet import Outlet, last_word
from gateway.http.query import header_formed, query_flag, query_formed, query_number, query_text
from gateway.http.schemas import REPORT
from gateway.local import http_positions as positions_json
from gateway.local.api import LocalApi
from gateway.local.http_positions import PARTITIONS_TEXT, POSITIONS_TEXT
from gateway.local.http_records import Encoding
from gateway.local.http_streams import Form, form_of
from gateway.local.reading import Reading
from gateway.local.values import ReadQuery

LAST_EVENT_ID = "Last-Event-ID"
LOOK_S = 0.25
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
        form = form_of(request.headers.get("Accept", ""), Encoding(query_text(request, "encoding", Encoding.BASE64)))
        response = web.StreamResponse()
        outlet = Outlet(response)
        try:
            async with api.read(read_query(request)) as reading:
                response.headers.update(_headers(reading, form))
                await response.prepare(request)
                await _write(request, outlet, reading, form)
        except Exception as error:
            if not response.prepared:
                raise
            if not isinstance(error, ConnectionError):  # else it has left: there is nobody to tell
                await last_word(request, outlet, form.failed(as_mesh_error(request, error)), LAST_WORD_S)
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


async def _write(request: web.Request, outlet: Outlet, reading: Reading, form: Form) -> None:
    """The whole stream, to its end. Raises ConnectionError, and what the reading raises."""
    if begun := form.begun(reading.begun):
        await reading.taken(outlet.write(begun))
    heard = monotonic()
    while (parts := await reading.next(LOOK_S)) is not None:
        if is_gone(request):
            raise ConnectionResetError("the reader has left")
        block = form.records(parts)
        if not block and monotonic() - heard > IDLE_S:
            block = form.idle()
        if block:
            await reading.taken(outlet.write(block))
            heard = monotonic()
    await reading.taken(outlet.end(form.ended()))
