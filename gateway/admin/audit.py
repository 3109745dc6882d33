"""The audit log.

GET /v1/audit?since_ms=&action=&follow=    newline-delimited: entry …; `action` is a whole one or its first part
GET /v1/audit/tail?before=&action=&limit=  {"entries": [entry], "next"}: the newest before index `before`, the newest
                                           first; `next` is the `before` of older ones, null where there are none
GET /v1/audit/verify                       {entries, signed, heads, signer, signed_ms}; an error where it is broken
GET /v1/audit/export                       newline-delimited: the entries as they are stored, a signed head last

An entry is {index, time_ms, actor, action, object, outcome, details, previous}: docs/reference/audit.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from gateway.admin.peers import own_bundle
from gateway.admin.topics import MAX_WHOLE
from gateway.audit.auditor import Auditor
from gateway.audit.reading import PAGE, judged, lines_of, shown, shown_verdict
from gateway.http import schemas
from gateway.http.described import Flag, Number, Text, operation
from gateway.http.ndjson import LineWriter, respond_lines
from gateway.http.query import query_flag, query_number, query_text
from gateway.services import Services
from mesh.audit import AuditBroken, AuditEntry

MAX_TAIL = 500
MAX_LOOKED = 50_000
"""Entries in one answer of the tail, and how many are looked at for it."""


def routes(services: Services) -> list[web.RouteDef]:
    auditor = services.audit

    @operation(
        "the audit log, an entry a line",
        query={"since_ms": Number(most=MAX_WHOLE - 1), "action": Text(required=False), "follow": Flag()},
        answers=schemas.REPORT,
        streams=True,
    )
    async def listing(request: web.Request) -> web.StreamResponse:
        since_ms, action = query_number(request, "since_ms") or 0, query_text(request, "action", "")
        entries = entries_of(auditor, follow=query_flag(request, "follow"))
        return await respond_lines(request, _wanted(entries, since_ms, action))

    @operation("whether the audit log is whole", answers=schemas.REPORT)
    async def verification(request: web.Request) -> web.Response:
        # an entry that comes in while the log is read is after the head that is kept: this order misses none
        kept = auditor.signer.kept
        lines = [line async for line in lines_of(auditor.log)]
        bundle = await own_bundle(services)
        found = await asyncio.to_thread(judged, lines, [kept] if kept else [], bundle)
        return web.json_response(shown_verdict(found))

    @operation("the audit log as it is stored, a signed head last", answers=schemas.REPORT, streams=True)
    async def export(request: web.Request) -> web.StreamResponse:
        head = await auditor.sign()
        writer = LineWriter(request)
        try:
            await _write(writer, auditor, head.count + 1 if head else 0)
        except ConnectionResetError:
            return writer.response
        except Exception as error:
            return await writer.fail(error)
        return await writer.finish()

    @operation(
        "the newest entries of the audit log, the newest first",
        query={
            "before": Number(most=MAX_WHOLE - 1),
            "action": Text(required=False),
            "limit": Number(least=1, most=MAX_TAIL),
        },
        answers=schemas.object_of({"entries": schemas.list_of(schemas.REPORT), "next": schemas.null_or(schemas.WHOLE)}),
    )
    async def newest(request: web.Request) -> web.Response:
        before, limit = query_number(request, "before"), query_number(request, "limit") or 100
        end = auditor.end if before is None else min(before, auditor.end)
        entries, rest = await tail(auditor, end, limit, query_text(request, "action", ""))
        return web.json_response({"entries": [shown(entry) for entry in entries], "next": rest or None})

    return [
        web.get("/v1/audit", listing),
        web.get("/v1/audit/tail", newest),
        web.get("/v1/audit/verify", verification),
        web.get("/v1/audit/export", export),
    ]


async def entries_of(auditor: Auditor, *, follow: bool) -> AsyncIterator[AuditEntry]:
    """Raises AuditBroken at what is no entry."""
    index = 0
    while True:
        async for line in lines_of(auditor.log, index):
            try:
                yield AuditEntry.from_bytes(line)
            except ValueError as error:
                raise AuditBroken(index, str(error)) from error
            index += 1
        if not follow:
            return
        await auditor.wait_beyond(index)


async def tail(auditor: Auditor, end: int, limit: int, action: str) -> tuple[list[AuditEntry], int]:
    """The newest entries before `end`, at most `limit` of at most MAX_LOOKED, and where to go on.

    Raises AuditBroken at what is no entry.
    """
    found: list[AuditEntry] = []
    stop = max(0, end - MAX_LOOKED)
    while end > stop and len(found) < limit:
        begin = max(stop, end - PAGE)
        lines = (await auditor.log.read(begin, end - begin))[: end - begin]
        for index, line in reversed(list(enumerate(lines, begin))):
            try:
                entry = AuditEntry.from_bytes(line)
            except ValueError as error:
                raise AuditBroken(index, str(error)) from error
            end = index
            if _is_asked(entry, action):
                found.append(entry)
            if len(found) == limit:
                break
        end = begin if not lines else end
    return found, end


def _is_asked(entry: AuditEntry, action: str) -> bool:
    return not action or entry.action == action or entry.action.startswith(f"{action}.")


async def _wanted(entries: AsyncIterator[AuditEntry], since_ms: int, action: str) -> AsyncIterator[dict[str, object]]:
    async for entry in entries:
        if entry.time_ms >= since_ms and _is_asked(entry, action):
            yield shown(entry)


async def _write(writer: LineWriter, auditor: Auditor, count: int) -> None:
    block = bytearray()
    index = 0
    async for line in lines_of(auditor.log):
        if index == count:
            break
        block += line + b"\n"
        index += 1
        if len(block) > 1 << 16:
            await writer.send_block(bytes(block))
            block.clear()
    await writer.send_block(bytes(block))
