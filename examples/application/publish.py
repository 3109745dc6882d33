"""Publish orders from standard input, one JSON object a line; each is a record with the customer as its key.

The order's number is its idempotency key: where this program, or the machine, ends halfway, run it again with the same
input, and the orders that were published already are not published twice.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence

from mesh.sdk import Published
from mesh.sdk.sync import Client


def publish(client: Client, topic: str, lines: Iterable[str]) -> list[Published]:
    """One after the other: each is durable when the next is read."""
    places = []
    for line in lines:
        order = json.loads(line)
        place = client.publish(topic, line.strip(), key=order["customer"], idempotency_key=f"order-{order['id']}")
        places.append(place)
    return places


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topic")
    topic = parser.parse_args(arguments).topic
    with Client() as client:
        places = publish(client, topic, sys.stdin)
    repeated = sum(place.repeated for place in places)
    print(f"{len(places)} orders are in {topic}, {repeated} of them from an earlier run")


if __name__ == "__main__":
    main()
