"""A schedule written down as a run directory, so that the verifier judges it as it judges runs of real gateways.

    outcome = simulate(draw(4711), directory)
    judge(read_run(directory))

A schedule takes the same steps whether it is written down or not. The source's producers keep a journal, both logs
are read raw (the source before each loss, too), and at each acknowledgement what is durable then is kept. Nothing is
written of trust, nor of where the lane stood over time; a source topic that is made anew is beyond one lane, and not
written down either: `can_be_recorded`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mesh.batch.stamp import Producer
from mesh.errors import MeshError
from mesh.ids import Partition
from mesh.lanes.checkpoint import load_lane
from mesh.offsets.answers import Foreign
from mesh.offsets.map import OffsetMap
from mesh.testing.cluster import FakeCluster
from tests.lab.collect import RunDirectory, Where
from tests.lab.writing import digest, told_headers
from tests.simulator.importers import LANE, TO
from tests.simulator.plan import Plan
from tests.simulator.truth import FROM, SOURCE, Transaction, Truth

if TYPE_CHECKING:
    from tests.simulator.world import World

NAME = "departures-0"
ORIGIN, COPY = Where("acme", SOURCE, 0), Where("globex", TO.topic, 0)
Claim = tuple[OffsetMap, int]
"""A map, and the source position up to which it is claimed."""
NOT_JUDGED = frozenset({"authorization", "liveness"})
"""Checks for which a schedule has no inputs."""


def can_be_recorded(plan: Plan) -> bool:
    """Not where the source forgets what a crashed gateway had copied: which records those were, nothing tells."""
    return not any(fault.kind in ("trim", "recreate", "truncate-copy") for fault in plan.faults)


class Recorder:
    def __init__(self, directory: Path, world: World) -> None:
        ticks = count()  # two things at one virtual time have an order, too
        self._clock: Callable[[], float] = lambda: world.loop.time() + next(ticks) * 1e-6
        self._told = RunDirectory(directory, self._clock)
        self._path = directory
        self._world = world
        self._begun: tuple[int, int] | None = None
        self._claimed: Claim | None = None
        self._readings = 0
        (directory / "acks.jsonl").touch()
        (directory / "epochs.jsonl").touch()

    def given(self, producer: Producer) -> None:
        """To the lane, under its name: one without a name could not be fenced off by who comes next."""
        self._told.note_producer(NAME, producer.id, producer.epoch, "the broker")

    def landed(self) -> None:
        """The first of these tells where the lane begins."""
        if self._begun is None and (found := self._durable()) is not None:
            self._begun = found[0].start, found[0].destination_start

    def acknowledged(self, source_offset: int) -> None:
        """With what was durable at that moment; not once the source's history is another."""
        truth = self._world.truth
        if truth.truncations:
            return
        self._told.note_ack(NAME, source_offset)
        offset_map, position = self._durable() or (OffsetMap(0), 0)
        end = self._world.destination.log(TO).end
        batches = _batches(self._world.destination, TO)
        self._told.note_durable(NAME, batches, _lines(offset_map), offset_map.start, position, end)

    def before_loss(self) -> None:
        self._read(ORIGIN, self._world.source, FROM)

    def healed(self) -> None:
        self._read(COPY, self._world.destination, TO)

    def settled(self) -> None:
        """What the gateway that runs the lane claims, before it is stopped: as the admin API would answer."""
        for gateway in self._world.gateways:
            runner = gateway.runner
            if runner is not None and runner._progress is not None and gateway.store.is_claimed:
                self._claimed = runner._progress.map, runner.status().source_position

    def finish(self) -> None:
        world = self._world
        self._read(ORIGIN, world.source, FROM)
        self._read(COPY, world.destination, TO)
        self._write_journal(world.truth)
        if world.truth.truncations:  # what was acknowledged is of another history
            for name in ("acks.jsonl", "durable.jsonl"):
                (self._path / name).unlink(missing_ok=True)
        self._describe()
        found = self._claimed or self._durable()
        if found is not None:
            offset_map, position = found
            self._told.note_table(NAME, _lines(offset_map), offset_map.start, position, offset_map.destination_offset)

    def _describe(self) -> None:
        world, truth = self._world, self._world.truth
        settled = world.is_settled and not world.is_frozen
        lane: dict[str, object] = {"lane": NAME, "source": ORIGIN.told(), "destination": COPY.told()}
        lane |= {"settled": settled, "allowed_gaps": ["lost"] if truth.truncations else []}
        if self._begun is not None:  # others may write before the lane begins
            lane["source_start"], lane["destination_start"] = self._begun
        rewrites = [ORIGIN.told() | {"from": truth.agreed}] if truth.truncations else []
        self._told.describe(world.plan.seed, [lane], rewrites=rewrites)

    def _durable(self) -> Claim | None:
        """None where there is nothing yet, or nothing that can be loaded."""
        stored = self._world.destination.ports.lanes._entries  # type: ignore[attr-defined]
        try:
            found = load_lane(LANE, stored)
        except MeshError:
            return None
        return None if found is None else (found[1], found[0].source_position)

    def _read(self, where: Where, cluster: FakeCluster, partition: Partition) -> None:
        name, log = f"logs/{where.file}.{self._readings}", cluster.log(partition)
        self._readings += 1
        (self._path / name).write_bytes(_batches(cluster, partition))
        span = {"start": log.start, "first": log.start, "end": log.end, "last_stable": log.range.last_stable}
        told = {"reader": "raw", "kind": "raw", "at_s": self._clock(), "file": name}
        _add(self._path / "logs.jsonl", where.told() | span | told)

    def _write_journal(self, truth: Truth) -> None:
        path = self._path / "writes" / "source.jsonl"
        names: dict[int, str] = {}
        path.touch()
        for number, (offset, transaction) in enumerate(truth.written):
            content = truth.contents[number]
            name = None if transaction is None else names.setdefault(id(transaction), f"t{len(names)}")
            line: dict[str, Any] = {"writer": "source", "n": number, "id": f"{number:032x}", "transaction": name}
            line |= ORIGIN.told() | {"timestamp_ms": content.timestamp_ms, "key": digest(content.key)}
            line |= {"value": digest(content.value), "headers": told_headers(list(content.headers))}
            _add(path, line | {"outcome": "info" if truth.truncations else "ok", "offset": offset})
        for transaction in {id(each): each for _, each in truth.written if each is not None}.values():
            outcome = _outcome_of(transaction)
            _add(path, {"writer": "source", "transaction": names[id(transaction)], "outcome": outcome})


def _outcome_of(transaction: Transaction) -> str:
    return "info" if transaction.is_open else "committed" if transaction.kind else "aborted"


def _batches(cluster: FakeCluster, partition: Partition) -> bytes:
    return b"".join(entry.data for entry in cluster.log(partition)._entries)


def _lines(offset_map: OffsetMap) -> list[object]:
    lines: list[object] = [["run", run.source_offset, run.destination_offset, run.length] for run in offset_map.runs()]
    lines += [["gap", gap.source_offset, gap.source_offset + gap.length, str(gap.reason)]
              for gap in offset_map.gaps()]  # fmt: skip
    for place in range(offset_map.destination_start, offset_map.destination_offset):
        if isinstance(offset_map.translate_back(place), Foreign):
            lines.append(["foreign", place, place + 1])
    return lines


def _add(path: Path, line: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
