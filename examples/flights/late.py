"""Flights that left late, as they come: lines of `mesh topic read --follow` in, one sentence each out."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator


def late(lines: Iterable[str], minutes: int) -> Iterator[str]:
    for line in lines:
        record = json.loads(line)
        flight = json.loads(record["value"])
        if (flight["dep_delay"] or 0) >= minutes:
            name = f"{flight['carrier']}{flight['flight']}"
            yield f"{name} from {flight['origin']} to {flight['dest']} left {flight['dep_delay']} minutes late"


def main() -> None:
    parser = argparse.ArgumentParser(description="Print flights that left late.")
    parser.add_argument("--minutes", type=int, default=60, help="how late is late")
    for sentence in late(sys.stdin, parser.parse_args().minutes):
        print(sentence, flush=True)


if __name__ == "__main__":
    main()
