"""Two gateways on the embedded log lose their processes again and again while one mirrors the other."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.kills import new_seed, report, strike_all
from tests.support.organization import Organization, stop_all, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

TOPICS = {"plain": "none", "quick": "lz4", "dense": "zstd"}
PARTITIONS = 2
RECORDS = 60_000
SIZES = (100, 1_000, 10_000)
SMALL_WINDOW = 16 << 10
"""Slows the mirror down, so that kills find it at work."""
PLAN = 3 * [("acme",)] + 3 * [("globex",)] + [("acme", "globex")]


def test_nothing_is_lost_or_twice_when_both_gateways_are_killed(tmp_path: Path) -> None:
    seed = new_seed()
    print(f"SCENARIO_SEED={seed}")

    # 1. acme has three topics, written with three codecs, in three sizes of records
    acme = Organization.init(tmp_path / "acme", "acme.example")
    globex = Organization.init(tmp_path / "globex", "globex.example")
    globex.settings = (f"limits.lane_credit_bytes={SMALL_WINDOW}",)
    with stop_all(acme, globex):
        acme.start()
        globex.start()
        for topic, codec in TOPICS.items():
            acme.mesh("topic", "create", topic, "--partitions", str(PARTITIONS))
            acme.append(topic, produced(seed, topic), "--codec", codec)

        # 2. it shares them with globex, which subscribes
        acme.pair(globex)
        acme.share("everything", globex, *TOPICS)
        mappings = [word for topic in TOPICS for word in ("--topic", f"{topic}={topic}")]
        globex.mesh("subscribe", "acme.example/everything", *mappings)

        # 3. both gateways are killed at random moments, alone and together
        total = RECORDS * len(TOPICS)
        strikes = strike_all(seed, {"acme": acme, "globex": globex}, PLAN, lambda: arrived(globex), total)
        print(report(seed, strikes, total))

        # 4. everything arrives all the same
        wait_for("every record to arrive", lambda: arrived(globex) == total, 60)

        # 5. every record is there once, in order, at the offset it has at acme
        for topic in TOPICS:
            expected = list(produced(seed, topic))
            for partition in range(PARTITIONS):
                mine = [record for record in expected if record["partition"] == partition]
                found = read(globex, topic, partition)
                assert len(found) == len(mine)
                for at, (there, sent) in enumerate(zip(found, mine, strict=True)):
                    assert there == dict(sent, offset=at)

        # 6. the gateway's own comparison says so too
        closing = globex.mesh("verify", "everything").out.splitlines()[-1]
        assert closing == (
            f"verified: {total} records, 0 lost, 0 duplicated, 0 reordered, 0 altered, 0 wrong translations"
        )


def produced(seed: int, topic: str) -> Iterator[dict[str, Any]]:
    chance = random.Random(f"{seed}/{topic}")
    text = chance.randbytes(20_000).hex()
    for at in range(RECORDS):
        size = SIZES[0 if at % 10 < 7 else 1 if at % 50 else 2]
        start = chance.randrange(len(text) - size)
        record = {
            "key": None if at % 3 == 0 else f"key-{at % 997}",
            "value": None if at % 17 == 0 else f"{at}:{text[start : start + size]}",
            "timestamp": 1_700_000_000_000 + at - at % 7 * 1000,
            "partition": chance.randrange(PARTITIONS),
        }
        yield record | ({"headers": [["trace", str(at)], ["trace", None], ["kind", ""]]} if at % 5 == 0 else {})


def arrived(globex: Organization) -> int:
    lanes = globex.lanes()
    stopped = [lane for lane in lanes if lane["state"] == "stopped"]
    assert not stopped, stopped
    return sum(int(lane["records"]) for lane in lanes)


def read(organization: Organization, topic: str, partition: int) -> list[dict[str, Any]]:
    said = organization.mesh("topic", "read", topic, "--partition", str(partition))
    return [json.loads(line) for line in said.out.splitlines()]
