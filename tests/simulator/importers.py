"""The subscriber's gateways: what runs in each process, and the group that says which of them runs the lane."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING, Any

from gateway.importer.errors import LaneElsewhere
from gateway.importer.lane import LaneRunner, LaneSettings
from gateway.importer.pipeline import PipelineSettings
from gateway.link.lanes import ExportLane, ImportLane
from gateway.link.session import Session, SessionLimits
from mesh.batch.limits import DEFAULT_LIMITS
from mesh.batch.records import check_records
from mesh.errors import MeshError
from mesh.ids import LaneId, OrgId, Partition, ShareName, SubscriptionName, TopicName
from mesh.lanes.status import LaneState
from mesh.link.frames import LaneOpen
from mesh.link.machine import Link
from mesh.shares import OnForeignWrite, OnLoss, Subscription, TopicMapping
from mesh.testing.links import hello
from tests.simulator.brokers import SimulatedDestination, SimulatedStore, destination_ports
from tests.simulator.loop import Life, Process
from tests.simulator.truth import SOURCE
from tests.simulator.verdict import check_acknowledged
from tests.simulator.wires import Wire, WireEnd
from tests.support.sessions import Trusting, echo, serve_nothing

if TYPE_CHECKING:
    from tests.simulator.world import World

DESTINATION = TopicName("acme.departures")
TO = Partition(DESTINATION, 0)
LANE = LaneId(SubscriptionName("flights"), SOURCE, 0)
PEER = OrgId("acme.example")

BEAT_S = 2.0
CLAIM_LOOK_S = 2.0
LEASE_S = 5.0
"""How long after its last word a gateway believes that it owns the lane; less than a session."""
SESSION_S = 6.0
"""How long after its last word others believe it."""


def session_over(
    end: WireEnd, *, dialler: bool, export: Callable[[Session, ExportLane], Awaitable[None]] = serve_nothing
) -> Session:
    clock = asyncio.get_running_loop().time
    return Session(
        Link(hello("globex.example" if dialler else "acme.example"), dialler=dialler, now_s=clock()),
        end,
        authenticator=Trusting(),
        export=export,
        answer=echo,
        limits=SessionLimits(),
        clock=clock,
    )


class Group:
    """Which gateway runs the lane. Word of a change reaches each gateway in its own time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.owner = ""
        self.term = 0
        self._alive_until: dict[str, float] = {}
        self._changed = asyncio.Event()

    def beat(self, name: str) -> None:
        self._alive_until[name] = self._world.loop.time() + SESSION_S
        if not self.owner:
            self._give(name)

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            if self.owner and not self._is_alive(self.owner):
                self.move()

    def move(self) -> None:
        """To another gateway that is alive, if there is one."""
        others = [name for name in self._alive_until if name != self.owner and self._is_alive(name)]
        if others:
            if self._world.broker.under_way:
                self._world.seen["taken over with appends under way"] += 1
            self._give(others[0])

    def _give(self, name: str) -> None:
        self.owner = name
        self.term += 1
        self._world.tell(f"{name} owns the lane, term {self.term}")
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _is_alive(self, name: str) -> bool:
        return self._alive_until.get(name, 0) > self._world.loop.time()

    async def wait(self, term: int) -> None:
        """Until another term than `term` is known."""
        while self.term == term:
            await self._changed.wait()
        await asyncio.sleep((0, 0.01, 0.5)[self._world.edges.choose(3)])

    def owning(self) -> Gateway | None:
        return next((each for each in self._world.gateways if each.name == self.owner and each.runs), None)


class _Opener:
    """A link that looks at what its lanes acknowledge."""

    def __init__(self, world: World, session: Session) -> None:
        self._world = world
        self._session = session

    def open_lane(self, opening: Callable[[int], LaneOpen]) -> ImportLane:
        lane = self._session.open_lane(opening)
        world, truth = self._world, self._world.truth
        incarnation, truncations, agreed = truth.incarnations, truth.truncations, truth.end
        acknowledge = lane.acknowledge

        def checked(source_offset: int) -> None:
            if not world.violations and not world.copy_lost:
                stored = world.destination.ports.lanes._entries  # type: ignore[attr-defined]
                same = 1 << 62 if truth.truncations == truncations else min(agreed, truth.agreed)
                why = check_acknowledged(LANE, source_offset, world.copy, stored, same, incarnation)
                if world.recorder is not None:
                    world.recorder.acknowledged(source_offset)
                if why:
                    world.violated(why)
            acknowledge(source_offset)

        setattr(lane, "acknowledge", checked)  # noqa: B010
        return lane


class Gateway:
    """One gateway through all its lives. `start` begins one."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self.name = name
        self.runner: LaneRunner | None = None
        self.wires: list[Wire] = []

    def __str__(self) -> str:
        status = self.runner.status() if self.runner else None
        return f"{self.name} {self.process.life.name} {status}"

    # --- its lives

    def start(self) -> None:
        world = self._world
        self.process = Process(self.name, world.loop)
        self.store = SimulatedStore(world.broker, world.edges)
        joins = world.plan.joins_state
        self._destination = SimulatedDestination(
            world.broker, self.store, self._may_write, joins, self.name, 5 if world.plan.seed % 3 else 2
        )
        self._cluster = destination_ports(world.broker, self.store, self._destination, world.edges)
        self.runner = None
        self.wires = []
        self._lease_s = 0.0
        self._session: Session | None = None
        self._linked = asyncio.Event()
        self._wanted = asyncio.Event()
        self._resumed = asyncio.Event()
        self._accepts_foreign = False
        self._running: asyncio.Task[None] | None = None
        self._owning = self.process.start(self._own())
        for work in (self._destination.run(), self._beat(), self._keep_linking()):
            self.process.start(work)

    def kill(self, lost: int) -> None:
        self.process.kill()
        self._destination.connection.lose(lost)
        for wire in self.wires:
            wire.cut()

    def stop(self) -> asyncio.Task[Any] | None:
        """As on SIGTERM; answers what is to be waited for."""
        if self.process.life is not Life.RUNS:
            return None
        self._owning.cancel()
        return self._owning

    @property
    def runs(self) -> bool:
        return self.process.life is Life.RUNS

    @property
    def may_still_write(self) -> bool:
        """Whether it may believe that it knows the log; a paused one, too."""
        return self.process.life is not Life.DEAD and self._destination.has_asked

    def resume(self, *, accept_foreign: bool = False) -> None:
        self._accepts_foreign = accept_foreign
        self.runner = None
        self._resumed.set()

    def is_at(self, source_offset: int) -> bool:
        if self.runner is None or not self.runs or not self.store.is_claimed:
            return False
        status = self.runner.status()
        if self._world.group.owner != self.name:
            return False
        moves = status.state in (LaneState.RUNNING, LaneState.CATCHING_UP)
        return moves and status.source_position == source_offset

    # --- what runs in it

    async def _beat(self) -> None:
        while True:
            self._lease_s = self._world.loop.time() + LEASE_S
            self._world.group.beat(self.name)
            await asyncio.sleep(BEAT_S)

    def _may_write(self) -> bool:
        return self._world.loop.time() < self._lease_s

    def _permit(self) -> None:
        if not self._may_write():
            raise LaneElsewhere(str(LANE), self._world.group.owner)

    async def _keep_linking(self) -> None:
        while True:
            await self._wanted.wait()
            wire = Wire()
            self.wires = [wire]
            self._world.provider.accept(wire)
            session = session_over(wire.left, dialler=True)
            running = asyncio.create_task(session.run())
            await session.ready.wait()
            if session.is_open:
                self._session = session
                self._wanted.clear()
                self._linked.set()
            await asyncio.wait([running])
            running.exception()
            wire.left.lose()
            await asyncio.sleep(0.5)

    async def wait(self, peer: OrgId, key: str = "") -> _Opener:
        while self._session is None or not self._session.is_open:
            self._wanted.set()
            self._linked.clear()
            await self._linked.wait()
        return _Opener(self._world, self._session)

    async def _own(self) -> None:
        group = self._world.group
        while True:
            term = group.term
            if group.owner != self.name:
                await group.wait(term)
                continue
            try:
                await self.store.claim()
            except MeshError:
                await asyncio.sleep(0.2)
                continue
            await self._run_term(term)

    async def _run_term(self, term: int) -> None:
        changed = asyncio.create_task(self._wait_lost(term))
        try:
            while not changed.done():
                await self._run_lane(changed)
        finally:
            changed.cancel()

    async def _wait_lost(self, term: int) -> None:
        """Until the group gives the lane to another, or one that had not heard of its loss has claimed it."""
        heard = asyncio.create_task(self._world.group.wait(term))
        try:
            while self.store.is_claimed and not heard.done():
                await asyncio.wait([heard], timeout=CLAIM_LOOK_S)
            if not heard.done():
                self._world.seen["claims stolen by a former owner"] += 1
        finally:
            heard.cancel()

    async def _run_lane(self, changed: asyncio.Task[None]) -> None:
        """Until the lane is another's, or the operator lets it go on."""
        self._resumed.clear()
        self.runner = self._make_runner()
        running = asyncio.create_task(self.runner.run())
        resumed = asyncio.create_task(self._resumed.wait())
        try:
            await asyncio.wait([changed, resumed], return_when=asyncio.FIRST_COMPLETED)
        finally:
            resumed.cancel()
            running.cancel()
            await asyncio.wait([running])
            self.runner = None

    def _make_runner(self) -> LaneRunner:
        world = self._world
        pipeline = PipelineSettings(DEFAULT_LIMITS, check_records, world.plan.checkpoint_bytes)
        subscription = Subscription(
            LANE.subscription,
            PEER,
            ShareName("flights"),
            (TopicMapping(SOURCE, DESTINATION),),
            on_foreign_write=OnForeignWrite.REPORT if world.plan.goes_on else OnForeignWrite.STOP,
            on_loss=OnLoss.CONTINUE if world.goes_on else OnLoss.STOP,
        )
        accept_foreign, self._accepts_foreign = self._accepts_foreign, False
        return LaneRunner(
            self._cluster,
            self,
            subscription,
            LANE,
            LaneSettings(pipeline, world.plan.credit_bytes, 0.1, 1.0),
            accept_foreign=accept_foreign,
            now_ms=lambda: int(world.loop.time() * 1000),
            random=Random(world.plan.seed),
            permit=self._permit,
        )
