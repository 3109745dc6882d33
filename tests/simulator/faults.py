"""What befalls a world: each kind of fault of a plan, and where it strikes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.lanes.checkpoint import load_lane
from tests.simulator.importers import Gateway
from tests.simulator.plan import LOSSES, Fault
from tests.simulator.tracks import TO, Track
from tests.simulator.truth import SOURCE
from tests.support.batches import plain_batch

if TYPE_CHECKING:
    from tests.simulator.world import World

ON_A_LANE = {"trim", "truncate", "elect", "foreign", "truncate-copy"}
AT_LANDING = {
    "kill-at-landing": "kill-importer", "sleep-at-landing": "sleep-importer", "move-at-landing": "move",
}  # fmt: skip


class Faults:
    """A fault of kind `x-y` is the method `_x_y`; one that answers False did not befall."""

    def __init__(self, world: World) -> None:
        self._world = world

    def befall(self, fault: Fault) -> None:
        world = self._world
        kind, _, how = fault.kind.partition(":")
        world.tell(f"fault: {fault.kind} {fault.count}")
        if world.recorder is not None and kind in LOSSES:
            world.recorder.before_loss()
        if how:
            world.edges.arm(kind, how)
            return
        if kind.endswith("-at-landing"):
            world.at_landing.append(replace(fault, kind=AT_LANDING[kind]))
            return
        gateway, track = (
            world.gateways[fault.count % len(world.gateways)],
            world.tracks[fault.count % len(world.tracks)],
        )
        if kind in ON_A_LANE:
            if getattr(self, "_" + kind.replace("-", "_"))(fault.count, track) is not False:
                world.seen[kind] += 1
            return
        if kind in ("kill-importer", "pause-importer", "sleep-importer", "move", "cut", "half-cut"):
            gateway = world.group.owning() or gateway
        if getattr(self, "_" + kind.replace("-", "_"))(fault.count, gateway) is not False:
            world.seen[kind] += 1

    def _cut(self, count: int, gateway: Gateway) -> None:
        for wire in gateway.wires:
            self._world.seen["links cut with frames under way"] += wire.under_way > 0
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
            self._world.loop.call_later(0.2 * count, wire.release)

    def _kill_importer(self, count: int, gateway: Gateway) -> bool:
        if not gateway.runs:
            return False
        self._note_kill()
        gateway.kill(lost=count % 3)
        self._world.loop.call_later(0.3 * count, gateway.start)
        return True

    def _note_kill(self) -> None:
        for track in self._world.tracks:
            own = self._world.destination.log(track.to).end - track.foreign
            lanes = self._world.destination.ports.lanes
            stored = load_lane(track.lane, lanes._entries)  # type: ignore[attr-defined]
            if stored is not None and own > stored[0].ordinal:
                self._world.seen["killed between append and checkpoint"] += 1
        if self._world.broker.under_way:
            self._world.seen["killed with appends under way"] += 1

    def _kill_exporter(self, count: int, gateway: Gateway) -> None:
        self._world.provider.process.kill()
        for each in self._world.gateways:
            for wire in each.wires:
                wire.cut()
        self._world.loop.call_later(0.3 * count, self._world.revive, self._world.provider)

    def _pause_importer(self, count: int, gateway: Gateway) -> None:
        gateway.process.pause()
        self._world.loop.call_later(0.5 * count, gateway.process.resume)

    def _sleep_importer(self, count: int, gateway: Gateway) -> None:
        """Longer than its session: another takes over, then it wakes."""
        gateway.process.pause()
        self._world.loop.call_later(10.0 + count, gateway.process.resume)

    def _pause_exporter(self, count: int, gateway: Gateway) -> None:
        self._world.provider.process.pause()
        self._world.loop.call_later(2.0 * count, self._world.provider.process.resume)

    def _move(self, count: int, gateway: Gateway) -> None:
        self._world.group.move()

    def _trim(self, count: int, track: Track) -> bool:
        return track.truth.trim(count)

    def _truncate(self, count: int, track: Track) -> bool:
        if not track.truth.truncate(count):
            return False
        self._world.loop.call_later(0.1 * (count % 3), self._diverge, track, count + 1)
        return True

    def _diverge(self, track: Track, count: int) -> None:
        """Another history, soon as long as the former."""
        if not self._world.is_healed:
            track.truth.write(count)

    def _elect(self, count: int, track: Track) -> None:
        track.truth.elect()

    def _foreign(self, count: int, track: Track) -> bool:
        if self._world.promotion.is_set():
            return False  # from then on it is nobody else's
        self._world.seen["copies truncated that others made longer again"] += track.copy_lost
        track.foreign += count
        self._world.destination.foreign_write(track.to, plain_batch([b"foreign"] * count))
        return True

    def _truncate_copy(self, count: int, track: Track) -> bool:
        if self._world.promotion.is_set() or not self._world.broker.truncate(track.to, count):
            return False
        self._lose_copy(track)
        return True

    def _lose_copy(self, track: Track) -> None:
        track.copy_lost = True
        track.copy.forget()

    # faults of all lanes

    def _recreate(self, count: int, gateway: Gateway) -> None:
        self._world.source.recreate(SOURCE)
        for track in self._world.tracks:
            track.truth.recreated()

    def _recreate_copy(self, count: int, gateway: Gateway) -> bool:
        if self._world.promotion.is_set():
            return False
        self._world.broker.recreate(TO.topic)
        for track in self._world.tracks:
            self._lose_copy(track)
        return True

    def _fill_disk(self, count: int, gateway: Gateway) -> None:
        self._world.broker.full_until_s = self._world.loop.time() + count

    def _promote(self, count: int, gateway: Gateway) -> None:
        for _ in range(count % 3):
            self._world.edges.arm("append", "late")
        self._world.promotion.set()

    def _rivals(self, count: int, gateway: Gateway) -> bool:
        owner = self._world.group.owner
        self._world.group.deaf_s = 3.0
        self._world.group.move()
        if self._world.group.owner == owner:
            return False
        self._world.loop.call_later(1.0 + count * 0.1, self._contend)
        return True

    def _contend(self) -> None:
        """Both have asked the log by now; whoever writes first is forgotten before the other does."""
        self._world.group.deaf_s = 0.0
        if not self._world.is_healed:
            self._world.at_landing.append(Fault(0, "restart-broker", 1))
            for track in self._world.tracks:
                track.truth.write(1)

    def _restart_broker(self, count: int, gateway: Gateway) -> None:
        self._world.broker.restart({each.name for each in self._world.gateways if each.may_still_write})
