"""Two organizations, their gateways and clusters as one plan has them, from the first record to the verdict.

The provider has one gateway, the subscriber one or two, which share one to three lanes: by a group with sessions, and a
lanes state that the last owner has claimed. An operator looks at what stands still, and lets go on only what may stand.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

from gateway.exporter import ExportSettings, export_lane
from gateway.importer.lane import LaneRunner
from gateway.link.lanes import ExportLane
from gateway.link.session import Session
from gateway.peers.public import public
from gateway.shared_fetches import SharedFetches
from mesh.errors import MeshError
from mesh.ids import Partition
from mesh.lanes.checkpoint import prefix
from mesh.lanes.recovery import FreezeReason, LaneFrozen
from mesh.lanes.status import LaneState
from mesh.lanes.watch import STALL_WARNING_S
from mesh.testing.cluster import FakeCluster
from tests.simulator.brokers import Broker
from tests.simulator.edges import Edges, source_ports
from tests.simulator.faults import Faults
from tests.simulator.importers import Gateway, Group, session_over
from tests.simulator.loop import NeverEnds, Process, SimulatedLoop
from tests.simulator.plan import Act, Fault, Plan
from tests.simulator.recording import Recorder
from tests.simulator.tracks import TO, Track
from tests.simulator.truth import ABORT, COMMIT, SOURCE, Truth
from tests.simulator.verdict import Outcome, check_acknowledged, check_end
from tests.simulator.wires import Wire, WireEnd

HEALED_S = 400.0
STALL_S = 65.0
SOURCE_LOST = (FreezeReason.UNMATCHED, FreezeReason.DIFFERENT)
COPY_LOST = (
    FreezeReason.TRUNCATED, FreezeReason.OUT_OF_SEQUENCE, FreezeReason.DISAGREEMENT, FreezeReason.TAIL_LOST,
)  # fmt: skip
MAY_STAND = {"source-trimmed": "trim", "source-truncated": "truncate", "source-recreated": "recreate"}


class Provider:
    """The exporting gateway."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.process = Process("provider", world.loop)
        self._fetches = SharedFetches(world.source_ports.source, 1000, self._count)

    def _count(self, answered_by: str) -> None:
        self._world.seen[f"fetches answered by the {answered_by}"] += 1

    def accept(self, wire: Wire) -> None:
        self.process.start(self._serve(wire.right))

    async def _serve(self, end: WireEnd) -> None:
        session = session_over(end, dialler=False, export=self._export)
        try:
            await session.run()
        except MeshError:
            pass
        finally:
            end.lose()

    async def _export(self, session: Session, lane: ExportLane) -> None:
        world = self._world
        settings = ExportSettings(world.plan.fetch_bytes, wait_s=5.0)
        try:
            partition = Partition(lane.opening.topic, lane.opening.partition)
            # as if another lane read it, so that answers are kept
            with self._fetches.reading(partition), self._fetches.reading(partition) as source:
                await export_lane(replace(world.source_ports, source=source), lane, lambda: None, settings)
        except MeshError as error:
            raise public(error, "flights") from error


class World:
    def __init__(self, plan: Plan, loop: SimulatedLoop, directory: Path | None = None) -> None:
        self.plan = plan
        self.loop = loop
        self.random = Random(plan.seed + 1)
        self.seen: Counter[str] = Counter()
        self.story: list[str] = []
        self.violations: list[str] = []
        self.edges = Edges(Random(plan.seed + 2), self.seen)
        self.source = FakeCluster(cluster_id="source")
        self.destination = FakeCluster(cluster_id="destination", joins_state=plan.joins_state)
        self.tracks = [
            Track.make(number, self.source, self.destination, self.violations, goes_on=plan.goes_on)
            for number in range(plan.lanes)
        ]
        truths = {track.truth.partition: track.truth for track in self.tracks}
        self.source_ports = source_ports(self.source, self.edges, truths)
        self.nature = Process("nature", loop)
        self.broker = Broker(self.destination, self.nature, self.edges)
        self.broker.landed = self._landed
        self.broker.violated = self.violated
        self.broker.unsure = lambda partition: self._stray(self.tracks[partition.number])
        self.group = Group(self)
        self.provider = Provider(self)
        self.gateways = [Gateway(self, f"gw-{number}") for number in range(1, plan.gateways + 1)]
        self.faults = Faults(self)
        self.at_landing: list[Fault] = []
        self.promotion = asyncio.Event()
        """Set where the subscription is to be promoted: that is stored, and heard of some time later."""
        self.is_promoted = False
        self.is_healed = self.is_settled = False
        """Whether the lane had all the time it could want."""
        self.recorder = None if directory is None else Recorder(directory, self)
        if self.recorder is not None:
            self.broker.given = self.recorder.given

    # --- the first lane, for whoever looks at one

    @property
    def truth(self) -> Truth:
        return self.tracks[0].truth

    @property
    def is_frozen(self) -> bool:
        return bool(self.tracks[0].ended)

    @property
    def moving(self) -> list[Track]:
        """The lanes that are to come to their end."""
        return [track for track in self.tracks if not track.ended]

    def tell(self, text: str) -> None:
        self.story.append(f"step {self.loop.steps:4}, {self.loop.time() - 1000:7.3f} s: {text}")

    def violated(self, text: str) -> None:
        self.violations.append(text)
        self.tell(f"VIOLATION: {text}")

    # --- the run

    async def run(self) -> None:
        self.seen["schedules of several lanes"] += self.plan.lanes > 1
        await self.source.ports.topics.create(SOURCE, self.plan.lanes, {})
        await self.destination.ports.topics.create(TO.topic, self.plan.lanes, {})
        early, later = self.plan.acts[: self.plan.early], self.plan.acts[self.plan.early :]
        for act in early:
            self._act(act)
        self._subscribe()
        for fault in self.plan.faults:
            self.loop.at_step(fault.step, partial(self.faults.befall, fault))
        self.nature.start(self.group.watch())
        self.nature.start(self._operate())
        for gateway in self.gateways:
            gateway.start()
        for act in later:
            await asyncio.sleep(act.pause_s + (STALL_S if act.kind == "stall" else 0))
            self._act(act)
        await self._faults_come()
        self._heal()
        await self._settled()
        self._note_claim()
        await self._stop()
        stored: dict[str, bytes] = {}
        for track in self.tracks:
            stored |= await self._check(track)
        self._note_end(stored)

    def _subscribe(self) -> None:
        for track in self.tracks:
            track.start = track.truth.end * self.plan.starts // 8
            self.seen["begun within a transaction"] += track.start > 0 and track.truth.is_inside(track.start)

    async def _check(self, track: Track) -> dict[str, bytes]:
        track.copy.read()
        stored = await self.destination.ports.lanes.load(prefix(track.lane))
        if not track.ended and not self.violations:
            for violation in check_end(track.lane, track.copy, stored, track.start):
                self.violated(violation)
        elif track.ended == "promoted" and track.acknowledged is not None and not track.copy_lost:
            acknowledged, same, incarnation = track.acknowledged
            same = min(same, track.truth.agreed)
            if why := check_acknowledged(track.lane, acknowledged, track.copy, stored, same, incarnation):
                self.violated(why)
        return stored

    async def _faults_come(self) -> None:
        """A while for what is still to come, and for what it does."""
        for _ in range(10):
            await asyncio.sleep(1.0)
            if not self.loop.waits_for_steps:
                break

    def _act(self, act: Act) -> None:
        truth = self.tracks[act.lane % len(self.tracks)].truth
        match act.kind:
            case "write":
                truth.write(act.count)
            case "write-compacted":
                truth.write_compacted(act.count)
            case "write-stamped":
                truth.write_stamped(act.count)
            case "skip":
                truth.skip(act.count)
            case "empty":
                truth.write_empty()
            case "begin" | "stall":
                truth.begin(act.count)
            case "go-on":
                truth.go_on(act.count)
            case "commit" | "abort":
                truth.finish(act.count, COMMIT if act.kind == "commit" else ABORT)
            case "elect":
                truth.elect()
        if act.kind == "stall":  # the next act comes after what operators are warned of
            truth.write(1)
        self.tell(f"source {truth.partition.number}: {act.kind} {act.count}, its log ends at {truth.end}")

    def _heal(self) -> None:
        if self.recorder is not None:
            self.recorder.healed()
        self.loop.forget_actions()
        self.at_landing.clear()
        self.edges.heal()
        self.broker.full_until_s = self.group.deaf_s = 0.0
        self.revive(self.provider)
        for gateway in self.gateways:
            gateway.process.resume()
            for wire in gateway.wires:
                wire.release()
        for track in self.tracks:
            while any(each.is_open for each in track.truth.transactions):
                track.truth.finish(0, COMMIT if self.plan.seed % 2 else ABORT)
            track.truth.write_compacted(1)  # the log ends behind its last record
        self.is_healed = True
        self.tell("healed")

    async def _settled(self) -> None:
        if any(track.truth.truncations or track.truth.incarnations for track in self.tracks):
            # where the source has grown as far again, a position says nothing: it must notice
            await asyncio.sleep(12.0)
        deadline = self.loop.time() + HEALED_S
        while not self.violations:
            if all(any(gateway.is_at_end(track) for gateway in self.gateways) for track in self.moving):
                self.is_settled = True
                return
            if self.loop.time() > deadline:
                self.is_settled = True
                self.violated(f"liveness: {[str(each) for each in self.gateways]}")
            await asyncio.sleep(0.5)

    def give_up(self) -> None:
        """What never ends has had all the time it could want, once all was healed."""
        self.is_settled = self.is_healed
        self._note_claim()

    def _note_claim(self) -> None:
        if self.recorder is not None:
            self.recorder.settled()

    async def _stop(self) -> None:
        """As daemons stop: lanes first."""
        stopping = [task for gateway in self.gateways if (task := gateway.stop()) is not None]
        if stopping:
            await asyncio.wait(stopping)

    def _note_end(self, stored: dict[str, bytes]) -> None:
        for track in self.tracks:
            for number in track.copy.numbers:
                self.loop.note(number)
        for value in stored.values():
            self.loop.note(int.from_bytes(value[:64], "big"))

    # --- the operator

    async def _operate(self) -> None:
        while self.moving:
            await asyncio.sleep(1.0)
            for gateway in self.gateways:
                for track in self.moving:
                    runner = gateway.runners.get(track.lane.partition)
                    if runner is not None and gateway.runs:
                        self._look(gateway, track, runner)

    def _look(self, gateway: Gateway, track: Track, runner: LaneRunner) -> None:
        status, error, truth = runner.status(), runner._error, track.truth
        if status.state is not LaneState.STOPPED:
            self.seen["stalls told of"] += status.stalled_s >= STALL_WARNING_S
        elif isinstance(error, LaneFrozen):
            self._look_at_frozen(track, error)
        elif status.code == "foreign-write" and (track.foreign or truth.incarnations):
            # What a lane of the former incarnation had sent may come in before the new one writes.
            self.seen["foreign writes accepted by the operator"] += 1
            gateway.resume(track, accept_foreign=True)
        elif status.code in MAY_STAND and self._happened(MAY_STAND[status.code], truth):
            self.tell(f"operator: goes on after {status.code} {status.lost}")
            track.goes_on = True
            gateway.resume(track)
        elif status.code == "destination-recreated" and self.seen["recreate-copy"]:
            self._end(track, "recreated", str(error))
        elif status.code == "producer-fenced" and self.promotion.is_set():
            pass  # it hears of the promotion in a moment
        else:
            self.violated(f"stopped without need: {status.code}: {status.reason}")

    def _look_at_frozen(self, track: Track, error: LaneFrozen) -> None:
        """A lane may freeze only where its source lost what no checkpoint covered, or its copy was truncated."""
        lost = track.truth.trims or track.truth.truncations or track.truth.incarnations
        if (lost and error.reason in SOURCE_LOST) or (track.copy_lost and error.reason in COPY_LOST):
            self._end(track, "frozen", str(error))
        else:
            self.violated(f"frozen without need: {error}")

    def _end(self, track: Track, how: str, why: str) -> None:
        track.ended = how
        self.seen[how] += 1
        self.tell(f"{track.lane} {how}, as it must be: {why}")

    def _happened(self, what: str, truth: Truth) -> bool:
        return {"trim": truth.trims, "truncate": truth.truncations, "recreate": truth.incarnations}[what] > 0

    def _stray(self, track: Track) -> None:
        """Not the right records where the source was truncated meanwhile: they may be of the history that it lost."""
        if not track.truth.truncations:
            return
        present = {held.number for held in track.truth.held}
        lost = {offset for offset, number in track.copy.last_batch() if number not in present}
        self.seen["records of a lost history by a former owner"] += len(lost)
        track.copy.excused |= lost

    def promoted(self) -> None:
        """The cut holds in every partition."""
        if not self.is_promoted:
            self.is_promoted = True
            for track in self.moving:
                self._end(track, "promoted", "the cut holds")

    def revive(self, provider: Provider) -> None:
        if provider is self.provider:
            self.provider.process.kill()
            self.provider = Provider(self)
            for gateway in self.gateways:
                for wire in gateway.wires:
                    wire.cut()

    def _landed(self, name: str) -> None:
        if self.recorder is not None:
            self.recorder.landed()
        while self.at_landing:
            self.faults.befall(self.at_landing.pop())
        if name != self.group.owner:
            self.seen["appends of a former owner that landed"] += 1


def simulate(plan: Plan, directory: Path | None = None) -> Outcome:
    """Run one schedule to its verdict; with a directory, it is written down there for the verifier."""
    loop = SimulatedLoop(plan.seed, plan.chaos)
    asyncio.set_event_loop(None)
    try:
        world = loop.run_until_complete(_made(plan, loop, directory))
        try:
            loop.run_until_complete(world.run())
        except NeverEnds as error:
            world.violated(f"liveness: {error}")
            world.give_up()
        except MeshError as error:
            world.violated(f"broken: {error}")
        if world.recorder is not None:
            world.recorder.finish()
        violations = (*world.violations, *loop.troubles)
        outcome = Outcome(plan.seed, loop.trace, loop.steps, violations, world.seen, tuple(world.story))
        loop.forget_actions()
        world.destination.closed = world.source.closed = True
        loop.reap()
        return outcome
    finally:
        loop.close()


async def _made(plan: Plan, loop: SimulatedLoop, directory: Path | None) -> World:
    return World(plan, loop, directory)
