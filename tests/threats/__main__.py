"""The threats and their controls: each test with its control, where it passes, and without it, where it must fail.

    python -m tests.threats [--only ROW ...] [--jobs 2]

ROW is the number of a threat or the id of a control. Exit code 1 where a control is not shown.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.threats.judging import Verdict
from tests.threats.page import PAGE, page
from tests.threats.running import Row, with_all, without
from tests.threats.table import THREATS, Control, controls


def main() -> int:
    arguments = _arguments()
    if arguments.page:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    wanted = [each for each in controls() if not arguments.only or {each.id, str(each.threat)} & set(arguments.only)]
    console = Console(width=None if sys.stdout.isatty() else 160)
    passed = with_all(wanted)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        rows = [_told(console, row) for row in pool.map(lambda each: _row(each, passed), wanted)]
    _show(console, rows)
    red = sum(row.without_it is Verdict.FAILED for row in rows)
    console.print(f"threats: {len(rows)} controls, {red} red without")
    return 0 if rows and all(row.holds for row in rows) else 1


def _row(control: Control, passed: dict[str, Verdict]) -> Row:
    found = [passed[test] for test in control.tests]
    with_it = next((each for each in found if each is not Verdict.PASSED), Verdict.PASSED)
    return Row(control, with_it, *without(control))


def _told(console: Console, row: Row) -> Row:
    console.print(
        f"{row.control.id}: {row.with_it} with, {row.without_it} without  {row.why}", markup=False, style="dim"
    )
    return row


def _show(console: Console, rows: list[Row]) -> None:
    table = Table(title="threats and controls", title_justify="left")
    for column in ("row", "control", "tests", "with", "without"):
        table.add_column(column, overflow="fold")
    threat = 0
    for row in rows:
        if row.control.threat != threat:
            threat = row.control.threat
            table.add_section()
            table.add_row(str(threat), f"[bold]{THREATS[threat]}[/]", "", "", "")
        tests = "\n".join(test.rpartition("::")[2] for test in row.control.tests).replace("[", r"\[")
        table.add_row(row.control.id, row.control.control, tests, row.with_it, row.without_it)
    console.print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.threats", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=[], metavar="ROW")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--page", action="store_true", help=f"write {Path(PAGE).name} instead")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
