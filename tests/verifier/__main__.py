"""`python -m tests.verifier RUN_DIRECTORY [--json] [--without CHECK]...`

Exit codes: 0 every check was judged and none failed; 1 a check failed; 2 something was not judged: an input is absent,
the run directory cannot be read, or the call is wrong. `--without` leaves a check out whose input a run does not have.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.verifier.checks import CHECKS
from tests.verifier.files import Unreadable
from tests.verifier.findings import Verdict
from tests.verifier.judging import judge
from tests.verifier.reading import read_run
from tests.verifier.report import as_json, as_text, overall

EXIT = {Verdict.OK: 0, Verdict.INFO: 0, Verdict.FAIL: 1, Verdict.NOT_JUDGED: 2}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m tests.verifier", description="Judge the recorded run of a mirror.")
    parser.add_argument("run_directory", type=Path)
    parser.add_argument("--json", action="store_true", help="the report for programs")
    parser.add_argument("--without", action="append", default=[], choices=list(CHECKS), metavar="CHECK")
    told = parser.parse_args(arguments)
    try:
        run = read_run(told.run_directory)
    except (Unreadable, OSError) as error:
        print(f"the run cannot be judged: {error}", file=sys.stderr)
        return EXIT[Verdict.NOT_JUDGED]
    judgements = judge(run, told.without)
    print((as_json if told.json else as_text)(run.described.about, judgements))
    return EXIT[overall(judgements)]


if __name__ == "__main__":
    sys.exit(main())
