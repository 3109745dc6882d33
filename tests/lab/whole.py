"""The laboratory, the simulator and the planted bugs in one: `make faults`, and `make faults-campaign` for hours.

    python -m tests.lab.whole                                              short: a few dozens of kills
    python -m tests.lab.whole --kills 1000 --schedules 10000 --json FILE   the campaign, and its result

Each is a process of its own, and prints as it goes. The last line is the sum of it:

    faults: K kills, S schedules, V violations; planted bugs caught: 20/20

The exit code is 0 where nothing was violated, every state that a fault aims at was met, and every bug was caught. The
campaign stops for nothing: what fails is told at the end.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUGS = 20
SHORT_SCHEDULES, SHORT_FROM = 300, 100_000
_SCHEDULES = re.compile(r"^(\d+) schedules, .*?(\d+) with violations", re.MULTILINE)
_PLANTED = re.compile(r"planted bugs caught: (\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class Part:
    """One of the three: what it said, and whether it ended well."""

    code: int
    said: str
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.whole", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--kills", type=int, default=0, help="real kills, at least; 0: the short runs")
    parser.add_argument("--schedules", type=int, default=SHORT_SCHEDULES, help="of the simulator")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the result goes")
    options = parser.parse_args(arguments)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        result = Path(name) / "lab.json"
        size = ["--kills", str(options.kills)] if options.kills else ["--short"]
        seed = ["--seed", str(options.seed)]
        lab = _part("tests.lab", *size, *seed, "--jobs", str(options.jobs), "--json", str(result))
        found: dict[str, Any] = json.loads(result.read_text()) if result.exists() else {}
    # The short one has other schedules than tests/simulator judges.
    first = options.seed if options.kills else SHORT_FROM + options.seed
    simulated = _part("tests.simulator", "--schedules", str(options.schedules), "--seed", str(first))
    planted = _part("tests.planted")
    total = totals(found, lab, simulated, planted)
    total["seconds"] = round(time.monotonic() - began_s, 1)
    if options.json:
        whole = total | {"laboratory": found, "planted": planted.said.splitlines(), "simulator": _told(simulated)}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    print(closing(total), flush=True)
    return 0 if total["ok"] else 1


def _part(module: str, *arguments: str) -> Part:
    print(f"--- {module} {' '.join(arguments)}", flush=True)
    began_s, said = time.monotonic(), []
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        print(line, end="", flush=True)
    return Part(process.wait(), "".join(said), time.monotonic() - began_s)


def totals(found: dict[str, Any], lab: Part, simulated: Part, planted: Part) -> dict[str, Any]:
    schedules, violated = (int(each) for each in (_SCHEDULES.findall(simulated.said) or [("0", "0")])[-1])
    caught, bugs = (int(each) for each in (_PLANTED.findall(planted.said) or [("0", str(BUGS))])[-1])
    is_ok = lab.code == simulated.code == planted.code == 0 and caught == bugs == BUGS and schedules > 0
    return {
        "ok": is_ok,
        "kills": found.get("kills", 0),
        "schedules": schedules,
        "violations": found.get("violations", 0) + violated,
        "caught": caught,
        "bugs": bugs,
        "exit_codes": {"laboratory": lab.code, "simulator": simulated.code, "planted": planted.code},
    }


def _told(simulated: Part) -> dict[str, Any]:
    met = re.findall(r"^ +(\d+)  (.+)$", simulated.said, re.MULTILINE)
    last = [line for line in simulated.said.splitlines() if _SCHEDULES.match(line)]
    return {"sum": last[-1] if last else "", "seconds": round(simulated.seconds, 1), "met": {b: int(a) for a, b in met}}


def closing(totals: dict[str, Any]) -> str:
    return (
        f"faults: {totals['kills']} kills, {totals['schedules']} schedules, {totals['violations']} violations; "
        f"planted bugs caught: {totals['caught']}/{totals['bugs']}"
    )


if __name__ == "__main__":
    sys.exit(main())
