"""Two gateways mirror between two Kafka brokers while all four processes are killed again and again.

`make test-million` does it with a million records, `make test` with fewer: SCENARIO_RECORDS says how many.

One of the topics is history: its records are older than a broker remembers a producer, so what a broker knew of the
lane is gone after its restart, and only the log can say where the lane goes on. Of another topic the source's broker
makes the timestamps, and the copy must show those.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.brokers import Broker, two_clusters
from tests.support.kills import Victim, new_seed, report, strike_all
from tests.support.organization import Organization, stop_all, wait_for
from tests.support.stock import Digests, Key, Load, create_topics, produce, read_with_aiokafka, read_with_confluent

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(420)]

NOW_MS = int(time.time() * 1000)
YEARS_AGO_MS = NOW_MS - 5 * 365 * 86_400_000
SIZES = ((100, 70), (1_000, 28), (10_000, 2))
RECORDS = int(os.environ.get("SCENARIO_RECORDS", "240000"))
LOADS = (
    Load("plain", 2, "none", RECORDS * 30 // 100, SIZES, NOW_MS - 3_600_000),
    Load("quick", 3, "lz4", RECORDS * 38 // 100, SIZES, NOW_MS - 3_600_000),
    Load("history", 2, "zstd", RECORDS * 30 // 100, SIZES, YEARS_AGO_MS),
    Load("stamped", 1, "lz4", RECORDS * 2 // 100, SIZES, NOW_MS, append_time=True),
)
TOTAL = sum(load.records for load in LOADS)
PLAN = [
    *(2 * [("acme",), ("globex",), ("acme's broker",), ("globex's broker",)]),
    ("acme", "globex"),
    ("globex's broker", "globex"),  # a whole site; back in this order, as a gateway needs its broker to start
]


@pytest.fixture
def brokers() -> Iterator[tuple[Broker, Broker]]:
    with two_clusters() as made:
        yield made


class Restartable:
    """A broker that comes back where it was."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def kill(self) -> None:
        self._broker.kill()

    def revive(self) -> None:
        self._broker.restart()


def test_all_records_survive_kills_of_gateways_and_brokers(brokers: tuple[Broker, Broker], tmp_path: Path) -> None:
    seed = new_seed()
    print(f"SCENARIO_SEED={seed}")
    theirs, ours = brokers

    # 1. a stock client writes the records to acme's cluster: three sizes, three codecs
    create_topics(theirs.address, LOADS)
    written: Digests = {}
    for load in LOADS:
        produced = produce(theirs.address, load, seed)
        written |= read_with_confluent(theirs.address, sizes_of(produced)) if load.append_time else produced
    counts = sizes_of(written)
    assert sum(counts.values()) == TOTAL

    # 2. acme shares the topics with globex, which subscribes
    acme = Organization.init(tmp_path / "acme", "acme.example", "--kafka", theirs.address)
    globex = Organization.init(tmp_path / "globex", "globex.example", "--kafka", ours.address)
    globex.settings = ("limits.lane_credit_bytes=262144",)  # slower, so that the kills find it at work
    with stop_all(acme, globex):
        acme.start()
        globex.start()
        acme.pair(globex)
        acme.share("everything", globex, *(load.topic for load in LOADS))
        mappings = [word for load in LOADS for word in ("--topic", f"{load.topic}={load.topic}")]
        globex.mesh("subscribe", "acme.example/everything", *mappings)

        # 3. both gateways and both brokers are killed at random moments
        victims: dict[str, Victim] = {
            "acme": acme,
            "globex": globex,
            "acme's broker": Restartable(theirs),
            "globex's broker": Restartable(ours),
        }
        strikes = strike_all(seed, victims, PLAN, lambda: arrived(globex), TOTAL)
        print(report(seed, strikes, TOTAL))

        # 4. everything arrives all the same; no lane needed a person
        wait_for("every record to arrive", lambda: arrived(globex) == TOTAL, 90)

        # 5. two stock clients find every record as it was written: partition, order, offset, and no other
        assert read_with_confluent(ours.address, counts) == written
        assert read_with_aiokafka(ours.address, counts) == written

        # 6. the gateway's own comparison says so too
        closing = globex.mesh("verify", "everything").out.splitlines()[-1]
        assert closing == (
            f"verified: {TOTAL} records, 0 lost, 0 duplicated, 0 reordered, 0 altered, 0 wrong translations"
        )


def sizes_of(digests: Digests) -> dict[Key, int]:
    return {key: len(each) for key, each in digests.items()}


def arrived(globex: Organization) -> int:
    lanes = globex.lanes()
    stopped = [lane for lane in lanes if lane["state"] == "stopped"]
    assert not stopped, stopped
    return sum(int(lane["records"]) for lane in lanes)
