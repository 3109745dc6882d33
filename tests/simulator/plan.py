"""What a schedule is: settings, what the source is given, and which faults come when. All of it follows from the seed.

A plan is data, so that a failing one can be made smaller and tried again.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

FAULTS: dict[str, int] = {
    # links
    "cut": 6, "half-cut": 3, "double-frame": 1, "swap-frames": 1, "drop-frame": 1, "slow-link": 2,
    # processes
    "kill-importer": 8, "kill-exporter": 3, "pause-importer": 4, "sleep-importer": 4, "pause-exporter": 2, "move": 2,
    # the same, in the moment after the next append has landed
    "kill-at-landing": 4, "sleep-at-landing": 2, "move-at-landing": 2,
    # the source
    "trim": 3, "truncate": 3, "recreate": 2, "elect": 2,
    # the destination
    "restart-broker": 3, "foreign": 2, "truncate-copy": 1, "recreate-copy": 1, "fill-disk": 2, "promote": 1,
    # two gateways that both believe to own the lanes, and a broker that forgets them when the first has written
    "rivals": 2,
    # calls that fail; what follows ":" is how
    "append:lost": 2, "append:unanswered": 5, "append:late": 5, "append:full": 2, "append:slow": 3,
    "put:before": 3, "put:after": 3, "put:slow": 2, "load:before": 1, "witness:before": 1, "witness:slow": 1,
    "producer:before": 1, "describe:before": 1, "range:before": 1, "fetch:before": 2, "fetch:slow": 1,
}  # fmt: skip
"""Each kind of fault, and how often it comes among others."""
TAKES_TWO = {"sleep-importer", "move", "sleep-at-landing", "move-at-landing", "rivals"}
"""What takes a second gateway."""
LOSSES = {"trim", "truncate", "recreate"}
REPLACED = {"truncate", "recreate"}
"""After which an offset that a subscription names may be none of its source."""

ACTS: dict[str, float] = {
    "write": 8, "write-compacted": 2, "write-stamped": 1, "skip": 1, "empty": 1, "elect": 1,
    "begin": 2, "go-on": 2, "commit": 2, "abort": 2, "stall": 0.25,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Act:
    """Something that the source's producers do, `pause_s` after the one before."""

    kind: str
    count: int
    pause_s: float
    lane: int = 0
    """Which of the partitions, counted round."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` befalls before step `step`; one of a call waits for the next call of that kind."""

    step: int
    kind: str
    count: int


@dataclass(frozen=True, slots=True)
class Plan:
    seed: int
    acts: tuple[Act, ...]
    faults: tuple[Fault, ...]
    chaos: float = 1.0
    lanes: int = 1
    """How many partitions are mirrored over the one link."""
    early: int = 0
    """How many of the acts come before the subscription is made."""
    starts: int = 0
    """Where of those the subscription begins, in eighths of the way from the beginning to the end."""
    gateways: int = 2
    by_topic_id: bool = True
    """Whether the destination takes appends by the topic's id, as brokers do from 4.1 on."""
    joins_state: bool = False
    goes_on: bool = True
    """Whether the lane goes on by itself after a loss, and after a foreign write; otherwise an operator tells it to."""
    fetch_bytes: int = 400
    credit_bytes: int = 2000
    checkpoint_bytes: int = 64 << 20


def draw(seed: int) -> Plan:
    random = Random(seed ^ 0x5EED)
    gateways = random.choice([1, 2, 2])
    lanes = random.choice([1, 1, 1, 1, 1, 1, 2, 2, 2, 3])
    starts = random.choice([0, 0, 0, random.randint(1, 8)])
    joins_state = gateways == 1 and random.random() < 0.4
    acts = _draw_acts(random, lanes)
    faults = _draw_faults(random, gateways, starts)
    return Plan(
        seed,
        acts,
        faults,
        chaos=random.choice([0.0, 0.2, 1.0, 1.0]),
        lanes=lanes,
        early=random.randint(1, len(acts)) if starts else random.choice([0, 0, 0, 3]),
        starts=starts,
        gateways=gateways,
        by_topic_id=random.random() < 0.7,
        joins_state=joins_state,
        goes_on=random.random() < 0.6,
        fetch_bytes=random.choice([1, 200, 400, 2000]),
        credit_bytes=random.choice([1, 500, 2000, 100_000]),
        checkpoint_bytes=random.choice([1, 200, 1000, 64 << 20]),
    )


def _draw_acts(random: Random, lanes: int) -> tuple[Act, ...]:
    kinds = random.choices(list(ACTS), list(ACTS.values()), k=random.randint(3, 9) + 2 * (lanes - 1))
    return tuple(
        Act(kind, random.randint(1, 4), random.choice([0, 0, 0.01, 0.3]), random.randrange(lanes)) for kind in kinds
    )


def _draw_faults(random: Random, gateways: int, starts: int) -> tuple[Fault, ...]:
    possible = {kind: weight for kind, weight in FAULTS.items() if gateways > 1 or kind not in TAKES_TWO}
    if random.random() < 0.6:  # without losses every record must come over
        possible = {kind: weight for kind, weight in possible.items() if kind not in LOSSES}
    if starts:
        possible = {kind: weight for kind, weight in possible.items() if kind not in REPLACED}
    count = random.choice([1, 2, 3, 3, 4, 5, 7])
    kinds = random.choices(list(possible), list(possible.values()), k=count)
    latest = random.choice([60, 150, 300])
    return tuple(sorted((Fault(random.randint(10, latest), kind, random.randint(1, 6)) for kind in kinds), key=_step))


def _step(fault: Fault) -> int:
    return fault.step
