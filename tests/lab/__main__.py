"""python -m tests.lab --kills 1000 --seed 1 --jobs 2 --json FILE    a campaign; exits 1 where anything was violated
python -m tests.lab --short                                       one run of each kind
python -m tests.lab --kills 1000 --seed 1 --only 1007             one run of that campaign again
python -m tests.lab --list                                        the table of faults

The directory of a run that failed is kept (below --keep), with the command that judges it again. Several jobs are
several processes: one has the Kafka brokers, the others the embedded logs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import structlog

from tests.lab.campaign import Result, plan, told
from tests.lab.faults import EMBEDDED, FAULTS, KAFKA
from tests.lab.run import Brokers, RunPlan, clusters, run, versions

KEEP = Path("build/faults")
ENOUGH_FAILURES = 5
TOLD_LINES = 12


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--kills", type=int, default=150, help="real SIGKILLs of gateways and brokers, at least")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    parser.add_argument("--short", action="store_true", help="one run of each kind, instead of a number of kills")
    parser.add_argument("--only", action="append", type=int, metavar="RUN", help="only this run of the campaign")
    parser.add_argument("--keep", type=Path, default=KEEP, help="where directories of failed runs go")
    parser.add_argument("--keep-all", action="store_true", help="also those of runs that went well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the result for programs")
    parser.add_argument("--list", action="store_true", help="show the table of faults")
    parser.add_argument("--lines", action="store_true", help=argparse.SUPPRESS)  # a worker's: outcomes as JSON lines
    options = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    if options.list:
        return _list()
    plans = plan(options.seed, options.kills, short=options.short)
    if options.only:
        plans = [each for each in plans if each.seed in options.only]
    if not plans:
        parser.error("this campaign has no such run")
    if options.lines:
        for outcome in _here(plans, options):
            print(json.dumps(outcome), flush=True)
        return 0
    return _campaign(plans, options)


def _campaign(plans: Sequence[RunPlan], options: argparse.Namespace) -> int:
    began_s = time.monotonic()
    result = Result(options.seed, versions=versions())
    print(f"{len(plans)} runs, {sum(each.kills for each in plans)} kills planned, seed {options.seed}", flush=True)
    outcomes = _here(plans, options) if options.jobs < 2 else _in_workers(plans, options)
    with suppress(KeyboardInterrupt):  # what has ended by then is told all the same
        for outcome in outcomes:
            result.add(outcome)
            print(outcome["line"], flush=True)
            _tell_violations(outcome, options)
    result.seconds = time.monotonic() - began_s
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result.as_json(), indent=2) + "\n", encoding="utf-8")
    _tell(result)
    lost = len(plans) - len(result.runs)
    if lost:
        print(f"{lost} runs did not come to an end")
    return 1 if result.violations or result.never() or lost else 0


def _tell(result: Result) -> None:
    for name, times in sorted(result.met.items()):
        print(f"  {times:6}  {name}")
    for name in result.never():
        print(f"   NEVER  {name}")
    for entry in FAULTS:
        if why := entry.hindrance():
            print(f"  not on this machine: {entry.name}: {why}")
    for what, name in (("from_ready_s", "ready to the next record"), ("from_kill_s", "kill to the next record")):
        p50, p99 = result.recovery_s(what, 0.5), result.recovery_s(what, 0.99)
        if p50 is not None:
            print(f"recovery, {name}: p50 {p50:.2f} s, p99 {p99:.2f} s")
    print(", ".join(f"{name} {version}" for name, version in result.versions.items()))
    print(
        f"{len(result.runs)} runs, {result.kills} kills, {result.records} records, {result.violations} violations, "
        f"{len(result.never())} aims never met, {result.seconds:.0f} s, seed {result.seed}"
    )


def _tell_violations(outcome: dict[str, Any], options: argparse.Namespace) -> None:
    if not outcome["violations"]:
        return
    for finding in [*outcome["findings"], *(each.splitlines()[0] for each in outcome["trouble"])]:
        print(f"    VIOLATION {finding}")
    for trouble in outcome["trouble"]:
        print("".join(f"        {line}\n" for line in trouble.splitlines()[-TOLD_LINES:]), end="")
    kept = outcome["directory"]
    kind = "--short" if options.short else f"--kills {options.kills}"
    print(f"    judge again: python -m tests.verifier {kept}")
    print(f"    run again:   python -m tests.lab {kind} --seed {options.seed} --only {outcome['seed']}", flush=True)


def _here(plans: Sequence[RunPlan], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The outcomes of the runs, one after the other; brokers are started when they are needed."""
    options.keep.mkdir(parents=True, exist_ok=True)
    failures = 0
    with ExitStack() as stack:
        brokers: Brokers = None
        for each in plans:
            if each.kind == KAFKA and brokers is None:
                brokers = stack.enter_context(clusters(KAFKA))
            with tempfile.TemporaryDirectory(prefix="lab-", ignore_cleanup_errors=True) as name:
                outcome = run(each, Path(name), brokers if each.kind == KAFKA else None)
                if outcome.violations or options.keep_all:
                    kept = options.keep / f"{each.kind}-{each.seed}"
                    shutil.rmtree(kept, ignore_errors=True)
                    shutil.copytree(name, kept, ignore_dangling_symlinks=True)
                    outcome.directory = kept / "run"
            if outcome.violations:
                failures += 1
                stack.close()  # the next run begins with brokers that nothing has happened to
                brokers = None
            yield told(outcome)
            if failures >= ENOUGH_FAILURES:
                return


def _in_workers(plans: Sequence[RunPlan], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One process for the runs on Kafka, the others share those on the embedded log."""
    embedded = [each for each in plans if each.kind == EMBEDDED]
    others = max(1, options.jobs - 1)
    shares = [[each for each in plans if each.kind == KAFKA], *(embedded[at::others] for at in range(others))]
    lines: Queue[str | None] = Queue()
    workers = [_Worker(share, options, lines) for share in shares if share]
    try:
        for worker in workers:
            worker.start()
        left = len(workers)
        while left:
            line = lines.get()
            if line is None:
                left -= 1
            else:
                yield json.loads(line)
    finally:
        for worker in workers:
            worker.end()


class _Worker(Thread):
    def __init__(self, share: Sequence[RunPlan], options: argparse.Namespace, lines: Queue[str | None]) -> None:
        super().__init__(daemon=True)
        only = [word for each in share for word in ("--only", str(each.seed))]
        size = ["--short"] if options.short else ["--kills", str(options.kills)]
        keeping = ["--keep", str(options.keep), *(["--keep-all"] if options.keep_all else [])]
        leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        command = [
            *leash,
            sys.executable,
            "-m",
            "tests.lab",
            "--lines",
            *size,
            "--seed",
            str(options.seed),
            *keeping,
            *only,
        ]
        self._lines = lines
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def run(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            # What is no outcome was printed for people on the way to a failure.
            if line.startswith("{"):
                self._lines.put(line)
            else:
                print(line, end="", flush=True)
        self._lines.put(None)

    def end(self) -> None:
        """Its children die with it."""
        self._process.kill()
        self._process.wait()


def _list() -> int:
    for each in FAULTS:
        where = "+".join(sorted(each.on)) + (" wired" if each.wired else "")
        print(f"{each.name:32} weight {each.weight:2}, {each.kills} kills, {where:22} {each.hindrance()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
