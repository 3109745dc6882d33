"""One run: two organizations, a mirror, writers that go on, a sequence of faults, heal, quiescence, verdict.

    plan = RunPlan(seed=7, kind="kafka", strikes=("kill copy", "kill source's broker"))
    with clusters(plan.kind) as brokers:
        outcome = run(plan, directory, brokers)

What happened is all in the run directory; the verdict comes from another process, `python -m tests.verifier`, and
can be had again. Brokers outlive runs: each run deletes what the one before left.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any

import apsw
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.lab.admin import NoAnswer, asking, call, status
from tests.lab.collect import RunDirectory, Where, table_lines
from tests.lab.durable import DurableCopies
from tests.lab.faults import BY_NAME, EMBEDDED
from tests.lab.groups import GROUPS, Application
from tests.lab.logs import EmbeddedLogs, KafkaLogs, Logs, stored_of
from tests.lab.stage import Counters, Fault, LanePlace, Recovery, Site, Stage
from tests.lab.watching import Watcher
from tests.lab.wire.between import Between, WiredBroker
from tests.lab.writers import EMBEDDED_KINDS, KAFKA_KINDS, EmbeddedWriter, KafkaWriter, Kind, Writer
from tests.support.brokers import Broker, two_clusters_of
from tests.support.jars import kafka_version
from tests.support.organization import Organization, wait_for

SHARE = "everything"
PREFIX = "acme."
QUIET_S = 90.0
DURABLE_COPIES = 6
MOST_BACKLOG = 2_000
"""Records that wait to be mirrored, beyond which the writers wait, too."""
HEAL_BOUND_S = 90.0
GOOD = ("ok", "info")
SETTINGS = ("limits.lane_credit_bytes=65536", "timing.groups_s=0.5")
"""Slow enough that something is under way, and many batches small enough to be struck between."""

WIRED_SETTINGS = ("timing.heartbeat_s=1", "timing.append_timeout_s=3")
"""A link that is dead is given up in three seconds, and a broker can be slower than an append may be."""

Brokers = tuple[WiredBroker, WiredBroker] | None


@dataclass(frozen=True, slots=True)
class RunPlan:
    """`strikes` are names of the table of faults, in order."""

    seed: int
    kind: str
    strikes: tuple[str, ...]

    @property
    def is_wired(self) -> bool:
        return any(BY_NAME[each].wired for each in self.strikes)

    @property
    def kills(self) -> int:
        return sum(BY_NAME[each].kills for each in self.strikes)


@dataclass
class Outcome:
    plan: RunPlan
    directory: Path
    kills: int = 0
    records: int = 0
    checks: dict[str, str] = field(default_factory=dict)
    trouble: list[str] = field(default_factory=list)
    """What went wrong apart from the verdict: a gateway that died by itself, nothing that came in."""
    met: dict[str, int] = field(default_factory=dict)
    aims: dict[str, str] = field(default_factory=dict)
    """What the faults that struck aim at, with their rows."""
    rows: Counter[str] = field(default_factory=Counter)
    """How often which row of the fault table struck."""
    recoveries: list[Recovery] = field(default_factory=list)
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list)

    @property
    def violations(self) -> int:
        return len(self.trouble) + sum(verdict not in GOOD for verdict in self.checks.values())

    def line(self) -> str:
        bad = [f"{check} {verdict}" for check, verdict in self.checks.items() if verdict not in GOOD]
        verdict = "; ".join([*bad, *(each.splitlines()[0] for each in self.trouble)]) or "ok"
        ready = sorted(each.from_ready_s for each in self.recoveries)
        recovery = f"recovery p50 {ready[len(ready) // 2]:.2f} s, max {ready[-1]:.2f} s" if ready else "no recovery"
        return (
            f"seed {self.plan.seed} {self.plan.kind}{' wired' if self.plan.is_wired else ''}: {self.kills} kills, "
            f"{self.records} records, {verdict}; {recovery}; {self.seconds:.0f} s"
        )


@contextmanager
def clusters(kind: str) -> Iterator[Brokers]:
    """What runs of this kind share."""
    if kind == EMBEDDED:
        yield None
        return
    with two_clusters_of(WiredBroker) as brokers:
        yield brokers


def run(plan: RunPlan, directory: Path, brokers: Brokers) -> Outcome:
    """Never raises for what a run finds; KeyboardInterrupt goes through."""
    began_s = time.monotonic()
    outcome = Outcome(plan, directory / "run")
    counters = Counters()
    try:
        with ExitStack() as stack:
            scene = Scene.build(stack, plan, directory, brokers, counters)
            try:
                scene.play(outcome)
            finally:
                outcome.kills, outcome.recoveries = scene.stage.kills, scene.stage.recoveries
        judge(outcome)
    except Exception as error:
        outcome.trouble.append(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
    outcome.met = counters.all()
    outcome.seconds = time.monotonic() - began_s
    return outcome


@dataclass
class Scene:
    plan: RunPlan
    stage: Stage
    kinds: Sequence[Kind]
    writers: list[Writer]
    watcher: Watcher
    copies: DurableCopies
    application: Application | None
    """Its group is kept in step; on Kafka only."""

    @classmethod
    def build(cls, stack: ExitStack, plan: RunPlan, directory: Path, brokers: Brokers, counters: Counters) -> Scene:
        """Both gateways run, are paired, and everything is subscribed."""
        chance = Random(f"{plan.seed}/faults")
        notes = RunDirectory(directory / "run")
        if brokers is not None:
            for broker in brokers:
                clear(broker)
        source, copy = (_site(directory, name, brokers and brokers[at]) for at, name in enumerate(("acme", "globex")))
        for each in (source, copy):
            stack.callback(each.organization.kill)
        logs = _logs(source), _logs(copy)
        stage = Stage(plan.seed, chance, notes, counters, source, copy, logs, scratch=directory / "scratch")
        stage.scratch.mkdir()
        if plan.is_wired:
            stage.link = Between.put(source.organization, copy.organization, plan.seed)
            stack.callback(stage.link.close)
            for each in (source, copy):
                _wire(each)
        kinds = EMBEDDED_KINDS if plan.kind == EMBEDDED else KAFKA_KINDS
        _start(stage, kinds)
        stage.lanes = [_lane(kind, number) for kind in kinds for number in range(kind.partitions)]
        watcher = Watcher(notes, stage.lanes, source, copy, logs)
        copies = DurableCopies(
            notes, stage.lanes, logs[1], watcher, stage.scratch, Random(f"{plan.seed}/copies"), DURABLE_COPIES,
            max(1, plan.kills // 2),
        )  # fmt: skip
        stage.on_kill = lambda site: copies.make(site) if site is copy else None
        application = Application(stage) if stage.on_kafka else None
        return cls(plan, stage, kinds, [_writer(kind, stage) for kind in kinds], watcher, copies, application)

    def play(self, outcome: Outcome) -> None:
        described = [_told(each) for each in self.stage.lanes]
        notes = self.stage.directory
        notes.describe(
            self.plan.seed, described, heal_bound_s=HEAL_BOUND_S, versions=versions(),
            granted_topics=[["acme", kind.topic] for kind in self.kinds],
            plan={"kind": self.plan.kind, "strikes": list(self.plan.strikes)},
        )  # fmt: skip
        self.watcher.start()
        try:
            for writer in self.writers:
                writer.holds = lambda: self.watcher.backlog > MOST_BACKLOG
                writer.start()
            if self.application is not None:
                self.application.start()
            self.stage.wait_progress(0)
            for name in self.plan.strikes:
                fault = BY_NAME[name].make(self.stage)
                outcome.rows[fault.row] += 1
                outcome.aims.update(dict.fromkeys(fault.aims, fault.row))
                self._strike(fault)
        finally:
            self._end_writing(outcome)
            self.watcher.stop()
            outcome.records = self.stage.try_progress() or 0
        self._collect()

    def _strike(self, fault: Fault) -> None:
        notes = self.stage.directory
        notes.note_event("fault")
        try:
            fault.strike(self.stage)
        finally:
            fault.heal(self.stage)
        self.stage.recover()
        notes.note_event("heal")
        self._check_states(fault.row)

    def _check_states(self, row: str) -> None:
        lanes = wait_for("the lanes' states", lambda: _states(self.stage.copy.organization))
        stopped = [each for each in lanes if each["state"] == "stopped"]
        assert not stopped, f"after {row} lanes need a person: {stopped}"

    def _end_writing(self, outcome: Outcome) -> None:
        if self.application is not None:
            self.application.stop()
        for writer in self.writers:
            writer.stop()
        for writer in self.writers:
            writer.join()
            outcome.trouble += [f"the writer of {writer.kind.topic}: {each}" for each in writer.failures]

    def _arrive(self) -> None:
        """As long as anything comes, it is waited for the rest: how soon is the verifier's matter."""
        while not self.watcher.look():
            wait_for("everything to arrive", self._less_than(self.watcher.backlog), QUIET_S)

    def _less_than(self, backlog: int) -> Callable[[], bool]:
        return lambda: self.watcher.look() or self.watcher.backlog < backlog

    def _collect(self) -> None:
        """All is quiet at the end of this, and written down."""
        self._arrive()
        self.copies.finish()
        if self.application is not None:
            self.application.settle()
        stage, ask = self.stage, asking(self.stage.copy.organization)
        for place in stage.lanes:
            topic, number = place.source.topic, place.source.partition
            stored = stored_of(stage.logs[1].state(place.subscription, topic, number))
            if stored is not None:
                self.watcher.producer(place.name, *stored.producer, "stored")
            stage.logs[0].read(place.source, stage.directory)
            stage.logs[1].read(place.copy, stage.directory)
            (source_end,) = stage.logs[0].ends([place.source], stable=True)
            (copy_end,) = stage.logs[1].ends([place.copy])
            lines = table_lines(ask, place.subscription, topic, number, range(source_end), range(copy_end))
            stage.directory.note_table(place.name, lines, 0, source_end, copy_end)
        for site in stage.sites:
            assert site.organization.stop() == 0, f"{site.name}'s gateway did not end well"
            stage.directory.note_text(site.organization.org, "gateway.log", site.organization.log)


def judge(outcome: Outcome) -> None:
    """By the verifier, in its own process."""
    command = [sys.executable, "-m", "tests.verifier", str(outcome.directory), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    try:
        told = json.loads(done.stdout)
    except ValueError:
        outcome.trouble.append(f"the verifier ended with {done.returncode}: {done.stderr[-2000:]}")
        return
    outcome.checks = {each["check"]: each["verdict"] for each in told["checks"]}
    outcome.findings = [
        f"{each['check']}: {finding['sentence']}"
        for each in told["checks"]
        if each["verdict"] not in GOOD
        for finding in each["findings"][:3]
    ]


# --- how a run is set up


def clear(broker: Broker) -> None:
    """Take away what the run before left; the broker's own topics stay."""
    admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
    left = [topic for topic in admin.list_topics(timeout=30).topics if not topic.startswith("__")]
    if left:
        for done in admin.delete_topics(left, operation_timeout=30).values():
            done.result(30)
    wait_for("old topics to be gone", lambda: not set(left) & set(admin.list_topics(timeout=30).topics), 30)


def _site(directory: Path, name: str, broker: Broker | None) -> Site:
    options = () if broker is None else ("--kafka", broker.address)
    organization = Organization.init(directory / name, f"{name}.example", *options)
    organization.settings = SETTINGS
    return Site(name, organization, broker)


def _wire(site: Site) -> None:
    """Past its proxy goes nobody but the laboratory."""
    organization = site.organization
    organization.settings = (*organization.settings, *WIRED_SETTINGS)
    if isinstance(site.broker, WiredBroker):
        site.wire = site.broker.wire
        site.wire.calm()
        organization.dialled = (site.wire.address,)


def _logs(site: Site) -> Logs:
    return EmbeddedLogs(site.data) if site.broker is None else KafkaLogs(site.broker.ports["PLAINTEXT"])


def _start(stage: Stage, kinds: Sequence[Kind]) -> None:
    source, copy = stage.source.organization, stage.copy.organization
    for each in (source, copy):
        each.launch()
    for each in (source, copy):
        each.wait_ready()
    _create(stage.source, kinds)
    source.pair(copy)
    source.mesh("share", "create", SHARE, *(word for kind in kinds for word in ("--topic", kind.topic)))
    source.mesh("grant", "create", SHARE, "--to", copy.org, "--groups", "read")
    stage.directory.note_trust("opened", grant=SHARE)
    mappings = [word for kind in kinds for word in ("--topic", f"{kind.topic}={PREFIX}{kind.topic}")]
    groups = ("--group", GROUPS) if stage.on_kafka else ()
    copy.mesh("subscribe", f"{source.org}/{SHARE}", *mappings, *groups)


def _create(site: Site, kinds: Sequence[Kind]) -> None:
    if site.broker is None:
        for kind in kinds:
            call(site.organization, "POST", "/v1/topics", {"name": kind.topic, "partitions": kind.partitions})
        return
    admin = AdminClient({"bootstrap.servers": site.broker.address, "log_level": 0})
    stamped = {True: {"message.timestamp.type": "LogAppendTime"}, False: {}}
    topics = [NewTopic(kind.topic, kind.partitions, 1, config=stamped[kind.append_time]) for kind in kinds]
    for made in admin.create_topics(topics).values():
        made.result(30)


def _lane(kind: Kind, number: int) -> LanePlace:
    source, copy = Where("acme", kind.topic, number), Where("globex", PREFIX + kind.topic, number)
    return LanePlace(f"{kind.topic}-{number}", SHARE, source, copy)


def _told(lane: LanePlace) -> dict[str, object]:
    return {"lane": lane.name, "source": lane.source.told(), "destination": lane.copy.told(), "grant": SHARE}


def _writer(kind: Kind, stage: Stage) -> Writer:
    site = stage.source
    if site.broker is None:
        return EmbeddedWriter(kind, site.name, stage.seed, stage.directory, organization=site.organization)
    return KafkaWriter(kind, site.name, stage.seed, stage.directory, address=site.broker.address)


def _states(organization: Organization) -> list[dict[str, Any]] | None:
    try:
        lanes: list[dict[str, Any]] = status(organization)["lanes"]
    except NoAnswer:
        return None
    return lanes


def versions() -> dict[str, str]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "stream-mesh": commit.stdout.strip() or "no git",
        "python": platform.python_version(),
        "kafka": kafka_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "confluent-kafka": version("confluent-kafka"),
    }
