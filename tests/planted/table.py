"""The table of planted bugs: what is wrong, which check is meant to see it, and where it is hunted.

To add one: write the mistake into the product, `git diff` it into `bugs/NN-name.patch` with one line in front that says
it in words, take it out again, and give it a line here. A bug that the simulator can meet is hunted by it; others get a
scene in `scenes.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PATCHES = Path(__file__).parent / "bugs"
SEEDS = Path(__file__).parent / "seeds.json"
SIMULATOR = "simulator"


@dataclass(frozen=True, slots=True)
class Bug:
    patch: str
    """The name of its file, without the suffix."""
    says: str
    check: str
    """Of the verifier: no other one's finding counts. Empty: any, the simulator's own oracle included."""
    by: str = SIMULATOR
    """Or the name of a scene."""

    @property
    def path(self) -> Path:
        return PATCHES / f"{self.patch}.patch"


ACKS, DOUBLES, PHANTOMS, TRUST = "acknowledgements", "no duplicate", "no phantom", "authorization"

TWENTY = (
    Bug("01-acknowledged-before-records", "acknowledgement before the records are durable", ACKS),
    Bug("02-acknowledged-before-runs", "acknowledgement before the runs are durable", ACKS),
    Bug("03-resent-without-asking", "resend after a timeout without asking the log", DOUBLES),
    Bug("04-new-producer-on-retry", "a new producer id on retry", "fencing"),
    Bug("05-sequence-from-source-offset", "sequence not derived from the ordinal", "fencing"),
    Bug("06-empty-batch-counted", "ordinal off by one after an empty batch", "fencing"),
    Bug("07-deduplicated-by-less-or-equal", "`<=` deduplication by offset", "prefix"),
    Bug("08-resumed-without-comparing", "resumed lane not compared with the log", DOUBLES),
    Bug("09-aborts-unsorted", "abort list unsorted", PHANTOMS),
    Bug("10-aborts-ignored", "abort list ignored", PHANTOMS),
    Bug("11-last-record-instead-of-batch-end", "last record + 1 instead of batch end", "translation"),
    Bug("12-marker-in-a-run", "run off by one at a marker", "translation"),
    Bug("13-foreign-write-unnoticed", "foreign write unnoticed", "accounting"),
    Bug("14-reset-to-earliest", "reset to earliest on out of range", DOUBLES),
    Bug("15-topic-id-ignored", "topic id ignored", PHANTOMS),
    Bug("16-null-turned-empty", "null turned empty", "fidelity"),
    Bug("17-header-order-lost", "header order lost", "fidelity"),
    Bug("18-append-time-lost", "append time lost", "fidelity"),
    Bug("19-pooled-roots", "pooled roots", TRUST, by="foreign root"),
    Bug("20-revocation-checked-at-open", "revocation checked only at open", TRUST, by="revocation"),
)

BEYOND = (
    Bug("21-truncation-unnoticed", "the source's truncation unnoticed", ""),
    Bug("22-foreign-tail-not-passed", "foreign writes since the checkpoint not passed over", ""),
    Bug("23-replay-not-compared", "records that the log holds not compared with the source's", ""),
    Bug("24-retention-passed-silently", "what retention took becomes a gap like any other", ""),
)
"""Beyond the twenty: bugs that have no check of their own in the list."""


def known_seeds() -> dict[str, int]:
    """By patch, the seed that found it once: the short form tries it before it searches."""
    found: dict[str, int] = json.loads(SEEDS.read_text(encoding="utf-8"))
    return found


def keep_seeds(seeds: Mapping[str, int]) -> None:
    SEEDS.write_text(json.dumps(dict(sorted((known_seeds() | dict(seeds)).items())), indent=2) + "\n", encoding="utf-8")
