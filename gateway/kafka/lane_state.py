"""The lanes' state on a compacted topic of several partitions, each with one gateway that may put into it at a time.

What belongs to a lane lies in one partition, chosen by the first four parts of its keys; a put is one batch of it, so
it is there as a whole or not at all. A gateway claims the partitions whose lanes it runs.

A. A claim wins at once: it is a record at a new epoch of the partition's line of writers, after which the leader
   refuses whoever claimed it before. From then on nothing older comes in behind what the new owner stored.
B. Whoever claimed has read everything that was put before the claim: `load` is current for claimed partitions from
   memory; of all others the log is read on first.
C. A put into a partition that is not claimed, or was taken over, raises StateMoved, and so does every later one until
   the partition is claimed again. Nobody claims by himself what he has lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from zlib import crc32

from gateway.kafka.client import Client
from gateway.kafka.destination import KafkaDestination
from gateway.kafka.errors import StateMisplaced
from gateway.kafka.lease import now_s
from gateway.kafka.read_on import read_to_end
from gateway.kafka.state import LANES_PARTITIONS, LANES_TOPIC, new_appends, state_partitions
from gateway.kafka.state_writer import PartitionWriter, claim_key
from mesh.cluster_errors import ClusterUnreachable
from mesh.ids import LaneId

GROUP_PARTS = 4
"""Of a key: `lane/<subscription>/<topic>/<partition>`."""


class KafkaLanes:
    """Implements `mesh.ports.StateStore`. Made by `open_lanes`; nothing is claimed yet then."""

    def __init__(self, client: Client, writers: list[PartitionWriter]) -> None:
        self._client = client
        self._writers = writers

    def __repr__(self) -> str:
        return f"<KafkaLanes {len(self.claimed)} of {self.partitions} partitions claimed>"

    # Whose partitions these are

    @property
    def partitions(self) -> int:
        return len(self._writers)

    @property
    def claimed(self) -> frozenset[int]:
        """The partitions that are ours, as far as we know."""
        return frozenset(number for number, writer in enumerate(self._writers) if writer.is_claimed)

    def partition_of(self, of: LaneId | str) -> int:
        """Of a lane, or of a key."""
        group = f"lane/{of.subscription}/{of.topic}/{of.partition}" if isinstance(of, LaneId) else _group(of)
        return crc32(group.encode()) % len(self._writers)

    async def claim(self, partitions: Collection[int]) -> None:
        """From here on nobody else puts into these, and what others put is known.

        Raises NetworkError where not all could be claimed, some may have been: claim again. A partition that was
        claimed is claimed anew.
        """
        outcomes = await asyncio.gather(
            *[self._writers[number].claim() for number in sorted(set(partitions))], return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    def release(self, partitions: Collection[int]) -> None:
        """Put nothing more into these; what waits is refused. Others need not know: they claim."""
        for number in partitions:
            self._writers[number].release()

    async def claimant(self, partition: int) -> str:
        """The gateway that claimed it last, empty where nobody did."""
        writer = self._writers[partition]
        await read_to_end(self._client, [writer.part])
        return writer.part.entries.get(claim_key(partition), b"").decode()

    # What is stored

    async def load(self, prefix: str) -> dict[str, bytes]:
        writers = self._writers
        if prefix.count("/") >= GROUP_PARTS:
            writers = [writers[self.partition_of(prefix)]]
        unsure, asked_s = [writer for writer in writers if not writer.is_sure], now_s()
        if unsure:
            await read_to_end(self._client, [writer.part for writer in unsure])
            for writer in unsure:
                writer.looked(asked_s)
        for writer in writers:
            if writer.abandoned is not None and not writer.abandoned.done():
                await self._settled(writer.abandoned)
        return {key: value for writer in writers for key, value in writer.part.entries.below(prefix).items()}

    async def put(self, entries: Mapping[str, bytes | None]) -> None:
        """As the port says. A put that takes too long raises ClusterUnreachable, yet may become durable later."""
        groups = {_group(key) for key in entries}
        if not groups:
            return
        assert len(groups) == 1, f"one put holds keys of one lane, not of {sorted(groups)}"
        writer = self._writers[self.partition_of(groups.pop())]
        await self._timely(writer, writer.queue(dict(entries)))

    async def _timely(self, writer: PartitionWriter, done: asyncio.Future[None]) -> None:
        try:
            async with asyncio.timeout(self._client.config.request_timeout_s):
                await asyncio.shield(done)
        except TimeoutError:
            writer.abandoned = done
            raise self._late() from None

    async def _settled(self, put: asyncio.Future[None]) -> None:
        """Returns when it is known what became of the put, whatever that is."""
        ended, _ = await asyncio.wait([put], timeout=self._client.config.request_timeout_s)
        if not ended:
            raise self._late()

    def _late(self) -> ClusterUnreachable:
        why = f"state was not stored within {self._client.config.request_timeout_s:g} s"
        return ClusterUnreachable(self._client.cluster_id, why)

    def check_places(self) -> None:
        """Raises StateMisplaced where a lane's state lies in another partition than this version looks in."""
        for number, writer in enumerate(self._writers):
            for key in _lane_keys(writer.part.entries):
                if self.partition_of(key) != number:
                    raise StateMisplaced(LANES_TOPIC, key, number, self.partition_of(key))


async def open_lanes(
    client: Client, topic: str = LANES_TOPIC, partitions: int = LANES_PARTITIONS, gateway: str = ""
) -> KafkaLanes:
    """The state on `topic`, created where it is absent, read to its end. `gateway` is what claims are signed with.

    Raises StateNotCompacted, StateMisplaced.
    """
    parts = await state_partitions(client, topic, partitions)
    await read_to_end(client, parts)
    destination, appends = KafkaDestination(client), new_appends()
    writers = [PartitionWriter(client, destination, part, appends, gateway) for part in parts]
    lanes = KafkaLanes(client, writers)
    lanes.check_places()
    for writer in writers:
        client.spawn(writer.run())
    return lanes


def _group(key: str) -> str:
    return "/".join(key.split("/", GROUP_PARTS)[:GROUP_PARTS])


def _lane_keys(keys: Iterable[str]) -> Iterable[str]:
    return (key for key in keys if key.startswith("lane/"))
