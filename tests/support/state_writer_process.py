"""A gateway's writing of lane state and nothing else, to be killed: claims a partition, puts pairs, claims again.

python -m tests.support.state_writer_process <broker> <topic> <name>
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

from gateway.kafka import KafkaConfig
from gateway.kafka.client import Client
from gateway.kafka.lane_state import KafkaLanes, open_lanes
from mesh.cluster_errors import StateMoved

PLACE = "lane/flights/departures/0"
ROUNDS = 20


async def write_on(lanes: KafkaLanes) -> None:
    """Both keys of a pair say the same number, which rises by one with each put; until killed."""
    print("ready", flush=True)
    while True:
        await lanes.claim([0])
        number = int((await lanes.load(f"{PLACE}/")).get(f"{PLACE}/a", b"0"))
        with suppress(StateMoved):
            for _ in range(ROUNDS):
                number += 1
                await lanes.put({f"{PLACE}/a": b"%d" % number, f"{PLACE}/b": b"%d" % number})


async def main(address: str, topic: str, name: str) -> None:
    async with asyncio.TaskGroup() as tasks:
        client = Client(KafkaConfig(bootstrap=(address,)), None, tasks)
        await client.start()
        await write_on(await open_lanes(client, topic, 1, name))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
