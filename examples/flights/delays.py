"""The mean departure delay of each carrier, from the lines of `mesh topic read` on standard input."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable


def delays(lines: Iterable[str]) -> dict[str, tuple[int, float]]:
    """Carrier to the number of its flights and their mean delay in minutes; cancelled flights have none."""
    minutes: dict[str, list[int]] = defaultdict(list)
    for line in lines:
        flight = json.loads(json.loads(line)["value"])
        if flight["dep_delay"] is not None:
            minutes[flight["carrier"]].append(flight["dep_delay"])
    return {carrier: (len(found), sum(found) / len(found)) for carrier, found in minutes.items()}


def main() -> None:
    found = delays(sys.stdin)
    print("carrier  flights  mean delay (min)")
    for carrier, (count, mean) in sorted(found.items(), key=lambda item: -item[1][1]):
        print(f"{carrier:7}  {count:7}  {mean:16.1f}")


if __name__ == "__main__":
    main()
