"""python -m tests.fuzz batch --mutants 1000000 --seed 1      one target; exits 1 where the law was broken
python -m tests.fuzz all --mutants 100000                  every target; `others` are all but batch
python -m tests.fuzz batch --seed 1 --only 4711            one mutant again, with what it comes to
python -m tests.fuzz batch --file FILE                     one input
python -m tests.fuzz native --sanitize                     in builds of the compiled part that watch themselves
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tests.fuzz import sanitized
from tests.fuzz.campaign import Broken, Result, alarms, check, mutant, run
from tests.fuzz.findings import Target
from tests.fuzz.targets import TARGETS

_STEP = 50_000
FOUND = Path("build/fuzz")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", choices=[*TARGETS, "all", "others"])
    parser.add_argument("--mutants", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the number of one mutant")
    parser.add_argument("--file", type=Path, help="a file to check instead of mutants")
    parser.add_argument(
        "--sanitize", action="store_true", help="build mesh/batch/_native.c with sanitizers (needs GCC)"
    )
    options = parser.parse_args()
    if options.sanitize:
        return _again_sanitized()
    chosen = _chosen(options.target)
    if options.file is not None or options.only is not None:
        data = options.file.read_bytes() if options.file else mutant(chosen[0], options.seed, options.only)
        return _one(chosen[0], data)
    print(f"seed {options.seed}", flush=True)
    results = [_campaign(target, options.mutants, options.seed) for target in chosen]
    total, seconds = sum(each.mutants for each in results), sum(each.seconds for each in results)
    findings = sum(len(each.findings) for each in results)
    print(f"fuzz: {total} mutants of {len(results)} targets, {total / max(seconds, 1e-9):.0f}/s, {findings} findings")
    poor = [each.target for each in results if each.accepted < TARGETS[each.target].least_accepted * each.mutants]
    if poor:
        print(f"too few were accepted, so little was tested, of: {', '.join(poor)}")
    return 1 if findings or poor else 0


def _again_sanitized() -> int:
    """The same command in a process that can load the builds; a sanitizer's report ends it, and is its output."""
    modules = sanitized.build(Path("build/sanitized"))
    command = [argument for argument in sys.argv[1:] if argument != "--sanitize"]
    environment = sanitized.environment(modules)
    return subprocess.run([sys.executable, "-m", "tests.fuzz", *command], env=environment, check=False).returncode


def _chosen(name: str) -> list[Target]:
    if name in TARGETS:
        return [TARGETS[name]]
    return [each for each in TARGETS.values() if name == "all" or each.name != "batch"]


def _one(target: Target, data: bytes) -> int:
    with alarms():
        found = check(target, data)
    print(f"{len(data)} bytes: {data!r:.2000}")
    print(f"{found.place}\n{found.why}" if isinstance(found, Broken) else found)
    return 1 if isinstance(found, Broken) else 0


def _campaign(target: Target, mutants: int, seed: int) -> Result:
    whole = Result(target.name)
    for first in range(0, mutants, _STEP):
        part = run(target, min(_STEP, mutants - first), seed, first)
        whole.mutants, whole.seconds = whole.mutants + part.mutants, whole.seconds + part.seconds
        whole.outcomes += part.outcomes
        whole.slowest_s = max(whole.slowest_s, part.slowest_s)
        for place, broken in part.findings.items():
            if place not in whole.findings:
                whole.findings[place] = broken
                _report(target, broken)
    print(whole.line(), flush=True)
    for code, count in whole.outcomes.most_common():
        print(f"    {count:9}  {code}")
    return whole


def _report(target: Target, broken: Broken) -> None:
    path = FOUND / target.name / broken.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(broken.data)
    print(f"FINDING ({target.name}) {broken.place}\n  {broken.why[:600]}\n  kept in {path}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
