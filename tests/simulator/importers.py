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
from gateway.link.ports import SessionLimits
from gateway.link.session import Session
from mesh.batch.limits import DEFAULT_LIMITS
from mesh.batch.records import check_records
from mesh.errors import MeshError
from mesh.ids import OrgId, ShareName
from mesh.lanes.checkpoint import load_lane, prefix, producer_name
from mesh.lanes.coalesce import JOINED_BYTES
from mesh.lanes.status import LaneState
from mesh.link.features import JOINED
from mesh.link.frames import LaneOpen
from mesh.link.machine import Link
from mesh.shares import OnForeignWrite, OnLoss, StartAt, Subscription, TopicMapping
from mesh.testing.links import hello
from tests.simulator.destinations import SimulatedDestination, SimulatedStore, destination_ports
from tests.simulator.loop import Life, Process
from tests.simulator.tracks import DESTINATION, LANE, PEER, Track
from tests.simulator.truth import SOURCE
from tests.simulator.verdict import check_acknowledged
from tests.simulator.wires import Wire, WireEnd
from tests.support.sessions import Trusting, echo, serve_nothing

if TYPE_CHECKING:
    from tests.simulator.world import World

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
        Link(
            hello("globex.example" if dialler else "acme.example", features=(JOINED,)), dialler=dialler, now_s=clock()
        ),
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
        self.deaf_s = 0.0
        """How much longer than usual who loses the lanes does not hear of it."""
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

    async def wait(self, term: int, *, loses: bool = False) -> None:
        """Until another term than `term` is known."""
        while self.term == term:
            await self._changed.wait()
        await asyncio.sleep((0, 0.01, 0.5)[self._world.edges.choose(3)] + loses * self.deaf_s)

    def owning(self) -> Gateway | None:
        return next((each for each in self._world.gateways if each.name == self.owner and each.runs), None)


class _Opener:
    """A link that looks at what its lanes acknowledge."""

    def __init__(self, world: World, session: Session, track: Track) -> None:
        self._world = world
        self._session = session
        self._track = track

    def open_lane(self, opening: Callable[[int], LaneOpen]) -> ImportLane:
        lane = self._session.open_lane(opening)
        world, track, truth = self._world, self._track, self._track.truth
        incarnation, truncations, agreed = truth.incarnations, truth.truncations, truth.end
        acknowledge = lane.acknowledge

        def checked(source_offset: int) -> None:
            if not world.violations and not track.copy_lost:
                stored = world.destination.ports.lanes._entries  # type: ignore[attr-defined]
                same = 1 << 62 if truth.truncations == truncations else min(agreed, truth.agreed)
                why = check_acknowledged(track.lane, source_offset, track.copy, stored, same, incarnation)
                if world.recorder is not None and track.lane == LANE:
                    world.recorder.acknowledged(source_offset)
                track.acknowledged = (source_offset, same, incarnation)
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
        self.runners: dict[int, LaneRunner] = {}
        """Of the lanes that run here, by their partition."""
        self.wires: list[Wire] = []

    def __str__(self) -> str:
        return f"{self.name} {self.process.life.name} {[runner.status() for runner in self.runners.values()]}"

    # --- its lives

    def start(self) -> None:
        world = self._world
        self.process = Process(self.name, world.loop)
        self.store = SimulatedStore(world.broker, world.edges)
        joins = world.plan.joins_state
        self._destination = SimulatedDestination(
            world.broker, self.store, self._may_write, joins, self.name, 5 if world.plan.seed % 3 else 2,
            world.plan.by_topic_id,
        )  # fmt: skip
        self._cluster = destination_ports(world.broker, self.store, self._destination, world.edges)
        self.runners = {}
        self.wires = []
        self._lease_s = 0.0
        self._session: Session | None = None
        self._linked = asyncio.Event()
        self._wanted = asyncio.Event()
        self._resumed = [asyncio.Event() for _ in world.tracks]
        self._accepts_foreign: set[int] = set()
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
    def runner(self) -> LaneRunner | None:
        """Of the first lane."""
        return self.runners.get(0)

    @property
    def runs(self) -> bool:
        return self.process.life is Life.RUNS

    @property
    def may_still_write(self) -> bool:
        """Whether it may believe that it knows the log; a paused one, too."""
        return self.process.life is not Life.DEAD and self._destination.has_asked

    def resume(self, track: Track, *, accept_foreign: bool = False) -> None:
        number = track.lane.partition
        if accept_foreign:
            self._accepts_foreign.add(number)
        del self.runners[number]
        self._resumed[number].set()

    def is_at_end(self, track: Track) -> bool:
        runner = self.runners.get(track.lane.partition)
        if runner is None or not self.runs or not self.store.is_claimed or self._world.group.owner != self.name:
            return False
        status = runner.status()
        moves = status.state in (LaneState.RUNNING, LaneState.CATCHING_UP)
        return moves and status.source_position == track.truth.readable_end

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
        return _Opener(self._world, self._session, next(each for each in self._world.tracks if str(each.lane) == key))

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
            lanes = [asyncio.create_task(self._keep(track, changed)) for track in self._world.tracks]
            try:
                await asyncio.wait(lanes)
            finally:
                for each in lanes:
                    each.cancel()
                await asyncio.wait(lanes)
            if not changed.done():
                await self._promote()
                await asyncio.wait([changed])
        finally:
            changed.cancel()

    async def _keep(self, track: Track, changed: asyncio.Task[None]) -> None:
        """Until the lane is another's, or a promotion is told of."""
        while not changed.done() and not self._world.promotion.is_set():
            await self._run_lane(track, changed)

    async def _promote(self) -> None:
        """As `gateway.promoting` does: the lanes that run here have stopped; what failed is tried again."""
        world = self._world
        while not world.is_promoted:
            try:
                for track in world.tracks:
                    stored = load_lane(track.lane, await self.store.load(prefix(track.lane)))
                    if stored is not None:
                        name, producer = producer_name(track.lane), stored[0].producer
                        await self._destination.cut(name, producer, [track.to])
            except MeshError:
                await asyncio.sleep(0.3)
            else:
                world.promoted()

    async def _wait_lost(self, term: int) -> None:
        """Until the group gives the lane to another, or one that had not heard of its loss has claimed it."""
        heard = asyncio.create_task(self._world.group.wait(term, loses=True))
        try:
            while self.store.is_claimed and not heard.done():
                await asyncio.wait([heard], timeout=CLAIM_LOOK_S)
            if not heard.done():
                self._world.seen["claims stolen by a former owner"] += 1
        finally:
            heard.cancel()

    async def _run_lane(self, track: Track, changed: asyncio.Task[None]) -> None:
        """Until the lane is another's, is promoted, or the operator lets it go on."""
        number = track.lane.partition
        self._resumed[number].clear()
        runner = self.runners[number] = self._make_runner(track)
        running = asyncio.create_task(runner.run())
        told = [asyncio.create_task(self._resumed[number].wait()), asyncio.create_task(self._hears_of_promotion())]
        try:
            await asyncio.wait([changed, *told], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (*told, running):
                each.cancel()
            await asyncio.wait([running])
            self.runners.pop(number, None)

    async def _hears_of_promotion(self) -> None:
        await self._world.promotion.wait()
        await asyncio.sleep((0, 0.01, 0.5)[self._world.edges.choose(3)])

    def _make_runner(self, track: Track) -> LaneRunner:
        world = self._world
        joined_bytes = JOINED_BYTES if world.plan.seed & 2 else 0  # many appends, or few large ones
        pipeline = PipelineSettings(
            DEFAULT_LIMITS, check_records, world.plan.checkpoint_bytes, joined_bytes=joined_bytes
        )
        subscription = Subscription(
            LANE.subscription,
            PEER,
            ShareName("flights"),
            (TopicMapping(SOURCE, DESTINATION),),
            StartAt("offset", track.start) if track.start else StartAt(),
            on_foreign_write=OnForeignWrite.REPORT if world.plan.goes_on else OnForeignWrite.STOP,
            on_loss=OnLoss.CONTINUE if track.goes_on else OnLoss.STOP,
        )
        accept_foreign = track.lane.partition in self._accepts_foreign
        self._accepts_foreign.discard(track.lane.partition)
        return LaneRunner(
            self._cluster,
            self,
            subscription,
            track.lane,
            LaneSettings(pipeline, world.plan.credit_bytes, 0.1, 1.0),
            accept_foreign=accept_foreign,
            now_ms=lambda: int(world.loop.time() * 1000),
            random=Random(world.plan.seed),
            permit=self._permit,
        )
