"""Threat 12: nothing of one partner, and nothing of how we are built, is in anything that another partner gets.

Canaries stand in every name, key, value, header and group of GLOBEX's stream at ACME, and in what ACME's cluster says
when it fails. INITECH, a partner of ACME as well, asks all there is to ask; every frame that it got, its log, its
metrics and its errors are searched.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from structlog.testing import capture_logs

import gateway.peers.dial
from gateway.groups.provider import GroupAnswers
from gateway.groups.writer import GroupWriter
from gateway.metrics import Metrics
from gateway.peer import Peer
from gateway.peers.errors import PeerRefusedRequest
from gateway.rpc.streams import DialledStream
from mesh.batch.encode import encode
from mesh.batch.records import Record
from mesh.cluster_errors import ClusterUnreachable, TopicAbsent
from mesh.errors import MeshError
from mesh.ids import GroupName, Partition, ShareName, TopicName
from mesh.link.errors import LaneEnded
from mesh.shares import Grant, GroupAccess, PeerState
from mesh.testing.cluster import Operation
from mesh.wire.v1 import link_pb2
from tests.support.hubs import FLIGHTS, TOPIC, Both, Gateway, lane_of, made, now_ms, two, until

CANARY = "cnry7q"
"""In no word of ours, and short enough for every name."""
HIDDEN_TOPIC, HIDDEN_SHARE = TopicName(f"{CANARY}-topic"), ShareName(f"{CANARY}-share")


@dataclass
class Got:
    """What came to INITECH, frame by frame, and what it was told."""

    frames: list[bytes] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass
class Recording:
    stream: DialledStream
    got: Got

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    async def read(self) -> bytes | None:
        data = await self.stream.read()
        self.got.frames.append(data or b"")
        return data


@pytest.fixture
def got(monkeypatch: pytest.MonkeyPatch) -> Got:
    found, dialled = Got(), gateway.peers.dial.dialled

    @asynccontextmanager
    async def recorded(identity: Any, *rest: Any) -> AsyncIterator[Any]:
        async with dialled(identity, *rest) as stream:
            yield Recording(stream, found) if identity.id.org == "initech.example" else stream

    monkeypatch.setattr("gateway.peers.dialling.dialled", recorded)
    return found


def canaries(base_offset: int) -> bytes:
    word = CANARY.encode()
    record = Record(0, 1_700_000_000_000, word, word, ((CANARY, word),))
    batch = bytearray(encode([record]))
    batch[0:8] = base_offset.to_bytes(8, "big")
    return bytes(batch)


async def nothing(*_: object, **__: object) -> None:
    pass


async def stocked(both: Both, initech: Gateway) -> None:
    """GLOBEX reads what INITECH may not know of; INITECH has a share of its own, with positions of groups."""
    acme, cluster = both.acme, both.acme.cluster
    assert acme.listener is not None
    writer = GroupWriter(cluster.ports)
    answers = GroupAnswers(cluster.ports, acme.registry, writer, nothing, Metrics(), now_ms)
    acme.hub.answer_with(link_pb2.GroupPositionsRequest, answers.positions)
    acme.hub.answer_with(link_pb2.GroupCommitRequest, answers.commit)
    await cluster.ports.topics.create(HIDDEN_TOPIC, 1, {"retention.ms": "1234567"})
    cluster.put_raw(Partition(HIDDEN_TOPIC, 0), canaries(0))
    await cluster.ports.groups.commit(GroupName(f"{CANARY}-group"), {Partition(HIDDEN_TOPIC, 0): 1})
    await acme.registry.create_share(HIDDEN_SHARE, [HIDDEN_TOPIC], now_ms())
    await acme.registry.create_grant(Grant(HIDDEN_SHARE, both.globex.organization.org), now_ms())
    await acme.know(initech)
    await acme.registry.create_grant(Grant(FLIGHTS, initech.organization.org, groups=GroupAccess.WRITE), now_ms())
    await initech.registry.add_peer(Peer(acme.organization.bundle, (acme.listener.address,)))


FAILURES: list[tuple[Operation, Exception]] = [
    ("describe", ClusterUnreachable(f"{CANARY}-broker:9092", f"{CANARY} refused it")),
    ("describe", TopicAbsent(f"{CANARY}-topic")),
    ("describe", RuntimeError(f"{CANARY} is where it broke")),
    ("range", ClusterUnreachable(f"{CANARY}-broker:9092", f"{CANARY} refused it")),
    ("fetch", ClusterUnreachable(f"{CANARY}-broker:9092", f"{CANARY} refused it")),
]


async def ask_everything(initech: Gateway, acme: Gateway, got: Got) -> None:
    of = acme.organization.org
    session = await initech.hub.wait(of)
    await initech.hub.catalog(of)
    bodies = [
        link_pb2.MeasureRequest(share=FLIGHTS, topics=[TOPIC, "secret", "absent", "x" * 300]),
        link_pb2.DigestRequest(share=FLIGHTS, topic=TOPIC, end_source_offset=9),
        link_pb2.DigestRequest(share=FLIGHTS, topic="secret", end_source_offset=9),
        link_pb2.DigestRequest(share="absent", topic="absent", end_source_offset=9),
        link_pb2.GroupPositionsRequest(share=FLIGHTS, topics=[TOPIC], with_ends=True),
        link_pb2.GroupPositionsRequest(share=FLIGHTS, topics=["secret"]),
        link_pb2.GroupPositionsRequest(share=FLIGHTS, topics=[TOPIC], group="absent"),
        link_pb2.GroupCommitRequest(share=FLIGHTS, group="absent"),
    ]
    for body in bodies:
        with suppress(PeerRefusedRequest):
            await initech.hub.ask(of, body)
    for operation, error in FAILURES:
        acme.cluster.fail_next(operation, error)
        lane = session.open_lane(lane_of())
        try:
            await lane.opened()
            await lane.next()
        except LaneEnded as ended:
            got.errors.append(f"{ended.ended_code} {ended} {ended.data}")
        acme.cluster._failures.clear()
        lane.end("done")
    for share, topic in (("flights", "secret"), ("absent", TOPIC), ("flights", "..")):
        try:
            await session.open_lane(lane_of(share, topic)).opened()
        except MeshError as refused:
            got.errors.append(f"{refused} {refused.data}")


async def test_a_partner_finds_no_trace_of_another_in_anything_it_gets(got: Got) -> None:
    with capture_logs() as logs:
        async with two(deadline_s=30) as both:
            initech = await made("initech.example")
            try:
                await stocked(both, initech)
                initech.task = asyncio.get_running_loop().create_task(initech.hub.run())
                other = (await both.globex.hub.wait(both.acme.organization.org)).open_lane(
                    lane_of(HIDDEN_SHARE, HIDDEN_TOPIC)
                )
                assert CANARY.encode() in b"".join(bytes(batch) for batch in (await other.next()).batches)
                await ask_everything(initech, both.acme, got)
                both.acme.cluster.put_raw(Partition(HIDDEN_TOPIC, 0), canaries(1))
                await other.next()
                shown = [
                    initech.hub._metrics.render().decode(),
                    repr(initech.hub.status()),
                    repr(initech.hub.sight("acme.example")),
                ]
                await both.acme.registry.set_peer_state("initech.example", PeerState.SUSPENDED)
                await until(lambda: not initech.hub.status())
                shown.append(repr(initech.hub.sight("acme.example")))
            finally:
                await initech.close()
    own_log = [json.dumps(line, default=str) for line in logs if "acme.example" in str(line.get("peer", ""))]
    assert b"departures" in b"".join(got.frames), "the frames were not seen"
    assert len(got.errors) == len(FAILURES) + 3
    assert CANARY in "".join(json.dumps(line, default=str) for line in logs), "ACME's own log shall say what failed"
    places = {
        "frames": [frame.decode("latin-1") for frame in got.frames],
        "errors": got.errors,
        "log": own_log,
        "metrics and status": shown,
    }
    assert [name for name, texts in places.items() for text in texts if CANARY in text] == []


async def steps(acme: Gateway, asker: Gateway, share: str, topic: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What ACME asks of its cluster before it answers about a lane, digests, sizes and positions."""
    found: list[str] = []
    of, check = acme.organization.org, acme.cluster.check

    def counted(operation: Operation) -> None:
        found.append(operation)
        check(operation)

    session = await asker.hub.wait(of)
    with monkeypatch.context() as patch:
        patch.setattr(acme.cluster, "check", counted)
        for body in (
            link_pb2.DigestRequest(share=share, topic=topic, end_source_offset=9),
            link_pb2.GroupPositionsRequest(share=share, topics=[topic]),
            link_pb2.MeasureRequest(share=share, topics=[topic]),
        ):
            with suppress(PeerRefusedRequest):
                await asker.hub.ask(of, body)
        with suppress(LaneEnded):
            await session.open_lane(lane_of(share, topic)).opened()
    return found


async def test_what_is_not_granted_costs_as_many_steps_as_what_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """None: how long the cluster takes is no part of the answer, so its time tells nothing."""
    async with two(deadline_s=30) as both:
        initech = await made("initech.example")
        try:
            await stocked(both, initech)
            initech.task = asyncio.get_running_loop().create_task(initech.hub.run())
            told = {
                (share, topic): await steps(both.acme, initech, share, topic, monkeypatch)
                for share in (HIDDEN_SHARE, "absent", FLIGHTS)
                for topic in (HIDDEN_TOPIC, "absent")
            }
            assert told == {asked: [] for asked in told}
            assert await steps(both.acme, initech, FLIGHTS, TOPIC, monkeypatch)
        finally:
            await initech.close()
