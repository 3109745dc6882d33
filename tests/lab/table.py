"""The result of a campaign as tables for docs/reliability.md, between two markers of that page.

python -m tests.lab.table             prints them
python -m tests.lab.table --write     puts them into the page
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.lab.whole import closing

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
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the page has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


def tables(result: dict[str, Any]) -> Iterator[str]:
    lab = result["laboratory"]
    yield f"    {closing(result)}"
    yield ""
    yield from _table(("what", "figure"), _sums(result, lab))
    yield ""
    yield from _table(("fault", "strikes", "states that it aims at", "met"), _rows(lab))
    yield ""
    yield from _table(("state that was met", "times"), sorted(lab["sometimes"].items()))
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


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"


if __name__ == "__main__":
    sys.exit(main())
