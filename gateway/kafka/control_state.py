"""A `ControlStore` on a compacted topic of one partition: changed by any gateway, followed by all.

A change reads the log to its end, is refused if that holds anything its maker has not seen, and is appended at the
place that follows on what was read (`gateway.kafka.line`): if another gateway is quicker, the leader refuses it. The
log is then read on until the change is found in it, or something else in its place.

A. What `changes_since` and `load` answer is what was read of the log, never what we believe to have written.
B. After an append whose outcome is not known, nothing is answered before the log has been read again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

import structlog

from gateway.kafka.client import Client
from gateway.kafka.destination import KafkaDestination
from gateway.kafka.errors import StateSplit
from gateway.kafka.line import encoded
from gateway.kafka.patience import pauses
from gateway.kafka.placing import place_batch
from gateway.kafka.read_on import read_anew, read_to_end
from gateway.kafka.source import KafkaSource
from gateway.kafka.state import CONTROL_PARTITIONS, CONTROL_TOPIC, new_appends, state_partitions
from gateway.kafka.state_partition import StatePartition
from gateway.waking import Waking
from mesh.cluster_errors import (
    ClusterUnreachable,
    LogTruncated,
    OffsetOutOfRange,
    StateMoved,
)
from mesh.errors import MeshError, NetworkError

log = structlog.get_logger()

FOLLOW_S = 30.0
"""Of one long poll; it costs nothing to be short, since idle polls share their requests."""
FOLLOW_BYTES = 1 << 20
OWN_TRIES = 20
"""How often an unconditional put is tried again because another gateway was quicker."""
EPOCHS = 3
"""How often a refusal that nobody caused is met with a newer epoch."""


class KafkaControl:
    """Implements `mesh.ports.ControlStore`. Made by `open_control`."""

    def __init__(self, client: Client, source: KafkaSource, part: StatePartition) -> None:
        self._client = client
        self._source = source
        self._part = part
        self._touched: dict[str, int] = {}
        part.touched = self._touched
        self._destination = KafkaDestination(client)
        self._appends = new_appends()
        self._lock = asyncio.Lock()
        self._doubtful = False
        self._changed = Waking()

    def __repr__(self) -> str:
        return f"<KafkaControl {self._part}>"

    @property
    def version(self) -> int:
        return self._part.version

    async def wait_changed(self, version: int) -> int:
        while self._part.version == version:
            await self._changed.wait()
        return self._part.version

    async def load(self, prefix: str) -> dict[str, bytes]:
        await self._settled()
        return self._part.entries.below(prefix)

    async def changes_since(self, version: int) -> tuple[int, dict[str, bytes | None]]:
        await self._settled()
        part = self._part
        if version <= 0:
            return part.version, dict(part.entries)
        return part.version, {key: part.entries.get(key) for key, at in self._touched.items() if at > version}

    async def put(self, entries: Mapping[str, bytes | None]) -> None:
        """As the port says, whatever was put before; StateMoved only where other gateways are always quicker."""
        if entries:
            await self._timely(entries, None)

    async def change(self, entries: Mapping[str, bytes | None], version: int) -> int:
        """As the port says. Raises BatchRefused where the topic will not take so much."""
        return await self._timely(entries, version) if entries else version

    async def _timely(self, entries: Mapping[str, bytes | None], version: int | None) -> int:
        groups = {tuple(key.split("/")[:2]) for key in entries}
        assert len(groups) == 1, f"one put holds keys of one object, not of {sorted(groups)}"
        timeout_s = self._client.config.request_timeout_s
        try:
            async with asyncio.timeout(timeout_s), self._lock:
                for _ in range(OWN_TRIES if version is None else 0):
                    with suppress(StateMoved):
                        return await self._change(entries, version)
                return await self._change(entries, version)
        except TimeoutError:
            why = f"state was not stored within {timeout_s:g} s"
            raise ClusterUnreachable(self._client.cluster_id, why) from None

    async def _change(self, entries: Mapping[str, bytes | None], version: int | None) -> int:
        await self._read()
        if version is not None and self._part.version != version:
            raise StateMoved(self._part.partition.topic)
        token = self._appends.token()
        batch = encoded(token, int(time.time() * 1000), list(entries.items()))
        self._doubtful = True
        try:
            with self._part.watching(token):
                made = await self._append(batch, token)
        except StateMoved:  # definite: the log was read, and it is not there
            self._doubtful = False
            raise
        self._doubtful = False
        return made

    async def _append(self, batch: bytes, token: bytes) -> int:
        part = self._part
        place = part.line.next
        for _ in range(EPOCHS):
            version = part.version
            await place_batch(self._client, self._destination, part.partition, batch, place)
            await self._read_on()
            if token in part.seen:
                return part.seen[token]
            if part.version != version:
                break
            place = part.line.newer  # nobody was quicker, yet it is refused: the leader knows another history
        raise StateMoved(part.partition.topic)

    async def _settled(self) -> None:
        if self._doubtful:
            async with self._lock:
                if self._doubtful:
                    await self._read()

    async def _read(self) -> None:
        await self._read_on()
        self._doubtful = False

    async def _read_on(self) -> None:
        try:
            await read_to_end(self._client, [self._part])
        finally:
            self._announce()  # what was read before it failed is known, and nobody else will say so

    def _announce(self) -> None:
        self._changed.wake()

    # Following

    async def follow(self) -> None:
        """Learn what other gateways put, as soon as it is there; until cancelled."""
        retries = pauses()
        while True:
            try:
                await self._follow()
                retries = pauses()
            except NetworkError:
                await asyncio.sleep(next(retries))
            except MeshError as error:
                pause_s = next(retries)
                reason, remedy = str(error), error.remedy
                log.error("control state cannot be followed", code=error.code, reason=reason, remedy=remedy)  # noqa: TRY400
                await asyncio.sleep(30 * pause_s)

    async def _follow(self) -> None:
        part, content = self._part, self._part.content
        try:
            fetched = await self._source.fetch(
                part.partition, content.position, part.topic_id, FOLLOW_BYTES, FOLLOW_S, content.leader_epoch
            )
        except (OffsetOutOfRange, LogTruncated):
            await read_anew(self._client, part)
        else:
            if part.content is content:  # else it was read anew meanwhile
                part.take(fetched.data)
        self._announce()


async def open_control(client: Client, source: KafkaSource, topic: str = CONTROL_TOPIC) -> KafkaControl:
    """The state on `topic`, created where it is absent, read to its end, and followed.

    Raises StateNotCompacted, StateSplit.
    """
    part = the_one(await state_partitions(client, topic, CONTROL_PARTITIONS))
    await read_to_end(client, [part])
    store = KafkaControl(client, source, part)
    client.spawn(store.follow())
    return store


def the_one(parts: Sequence[StatePartition]) -> StatePartition:
    """Raises StateSplit."""
    if len(parts) != CONTROL_PARTITIONS:
        raise StateSplit(parts[0].partition.topic, len(parts))
    return parts[0]
