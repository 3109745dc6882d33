"""What a move, a kill and a loss cost, side by side with MirrorMaker 2; and 10^7 records with 10^6 holes translated.

    python -m bench.exactness [--only defaults,tuned,exactly-once] [--without-map] [--json FILE]

Two brokers; two gateways and up to three MirrorMakers copy the same topics at the same time. About seven minutes, two
of which are spent waiting for MirrorMaker's checkpoints at their default interval. Exit code 1 where the gateways are
not exact.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import offset_exact
from bench.exactness.mirrormaker import CONFIGURATIONS
from bench.exactness.report import document, is_exact, table
from bench.exactness.run import Run
from bench.versions import versions


def main(arguments: list[str] | None = None) -> int:
    given = _parse(arguments)
    directory = Path(tempfile.mkdtemp(prefix="mesh-exactness-"))
    with ExitStack() as stack:
        run = Run.build(stack, directory, given.only.split(","), say)
        try:
            found = run.measure()
        except AssertionError as error:
            say(f"exactness: failed: {error} (see the logs in {directory})")
            return 1
        configurations = {each.name: each.shown() for each in run.mirrors}
    shutil.rmtree(directory)
    for name, settings in configurations.items():
        say(f"{name}: " + (", ".join(f"{key}={value}" for key, value in settings.items()) or "nothing set"))
    say(f"\n{table(found)}\n")
    result: dict[str, Any] = {"versions": versions(), "configurations": configurations, "mirrors": document(found)}
    is_right = is_exact(found["mesh"])
    if not given.without_map:
        say("translating 10^7 records with 10^6 holes")
        measured = offset_exact.measure(10_000_000)
        say(offset_exact.text(measured))
        result["map"] = asdict(measured)
        is_right = is_right and not (measured.wrong_forward or measured.wrong_back or measured.wrong_after_reload)
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n")
    say(f"exactness: mesh is {'exact' if is_right else 'NOT exact'}")
    return 0 if is_right else 1


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(CONFIGURATIONS), help="of MirrorMaker; empty for none")
    parser.add_argument("--without-map", action="store_true")
    parser.add_argument("--json", type=Path)
    return parser.parse_args(arguments)


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
