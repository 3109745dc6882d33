"""The airport's application: it announces departures, and knows nothing of partners, brokers or certificates.

    MESH_API_STATE=ports/state mesh await -- python announce.py --from 0 --to 1000

Each flight is handed to the gateway beside this program. `flush` returns when all of them are durable there; whether
any partner can be reached at that moment does not matter. Where the gateway dies meanwhile, the SDK waits for it and
repeats what was not answered under the same idempotency key, so that nothing is lost and nothing is there twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json

from gateway.demo.flights import COUNT, lines
from mesh.sdk import Client

TOPIC = "departures"


async def announce(start: int, end: int) -> None:
    async with Client(patience_s=300) as client:
        for line in lines(start, end):
            flight = json.loads(line)
            await client.send(TOPIC, json.dumps(flight["value"]), key=flight["key"], timestamp_ms=flight["timestamp"])
        await client.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description="Announce departures.")
    parser.add_argument("--from", dest="start", type=int, default=0, help="the first flight")
    parser.add_argument("--to", dest="end", type=int, default=COUNT, help="the first flight left out")
    given = parser.parse_args()
    asyncio.run(announce(given.start, given.end))
    print(f"announced {given.end - given.start:,} departures")


if __name__ == "__main__":
    main()
