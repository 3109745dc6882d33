"""A schedule written down as a run directory, so that the verifier judges it as it judges runs of real gateways.

    outcome = simulate(draw(4711), directory)
    judge(read_run(directory))

A schedule takes the same steps whether it is written down or not. The source's producers keep a journal, both logs
are read raw (the source before each loss, too), and at each acknowledgement what is durable then is kept. Nothing is
written of trust, nor of where the lane stood over time. A source topic that is made anew is another lane, behind the
first.
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
from mesh.lanes.checkpoint import Checkpoint, load_lane
from mesh.offsets.answers import Foreign
from mesh.offsets.map import OffsetMap
from mesh.testing.cluster import FakeCluster
from tests.lab.collect import RunDirectory, Where
from tests.lab.writing import digest, told_headers
from tests.simulator.plan import Plan
from tests.simulator.tracks import LANE, TO
from tests.simulator.truth import FROM, SOURCE, Transaction, Truth

if TYPE_CHECKING:
    from tests.simulator.world import World

NAME = "departures-0"
ANEW = "departures-0, made anew"
ORIGIN, COPY = Where("acme", SOURCE, 0), Where("globex", TO.topic, 0)
Claim = tuple[OffsetMap, int]
"""A map, and the source position up to which it is claimed."""
NOT_JUDGED = frozenset({"authorization", "liveness"})
"""Checks for which a schedule has no inputs."""
UNTOLD = frozenset({"trim", "truncate-copy", "recreate-copy", "promote", "rivals"})
"""Faults after which the logs alone do not tell what is right."""


def can_be_recorded(plan: Plan) -> bool:
    """Not where the source forgets what a crashed gateway had copied: which records those were, nothing tells."""
    kinds = [fault.kind for fault in plan.faults]
    anew = kinds.count("recreate")
    is_whole = plan.lanes == 1 and not plan.starts and not UNTOLD & {*kinds}
    return is_whole and (not anew or (anew == 1 and "truncate" not in kinds))


class Recorder:
    def __init__(self, directory: Path, world: World) -> None:
        ticks = count()  # two things at one virtual time have an order, too
        self._clock: Callable[[], float] = lambda: world.loop.time() + next(ticks) * 1e-6
        self._told = RunDirectory(directory, self._clock)
        self._path = directory
        self._world = world
        self._begun: tuple[int, int] | None = None
        self._claimed: Claim | None = None
        self._given: list[Producer] = []
        self._topic_id = ""
        self._has_anew = any(fault.kind == "recreate" for fault in world.plan.faults)
        self._readings = 0
        (directory / "acks.jsonl").touch()
        (directory / "epochs.jsonl").touch()

    def given(self, producer: Producer) -> None:
        """To the lane, under its name: one without a name could not be fenced off by who comes next."""
        self._given.append(producer)

    def landed(self) -> None:
        """The first of these tells where the lane begins."""
        if self._begun is None and (found := self._durable()) is not None:
            self._begun = found[0].start, found[0].destination_start
            checkpoint = self._checkpoint()
            assert checkpoint is not None
            self._topic_id = checkpoint.topic_id

    def acknowledged(self, source_offset: int) -> None:
        """With what was durable at that moment; not once the source's history is another."""
        truth = self._world.truth
        if truth.truncations or truth.incarnations:
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
        if world.truth.truncations or world.truth.incarnations:  # what was acknowledged is of another history
            for name in ("acks.jsonl", "durable.jsonl"):
                (self._path / name).unlink(missing_ok=True)
        lanes = self._describe()
        found = self._claimed or self._durable()
        if found is not None:
            offset_map, position = found
            name = lanes[-1] if self._is_anew else NAME
            end = offset_map.destination_offset
            self._told.note_table(name, _lines(offset_map), offset_map.start, position, end)

    def _checkpoint(self) -> Checkpoint | None:
        """Raises LaneStateDamaged."""
        stored = self._world.destination.ports.lanes._entries  # type: ignore[attr-defined]
        found = load_lane(LANE, stored)
        return None if found is None else found[0]

    @property
    def _is_anew(self) -> bool:
        """Whether the lane has gone on with the topic that was made anew."""
        if not self._has_anew:
            return False
        checkpoint = self._checkpoint()
        return checkpoint is not None and checkpoint.incarnation > 0

    def _describe(self) -> list[str]:
        """The names of the lanes."""
        world, truth = self._world, self._world.truth
        settled = world.is_settled and not world.is_frozen
        lane: dict[str, object] = {"lane": NAME, "source": ORIGIN.told(), "destination": COPY.told()}
        lane |= {"settled": settled, "allowed_gaps": ["lost"] if truth.truncations else []}
        if self._begun is not None:  # others may write before the lane begins
            lane["source_start"], lane["destination_start"] = self._begun
        lanes = [lane]
        now_id = str(world.source._topics[SOURCE].topic_id)
        if self._has_anew and self._topic_id not in ("", now_id):
            lane |= {"source_topic_id": self._topic_id, "settled": False}
            found = self._durable()
            start = found[0].destination_start if self._is_anew and found else world.destination.log(TO).end + 1
            again = {"lane": ANEW, "source_topic_id": now_id, "destination_start": start, "source_start": 0}
            lanes.append(lane | again | {"settled": settled and self._is_anew})
        elif self._has_anew:
            lane["source_topic_id"] = now_id
        rewrites = [ORIGIN.told() | {"from": truth.agreed}] if truth.truncations else []
        self._told.describe(world.plan.seed, lanes, rewrites=rewrites)
        for each in lanes:
            for producer in self._given:
                self._told.note_producer(str(each["lane"]), producer.id, producer.epoch, "the broker")
        return [str(each["lane"]) for each in lanes]

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
        span: dict[str, object] = {"start": log.start, "first": log.start, "end": log.end}
        span["last_stable"] = log.range.last_stable
        if partition == FROM and self._has_anew:
            span["topic_id"] = str(cluster._topics[SOURCE].topic_id)
        told = {"reader": "raw", "kind": "raw", "at_s": self._clock(), "file": name}
        _add(self._path / "logs.jsonl", where.told() | span | told)

    def _write_journal(self, truth: Truth) -> None:
        path = self._path / "writes" / "source.jsonl"
        names: dict[int, str] = {}
        path.touch()
        outcome = "info" if truth.truncations or truth.incarnations else "ok"
        for number, (offset, transaction) in enumerate(truth.written):
            content = truth.contents[number]
            name = None if transaction is None else names.setdefault(id(transaction), f"t{len(names)}")
            line: dict[str, Any] = {"writer": "source", "n": number, "id": f"{number:032x}", "transaction": name}
            line |= ORIGIN.told() | {"timestamp_ms": content.timestamp_ms, "key": digest(content.key)}
            line |= {"value": digest(content.value), "headers": told_headers(list(content.headers))}
            _add(path, line | {"outcome": outcome, "offset": offset})
        for transaction in {id(each): each for _, each in truth.written if each is not None}.values():
            ended = {"writer": "source", "transaction": names[id(transaction)], "outcome": _outcome_of(transaction)}
            _add(path, ended)


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
