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
from mesh.errors import MeshError
from mesh.lanes.checkpoint import load_lane, prefix
from mesh.lanes.recovery import FreezeReason, LaneFrozen
from mesh.lanes.status import LaneState
from mesh.lanes.watch import STALL_WARNING_S
from mesh.testing.cluster import FakeCluster
from tests.simulator.brokers import Broker
from tests.simulator.edges import Edges, source_ports
from tests.simulator.importers import Gateway, Group, session_over
from tests.simulator.loop import NeverEnds, Process, SimulatedLoop
from tests.simulator.plan import LOSSES, Act, Fault, Plan
from tests.simulator.recording import Recorder
from tests.simulator.tracks import TO, Track
from tests.simulator.truth import ABORT, COMMIT, SOURCE, Truth
from tests.simulator.verdict import Outcome, check_acknowledged, check_end
from tests.simulator.wires import Wire, WireEnd
from tests.support.batches import plain_batch

HEALED_S = 400.0
STALL_S = 65.0
ON_A_LANE = {"trim", "truncate", "elect", "foreign", "truncate-copy"}
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
            self.loop.at_step(fault.step, partial(self.befall, fault))
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
        self._revive(self.provider)
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
        gateway, track = self.gateways[fault.count % len(self.gateways)], self.tracks[fault.count % len(self.tracks)]
        if kind in ON_A_LANE:
            if getattr(self, "_" + kind.replace("-", "_"))(fault.count, track) is not False:
                self.seen[kind] += 1
            return
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
        for track in self.tracks:
            own = self.destination.log(track.to).end - track.foreign
            lanes = self.destination.ports.lanes
            stored = load_lane(track.lane, lanes._entries)  # type: ignore[attr-defined]
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

    def _trim(self, count: int, track: Track) -> bool:
        return track.truth.trim(count)

    def _truncate(self, count: int, track: Track) -> bool:
        if not track.truth.truncate(count):
            return False
        self.loop.call_later(0.1 * (count % 3), self._diverge, track, count + 1)
        return True

    def _diverge(self, track: Track, count: int) -> None:
        """Another history, soon as long as the former."""
        if not self.is_healed:
            track.truth.write(count)

    def _elect(self, count: int, track: Track) -> None:
        track.truth.elect()

    def _foreign(self, count: int, track: Track) -> bool:
        if self.promotion.is_set():
            return False  # from then on it is nobody else's
        self.seen["copies truncated that others made longer again"] += track.copy_lost
        track.foreign += count
        self.destination.foreign_write(track.to, plain_batch([b"foreign"] * count))
        return True

    def _truncate_copy(self, count: int, track: Track) -> bool:
        if self.promotion.is_set() or not self.broker.truncate(track.to, count):
            return False
        self._lose_copy(track)
        return True

    def _lose_copy(self, track: Track) -> None:
        track.copy_lost = True
        track.copy.forget()

    # faults of all lanes

    def _recreate(self, count: int, gateway: Gateway) -> None:
        self.source.recreate(SOURCE)
        for track in self.tracks:
            track.truth.recreated()

    def _recreate_copy(self, count: int, gateway: Gateway) -> bool:
        if self.promotion.is_set():
            return False
        self.broker.recreate(TO.topic)
        for track in self.tracks:
            self._lose_copy(track)
        return True

    def _fill_disk(self, count: int, gateway: Gateway) -> None:
        self.broker.full_until_s = self.loop.time() + count

    def _promote(self, count: int, gateway: Gateway) -> None:
        for _ in range(count % 3):
            self.edges.arm("append", "late")
        self.promotion.set()

    def _rivals(self, count: int, gateway: Gateway) -> bool:
        owner = self.group.owner
        self.group.deaf_s = 3.0
        self.group.move()
        if self.group.owner == owner:
            return False
        self.loop.call_later(1.0 + count * 0.1, self._contend)
        return True

    def _contend(self) -> None:
        """Both have asked the log by now; whoever writes first is forgotten before the other does."""
        self.group.deaf_s = 0.0
        if not self.is_healed:
            self.at_landing.append(Fault(0, "restart-broker", 1))
            for track in self.tracks:
                track.truth.write(1)

    def _restart_broker(self, count: int, gateway: Gateway) -> None:
        self.broker.restart({each.name for each in self.gateways if each.may_still_write})

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
