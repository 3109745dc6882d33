"""The fixed corpus: small inputs of every target, made by `python -m tests.fuzz.corpus` from its first mutants.

`corpus/<target>/<outcome>-<digest>` is an input that came to that outcome; one of each outcome, the shortest of the
mutants looked at. `corpus/<target>/found-…` broke the law once; how is told in FOUND.
"""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path

from tests.fuzz.campaign import Broken, alarms, check, mutant
from tests.fuzz.findings import Target
from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
SEED = 1
MUTANTS = 300
MOST_BYTES = 4096


def inputs(target: Target) -> list[Path]:
    return sorted((CORPUS / target.name).iterdir())


def made(target: Target) -> dict[str, bytes]:
    """The shortest input of each outcome among the first mutants, by outcome."""
    shortest: dict[str, bytes] = {}
    with alarms():
        for index in range(MUTANTS):
            data = mutant(target, SEED, index)
            outcome = check(target, data)
            assert not isinstance(outcome, Broken), outcome
            held = shortest.get(outcome)
            if len(data) <= MOST_BYTES and (held is None or len(data) < len(held)):
                shortest[outcome] = data
    return shortest


def main() -> int:
    for target in TARGETS.values():
        directory = CORPUS / target.name
        directory.mkdir(parents=True, exist_ok=True)
        for old in directory.iterdir():
            if not old.name.startswith("found-"):
                old.unlink()
        for outcome, data in made(target).items():
            (directory / f"{outcome}-{sha256(data).hexdigest()[:8]}").write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
