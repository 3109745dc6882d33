"""An `AuditLog` on a topic of one partition that keeps everything: an entry's index is its offset.

All gateways of the organization write it, as one producer (`gateway.kafka.line`): an append goes to the place that
follows on the last batch of the log, so of several that were chained to the same entry one lands and the others are
refused. What an answer means, the log tells: what stands at the index is compared with what was to stand there.

A broker forgets a producer that was silent for a day, and would then take any place for the next. So the end is asked
directly before each append, and an entry that was answered another offset than its index is no less than damage.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from gateway.kafka.client import Client
from gateway.kafka.destination import KafkaDestination
from gateway.kafka.errors import AuditNotKept
from gateway.kafka.line import TOKEN, Line
from gateway.kafka.offsets import log_end, log_range
from gateway.kafka.patience import patiently
from gateway.kafka.placing import place_batch
from gateway.kafka.scan import scan
from gateway.kafka.state import new_appends
from gateway.kafka.state_topics import ensure_state_topic
from mesh.audit import AuditBroken
from mesh.batch.encode import encode
from mesh.batch.header import HEADER_BYTES
from mesh.batch.records import Headers, Record, records_of
from mesh.batch.stamp import sequence_of
from mesh.cluster_errors import (
    AppendUnknown,
    AuditMoved,
    ClusterUnreachable,
)
from mesh.ids import Partition, TopicId

AUDIT_TOPIC = "_mesh.audit"
CONFIG = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
EPOCHS = 3
"""How often a refusal that nobody caused is met with a newer epoch."""


class KafkaAudit:
    """Implements `mesh.ports.AuditLog`. Made by `open_audit`."""

    def __init__(self, client: Client, topic: str, topic_id: TopicId) -> None:
        self._client = client
        self._partition = Partition(topic, 0)
        self._topic_id = topic_id
        self._destination = KafkaDestination(client)
        self._signed: Headers = ((TOKEN, new_appends().token()),)
        """By this, entries are known to be ours."""
        self._lock = asyncio.Lock()
        self._line: Line | None = None
        self._line_end = -1
        """Up to where `_line` has seen the log."""

    async def append(self, entries: Sequence[bytes], index: int) -> None:
        """As the port says. Also BatchRefused, and AuditBroken where entries came to lie elsewhere."""
        timeout_s = self._client.config.request_timeout_s
        try:
            async with asyncio.timeout(timeout_s), self._lock:
                await self._append(list(entries), index)
        except TimeoutError:
            raise AppendUnknown(*self._partition, f"no outcome within {timeout_s:g} s") from None

    async def end(self) -> int:
        return await log_end(self._client, self._partition, self._client.config.request_timeout_s)

    async def read(self, from_index: int, limit: int) -> list[bytes]:
        end = min(await self.end(), from_index + limit)
        return [record.value or b"" for record in await self._records(from_index, end)]

    async def _records(self, from_index: int, end: int) -> list[Record]:
        """Those in [from_index, end), which are there."""

        async def ask() -> list[Record]:
            found: list[Record] = []
            async for header, batch in scan(self._client, self._partition, from_index, end):
                records = records_of(header, batch[HEADER_BYTES:])
                found += [r for r in records if from_index <= header.base_offset + r.offset_delta < end]
            return found

        return await patiently(self._client, self._partition, ask, self._client.config.request_timeout_s)

    async def _append(self, entries: list[bytes], index: int) -> None:
        now_ms = int(time.time() * 1000)
        batch = encode([Record(at, now_ms, None, entry, self._signed) for at, entry in enumerate(entries)])
        for attempt in range(EPOCHS):
            end = await self.end()
            if end == index:
                line = await self._line_at(end)
                # A place that was refused although nobody was quicker: the leader knows another history than the log.
                place = line.next if attempt == 0 else line.newer
                offset = await place_batch(self._client, self._destination, self._partition, batch, place)
                end = await self.end()
                if offset is not None and offset != index and await self._stand_at(offset, entries, end):
                    raise AuditBroken(offset, f"an entry that belongs at {index} was written here")
            if end != index:
                if await self._stand_at(index, entries, end):
                    return
                raise AuditMoved(index, end)
        raise ClusterUnreachable(self._client.cluster_id, f"{self._partition} refuses the next audit entry")

    async def _stand_at(self, index: int, entries: list[bytes], end: int) -> bool:
        """Whether these entries are there, written by us: another gateway may have noted the very same."""
        found = await self._records(index, min(end, index + len(entries)))
        return [(each.value, each.headers) for each in found] == [(entry, self._signed) for entry in entries]

    async def _line_at(self, end: int) -> Line:
        """Where the line stands, by its last batch: that is the last of the log, unless somebody else wrote."""
        line = self._line
        if line is None:
            line = Line.of(self._topic_id, self._partition.number)
            await self._see(line, end - 1, end)
            if not line.is_begun:
                await self._see(line, 0, end)
        else:
            await self._see(line, self._line_end, end)
        if not line.is_begun:
            line.next_sequence = sequence_of(end)
        self._line, self._line_end = line, end
        return line

    async def _see(self, line: Line, first: int, end: int) -> None:
        async def ask() -> None:
            start = (await log_range(self._client, self._partition, self._client.config.request_timeout_s)).start
            async for header, _ in scan(self._client, self._partition, max(first, start), end):
                line.saw(header)

        await patiently(self._client, self._partition, ask, self._client.config.request_timeout_s)


async def open_audit(client: Client, topic: str = AUDIT_TOPIC) -> KafkaAudit:
    """The log on `topic`, created where it is absent. Raises AuditNotKept where the topic would lose entries."""
    found, settings = await ensure_state_topic(client, topic, 1, CONFIG)
    for key, wanted in CONFIG.items():
        if settings[key][0] != wanted:
            raise AuditNotKept(topic, key, settings[key][0], wanted)
    return KafkaAudit(client, topic, found.topic_id)
