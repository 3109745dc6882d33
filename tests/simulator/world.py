"""Two organizations, their gateways and clusters as one plan has them, from the first record to the verdict.

The provider has one gateway, the subscriber one or two, which share one lane: by a group with sessions, and a lanes
state that the last owner has claimed. An operator looks at what stands still, and lets go on only what may stand.
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
from mesh.errors import MeshError
from mesh.lanes.checkpoint import load_lane, prefix
from mesh.lanes.recovery import FreezeReason, LaneFrozen
from mesh.lanes.status import LaneState
from mesh.testing.cluster import FakeCluster
from tests.simulator.brokers import Broker, Edges, source_ports
from tests.simulator.importers import LANE, TO, Gateway, Group, session_over
from tests.simulator.loop import NeverEnds, Process, SimulatedLoop
from tests.simulator.plan import LOSSES, Act, Fault, Plan
from tests.simulator.recording import Recorder
from tests.simulator.truth import ABORT, COMMIT, SOURCE, Truth
from tests.simulator.verdict import Copy, Outcome, check_end
from tests.simulator.wires import Wire, WireEnd
from tests.support.batches import plain_batch

HEALED_S = 400.0
AT_LANDING = {
    "kill-at-landing": "kill-importer", "sleep-at-landing": "sleep-importer", "move-at-landing": "move",
}  # fmt: skip
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
            await export_lane(world.source_ports, lane, lambda: None, settings)
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
        self.truth = Truth(self.source)
        self.source_ports = source_ports(self.source, self.edges, self.truth)
        self.destination = FakeCluster(cluster_id="destination", joins_state=plan.joins_state)
        self.nature = Process("nature", loop)
        self.broker = Broker(self.destination, self.nature, self.edges)
        self.broker.landed = self._landed
        self.copy = Copy(self.destination, TO, self.truth, self.violations)
        self.group = Group(self)
        self.provider = Provider(self)
        self.gateways = [Gateway(self, f"gw-{number}") for number in range(1, plan.gateways + 1)]
        self.goes_on = plan.goes_on
        self.foreign = 0
        self.at_landing: list[Fault] = []
        self.is_frozen = False
        self.copy_lost = False
        """Whether the destination log was truncated: what was acknowledged may be gone, and the lane has to notice."""
        self.is_healed = self.is_settled = False
        """Whether the lane had all the time it could want."""
        self.recorder = None if directory is None else Recorder(directory, self)
        if self.recorder is not None:
            self.broker.given = self.recorder.given

    def tell(self, text: str) -> None:
        self.story.append(f"step {self.loop.steps:4}, {self.loop.time() - 1000:7.3f} s: {text}")

    def violated(self, text: str) -> None:
        self.violations.append(text)
        self.tell(f"VIOLATION: {text}")

    # --- the run

    async def run(self) -> None:
        await self.source.ports.topics.create(SOURCE, 1, {})
        await self.destination.ports.topics.create(TO.topic, 1, {})
        for fault in self.plan.faults:
            self.loop.at_step(fault.step, partial(self.befall, fault))
        self.nature.start(self.group.watch())
        self.nature.start(self._operate())
        for gateway in self.gateways:
            gateway.start()
        for act in self.plan.acts:
            await asyncio.sleep(act.pause_s)
            self._act(act)
        await self._faults_come()
        self._heal()
        await self._settled()
        self._note_claim()
        await self._stop()
        self.copy.read()
        stored = await self.destination.ports.lanes.load(prefix(LANE))
        if not self.is_frozen and not self.violations:
            for violation in check_end(LANE, self.copy, stored):
                self.violated(violation)
        self._note_end(stored)

    async def _faults_come(self) -> None:
        """A while for what is still to come, and for what it does."""
        for _ in range(10):
            await asyncio.sleep(1.0)
            if not self.loop.waits_for_steps:
                break

    def _act(self, act: Act) -> None:
        truth = self.truth
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
            case "begin":
                truth.begin(act.count)
            case "go-on":
                truth.go_on(act.count)
            case "commit" | "abort":
                truth.finish(act.count, COMMIT if act.kind == "commit" else ABORT)
            case "elect":
                truth.elect()
        self.tell(f"source: {act.kind} {act.count}, its log ends at {truth.end}")

    def _heal(self) -> None:
        if self.recorder is not None:
            self.recorder.healed()
        self.loop.forget_actions()
        self.at_landing.clear()
        self.edges.heal()
        self._revive(self.provider)
        for gateway in self.gateways:
            gateway.process.resume()
            for wire in gateway.wires:
                wire.release()
        while any(each.is_open for each in self.truth.transactions):
            self.truth.finish(0, COMMIT if self.plan.seed % 2 else ABORT)
        self.truth.write_compacted(1)  # the log ends behind its last record
        self.is_healed = True
        self.tell("healed")

    async def _settled(self) -> None:
        if self.truth.truncations or self.truth.incarnations:
            await asyncio.sleep(
                12.0
            )  # where the source has grown as far again, a position says nothing: it must notice
        deadline = self.loop.time() + HEALED_S
        while not self.is_frozen and not self.violations:
            if any(gateway.is_at(self.truth.readable_end) for gateway in self.gateways):
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
        for number in self.copy.numbers:
            self.loop.note(number)
        for value in stored.values():
            self.loop.note(int.from_bytes(value[:64], "big"))

    # --- the operator

    async def _operate(self) -> None:
        while not self.is_frozen:
            await asyncio.sleep(1.0)
            for gateway in self.gateways:
                runner = gateway.runner
                if runner is not None and gateway.runs and runner.status().state is LaneState.STOPPED:
                    self._look(gateway, runner)

    def _look(self, gateway: Gateway, runner: LaneRunner) -> None:
        status, error = runner.status(), runner._error
        if isinstance(error, LaneFrozen):
            self._look_at_frozen(error)
        elif status.code == "foreign-write" and (self.foreign or self.truth.incarnations):
            # What a lane of the former incarnation had sent may come in before the new one writes.
            self.seen["foreign writes accepted by the operator"] += 1
            gateway.resume(accept_foreign=True)
        elif status.code in MAY_STAND and self._happened(MAY_STAND[status.code]):
            self.tell(f"operator: goes on after {status.code} {status.lost}")
            self.goes_on = True
            gateway.resume()
        else:
            self.violated(f"stopped without need: {status.code}: {status.reason}")

    def _look_at_frozen(self, error: LaneFrozen) -> None:
        """A lane may freeze only where its source lost what no checkpoint covered, or its copy was truncated."""
        lost = self.truth.trims or self.truth.truncations or self.truth.incarnations
        if (lost and error.reason in SOURCE_LOST) or (self.copy_lost and error.reason in COPY_LOST):
            self.is_frozen = True
            self.seen["frozen"] += 1
            self.tell(f"frozen, as it must be: {error}")
        else:
            self.violated(f"frozen without need: {error}")

    def _happened(self, what: str) -> bool:
        truth = self.truth
        return {"trim": truth.trims, "truncate": truth.truncations, "recreate": truth.incarnations}[what] > 0

    # --- faults

    def befall(self, fault: Fault) -> None:
        kind, _, how = fault.kind.partition(":")
        self.tell(f"fault: {fault.kind} {fault.count}")
        if self.recorder is not None and kind in LOSSES:
            self.recorder.before_loss()
        if how:
            self.edges.arm(kind, how)
            return
        if kind.endswith("-at-landing"):
            self.at_landing.append(replace(fault, kind=AT_LANDING[kind]))
            return
        gateway = self.gateways[fault.count % len(self.gateways)]
        if kind in ("kill-importer", "pause-importer", "sleep-importer", "move", "cut", "half-cut"):
            gateway = self.group.owning() or gateway
        if getattr(self, "_" + kind.replace("-", "_"))(fault.count, gateway) is not False:
            self.seen[kind] += 1

    def _cut(self, count: int, gateway: Gateway) -> None:
        for wire in gateway.wires:
            self.seen["links cut with frames under way"] += wire.under_way > 0
            wire.cut()

    def _half_cut(self, count: int, gateway: Gateway) -> None:
        for wire in gateway.wires:
            wire.cut_for(left=count % 2 == 0)

    def _double_frame(self, count: int, gateway: Gateway) -> None:
        self._tamper("double", count, gateway)

    def _swap_frames(self, count: int, gateway: Gateway) -> None:
        self._tamper("swap", count, gateway)

    def _drop_frame(self, count: int, gateway: Gateway) -> None:
        self._tamper("drop", count, gateway)

    def _tamper(self, mischief: str, count: int, gateway: Gateway) -> None:
        for wire in gateway.wires:
            wire.tamper(mischief, count % 2)

    def _slow_link(self, count: int, gateway: Gateway) -> None:
        for wire in gateway.wires:
            wire.hold()
            self.loop.call_later(0.2 * count, wire.release)

    def _kill_importer(self, count: int, gateway: Gateway) -> bool:
        if not gateway.runs:
            return False
        self._note_kill()
        gateway.kill(lost=count % 3)
        self.loop.call_later(0.3 * count, gateway.start)
        return True

    def _note_kill(self) -> None:
        own = self.destination.log(TO).end - self.foreign
        lanes = self.destination.ports.lanes
        stored = load_lane(LANE, lanes._entries)  # type: ignore[attr-defined]
        if stored is not None and own > stored[0].ordinal:
            self.seen["killed between append and checkpoint"] += 1
        if self.broker.under_way:
            self.seen["killed with appends under way"] += 1

    def _kill_exporter(self, count: int, gateway: Gateway) -> None:
        self.provider.process.kill()
        for each in self.gateways:
            for wire in each.wires:
                wire.cut()
        self.loop.call_later(0.3 * count, self._revive, self.provider)

    def _revive(self, provider: Provider) -> None:
        if provider is self.provider:
            self.provider.process.kill()
            self.provider = Provider(self)
            for gateway in self.gateways:
                for wire in gateway.wires:
                    wire.cut()

    def _pause_importer(self, count: int, gateway: Gateway) -> None:
        gateway.process.pause()
        self.loop.call_later(0.5 * count, gateway.process.resume)

    def _sleep_importer(self, count: int, gateway: Gateway) -> None:
        """Longer than its session: another takes over, then it wakes."""
        gateway.process.pause()
        self.loop.call_later(10.0 + count, gateway.process.resume)

    def _pause_exporter(self, count: int, gateway: Gateway) -> None:
        self.provider.process.pause()
        self.loop.call_later(2.0 * count, self.provider.process.resume)

    def _move(self, count: int, gateway: Gateway) -> None:
        self.group.move()

    def _trim(self, count: int, gateway: Gateway) -> bool:
        return self.truth.trim(count)

    def _truncate(self, count: int, gateway: Gateway) -> bool:
        return self.truth.truncate(count)

    def _recreate(self, count: int, gateway: Gateway) -> None:
        self.truth.recreate()

    def _elect(self, count: int, gateway: Gateway) -> None:
        self.truth.elect()

    def _restart_broker(self, count: int, gateway: Gateway) -> None:
        self.broker.restart({each.name for each in self.gateways if each.may_still_write})

    def _foreign(self, count: int, gateway: Gateway) -> None:
        self.foreign += count
        self.destination.foreign_write(TO, plain_batch([b"foreign"] * count))

    def _truncate_copy(self, count: int, gateway: Gateway) -> bool:
        if not self.broker.truncate(TO, count):
            return False
        self.copy_lost = True
        self.copy.forget()
        return True

    def _landed(self, name: str) -> None:
        if self.recorder is not None:
            self.recorder.landed()
        while self.at_landing:
            self.befall(self.at_landing.pop())
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
