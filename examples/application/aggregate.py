"""Subscribe to the flights of a partner and keep the mean delay of each carrier, as records come.

At least once: the cursor is committed after what was read is counted. A run that is killed in between counts a few
flights again; `exactly_once.py` does not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence

from mesh.sdk import Client
from mesh.sdk.errors import GatewayError


async def subscribe(client: Client, peer: str, share: str, topic: str) -> str:
    """The local name of the topic, which is `<peer>.<topic>`; it is mirrored from now on, if it was not yet."""
    local = f"{peer}.{topic}"
    for known in await client.subscriptions():
        if (known.peer, known.share) == (peer, share) and known.topics.get(topic):
            return known.topics[topic]
    await client.subscribe(peer, share, {topic: local}, start="earliest", name=f"{share}-{topic}")
    return local


async def aggregate(client: Client, topic: str, *, until_end: bool) -> dict[str, tuple[int, float]]:
    """Carrier to the number of its flights and their mean delay in minutes; cancelled flights have none."""
    flights: dict[str, tuple[int, float]] = {}
    async with client.read(topic, cursor="delays", until_end=until_end) as reader:
        async for batch in reader.batches():
            for record in batch.records:
                flight = json.loads(record.value or b"{}")
                if flight.get("dep_delay") is not None:
                    count, total = flights.get(flight["carrier"], (0, 0.0))
                    flights[flight["carrier"]] = (count + 1, total + flight["dep_delay"])
            await reader.commit()
    return {carrier: (count, total / count) for carrier, (count, total) in flights.items()}


async def run(given: argparse.Namespace) -> None:
    async with Client() as client:
        try:
            local = await subscribe(client, given.peer, given.share, given.topic)
        except GatewayError as error:
            raise SystemExit(f"{error}\n{error.remedy}") from error
        found = await aggregate(client, local, until_end=given.until_end)
    print("carrier  flights  mean delay (min)")
    for carrier, (count, mean) in sorted(found.items(), key=lambda item: -item[1][1]):
        print(f"{carrier:7}  {count:7}  {mean:16.1f}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--share", required=True)
    parser.add_argument("--topic", required=True, help="the partner's name of it")
    parser.add_argument("--until-end", action="store_true", help="end where the topic ends now")
    asyncio.run(run(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
