"""The fetches of one leader: many lanes ask, few requests go out.

Kafka answers a connection's requests in order and holds a fetch back until there is data, so a long poll for idle lanes
would hold up everybody behind it. Hence two kinds of requests, each with connections of its own:

- *hot*, two at a time, waiting a few milliseconds: take every ask at once;
- *cold*, three at a time, waiting as long as their asks allow, at most `COLD_WAIT_S`: take what a hot request answered
  empty; until one is free, such asks go round with the hot ones.

A lane whose last answer brought all there was need not be asked for twice, hot and cold: such an ask, *warm* for
`WARM_S`, goes straight to a cold request, but never to one with idle lanes, which would be asked for anew with each of
its records. Idle asks come before warm ones where a cold request is free. Where none is, a warm ask goes round with the
hot ones every other time and waits in between: so it finds one that comes back, and stays with those that go by it.

An ask that has less than `EARLY_S` left when an answer comes is answered empty with it, so that deadlines apart from
each other do not make many short polls.
A busy lane therefore never waits behind idle ones longer than `HOT_WAIT_S`, a new record of an idle lane is answered
when it arrives, and a thousand idle lanes cost one request in half a second. Asks are collected until the event loop
has run whoever is ready; what one answer had no room for goes first in the next.
"""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.kafka.client import Client, Purpose
from gateway.kafka.connection import Connection
from gateway.kafka.fetch_message import FETCH, READ_COMMITTED, FetchedPart, FetchPart, pack_fetch, parse_fetch
from mesh.cluster_errors import ClusterUnreachable
from mesh.errors import MeshError

HOT_WAIT_S = 0.005
COLD_WAIT_S = 0.5
WARM_S = 0.1
"""A request of warm asks waits no longer: until it ends, idle ones may have to go round with the hot ones."""
EARLY_S = 0.1
HOT = (Purpose.FETCH_HOT_A, Purpose.FETCH_HOT_B)
COLD = (Purpose.FETCH_COLD_A, Purpose.FETCH_COLD_B, Purpose.FETCH_COLD_C)
Key = tuple[bytes, int]


@dataclass(eq=False, slots=True)
class _Ask:
    part: FetchPart
    deadline: float
    answer: asyncio.Future[FetchedPart]
    warm_until: float
    """By the event loop's clock: its lane has read to the end a moment ago. 0 where that is not so."""
    held_until: float = 0.0
    """Until then it goes by a cold request only."""
    idle: bool = False
    """Whether a request came back without anything for it."""

    @property
    def key(self) -> Key:
        return self.part.topic_id, self.part.partition


@dataclass(slots=True)
class LeaderFetches:
    client: Client
    node: int
    _asks: list[_Ask] = field(default_factory=list)
    _ends: dict[Key, int] = field(default_factory=dict)
    """Where what was stable ended, of the partitions whose last answer had records."""
    _free: list[Purpose] = field(default_factory=lambda: [*COLD, *HOT])
    _collecting: bool = False
    _holding: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        under_way = len(COLD + HOT) - len(self._free)
        return f"LeaderFetches(broker {self.node}, {len(self._asks)} waiting, {under_way} under way)"

    def ask(self, part: FetchPart, wait_s: float) -> asyncio.Future[FetchedPart]:
        """Committed data, or an empty part after `wait_s`. The answer raises what `Client.connection` raises."""
        loop = asyncio.get_running_loop()
        now_s, end = loop.time(), self._ends.pop((part.topic_id, part.partition), None)
        is_warm = end is not None and part.offset >= end
        ask = _Ask(part, now_s + wait_s, loop.create_future(), now_s + WARM_S if is_warm else 0.0)
        self._asks.append(ask)
        self._collect()
        return ask.answer

    def _collect(self) -> None:
        if not self._collecting:
            self._collecting = True
            asyncio.get_running_loop().call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._collecting = False
        if self.client.closed:
            _fail(self._asks, self.client.gone())
        self._asks = [ask for ask in self._asks if not ask.answer.done()]
        for purpose in COLD:
            if purpose in self._free:
                idle = [ask for ask in self._asks if ask.idle]
                self._start(purpose, idle or [ask for ask in self._asks if ask.warm_until])
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for purpose in HOT:
            if purpose in self._free:
                self._start(purpose, [ask for ask in self._asks if ask.held_until <= now_s])
        if self._holding is None and any(ask.held_until > now_s for ask in self._asks):
            self._holding = loop.call_later(HOT_WAIT_S, self._held)

    def _held(self) -> None:
        self._holding = None
        self._collect()

    def _start(self, purpose: Purpose, asks: Sequence[_Ask]) -> None:
        # one part per partition and request: two readers of one partition take turns
        taken = {ask.key: ask for ask in reversed(asks)}
        chosen = [ask for ask in asks if taken[ask.key] is ask]
        if not chosen:
            return
        gone = set(map(id, chosen))
        self._asks = [ask for ask in self._asks if id(ask) not in gone]
        self._free.remove(purpose)
        self.client.spawn(self._run(purpose, chosen))

    async def _run(self, purpose: Purpose, asks: list[_Ask]) -> None:
        try:
            connection = await self.client.connection(self.node, purpose)
            answered = await self._request(connection, asks, purpose)
        except MeshError as error:
            _fail(asks, error)
        except BaseException:
            _fail(asks, self.client.gone())
            raise
        else:
            self._settle(asks, answered)
        finally:
            self._free.append(purpose)
            self._collect()

    async def _request(self, connection: Connection, asks: list[_Ask], purpose: Purpose) -> dict[Key, FetchedPart]:
        config = self.client.config
        left_s = min(ask.deadline for ask in asks) - asyncio.get_running_loop().time()
        longest_s = HOT_WAIT_S if purpose in HOT else COLD_WAIT_S if asks[0].idle else WARM_S
        wait_s = max(0.0, min(left_s, longest_s))
        total = max(config.fetch_max_bytes, asks[0].part.max_bytes)
        body = pack_fetch([ask.part for ask in asks], READ_COMMITTED, math.ceil(wait_s * 1000), total)
        response = await connection.request(FETCH, [body], config.request_timeout_s + wait_s)
        return read_answer(connection, response)

    def _settle(self, asks: list[_Ask], answered: dict[Key, FetchedPart]) -> None:
        now_s = asyncio.get_running_loop().time()
        again: list[_Ask] = []
        for ask in asks:
            part = answered.get(ask.key)
            if ask.answer.done():
                continue
            if part is None:
                ask.answer.set_exception(ClusterUnreachable(self.client.cluster_id, "a fetch was not answered"))
            elif part.error or part.records or part.diverges_at is not None or ask.deadline <= now_s + EARLY_S:
                if part.records:
                    self._ends[ask.key] = part.last_stable
                ask.answer.set_result(part)
            else:
                # no room for it is not the same as nothing there: where there is something it stays hot
                nothing = part.last_stable <= ask.part.offset
                ask.idle = nothing and ask.warm_until <= now_s
                if not nothing or ask.idle:
                    ask.warm_until = 0.0
                ask.held_until = now_s + HOT_WAIT_S if ask.warm_until else 0.0
                again.append(ask)
        self._asks[:0] = again


def read_answer(connection: Connection, response: memoryview) -> dict[Key, FetchedPart]:
    """The parts by topic id and partition. Raises ClusterUnreachable; then the connection is closed."""
    try:
        error, parts = parse_fetch(response)
    except (ValueError, IndexError, struct.error) as fault:
        connection.abort(f"an answer that cannot be read: {fault}")
        raise ClusterUnreachable(connection.address, f"an answer that cannot be read: {fault}") from fault
    if error:
        raise ClusterUnreachable(connection.address, f"it refused a fetch with error {error}")
    return {(part.topic_id, part.partition): part for part in parts}


def _fail(asks: list[_Ask], error: MeshError) -> None:
    for ask in asks:
        if not ask.answer.done():
            ask.answer.set_exception(error)
