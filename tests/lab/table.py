"""The result of a campaign as tables for docs/reliability.md, between two markers of that page.

python -m tests.lab.table             prints them
python -m tests.lab.table --write     puts them into the page
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.lab.whole import closing
from tests.support import pages
from tests.support.pages import table

RESULT = Path("bench/results/faults.json")
PAGE = Path("docs/reliability.md")
BEGIN, END = "<!-- Generated: python -m tests.lab.table --write -->", "<!-- end of what is generated -->"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.table", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--result", type=Path, default=RESULT)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    text = "\n".join(tables(json.loads(options.result.read_text(encoding="utf-8")))) + "\n"
    if options.write:
        options.page.write_text(placed(options.page.read_text(encoding="utf-8"), text), encoding="utf-8")
    else:
        print(text, end="")
    return 0


def placed(page: str, text: str) -> str:
    """The page with `text` between its markers. Raises ValueError where it has none."""
    return pages.placed(page, BEGIN, text, END)


def tables(result: dict[str, Any]) -> Iterator[str]:
    lab = result["laboratory"]
    yield f"    {closing(result)}"
    yield ""
    yield from table(("what", "figure"), _sums(result, lab))
    yield ""
    yield from table(("fault", "strikes", "states that it aims at", "met"), _rows(lab))
    yield ""
    yield from table(("state that was met", "times"), sorted(lab["sometimes"].items()))
    if planted := [line for line in result.get("planted", []) if line.strip()]:
        yield ""
        yield from ("    " + line for line in planted)


def _sums(result: dict[str, Any], lab: dict[str, Any]) -> Iterator[tuple[object, ...]]:
    yield "seed of the laboratory and the simulator", lab["seed"]
    yield "duration of the whole", f"{result['seconds'] / 60:.0f} minutes"
    yield "runs, with the verifier's twelve checks each", len(lab["runs"])
    yield "records that were judged", f"{lab['records']:,}"
    for what, name in (("from_ready_s", "from ready again to the next record"), ("from_kill_s", "from the kill to it")):
        times = lab["recovery_s"][what]
        yield f"recovery, {name}", f"p50 {times['p50']:.2f} s, p99 {times['p99']:.2f} s"
    yield "simulator", result["simulator"]["sum"]
    yield "versions", ", ".join(f"{name} {version}" for name, version in lab["versions"].items())


def _rows(lab: dict[str, Any]) -> Iterator[tuple[object, ...]]:
    for row, strikes in lab["rows"].items():
        aims = [aim for aim, of in lab["aims"].items() if of == row]
        met = sum(lab["sometimes"].get(aim, 0) > 0 for aim in aims)
        yield row, strikes, len(aims), "all" if met == len(aims) else met


if __name__ == "__main__":
    sys.exit(main())
