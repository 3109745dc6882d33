"""The airline's application: it keeps a board of departures and delays by carrier, each flight counted exactly once.

    MESH_API_STATE=wings/state mesh await -- python board.py --until 1000

It subscribes to what the airport shares, once, and reads the copy that the gateway beside it keeps. What it has counted
and where it stands are one transaction of its own SQLite file: killed at any moment, it goes on exactly there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

from mesh.sdk import Batch, Client

PEER, SHARE, TOPIC = "ports.example", "departures", "departures"
COPY = "ports.departures"
SCHEMA = """
    CREATE TABLE IF NOT EXISTS carriers (carrier TEXT PRIMARY KEY, flights INTEGER, delay INTEGER);
    CREATE TABLE IF NOT EXISTS positions (partition INTEGER PRIMARY KEY, next_offset INTEGER);
"""


class Board:
    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(path)
        self._file.executescript(SCHEMA)

    def close(self) -> None:
        self._file.close()

    @property
    def positions(self) -> dict[int, int]:
        return dict(self._file.execute("SELECT partition, next_offset FROM positions"))

    @property
    def carriers(self) -> dict[str, tuple[int, int]]:
        """Flights, and minutes of delay, by carrier."""
        return {name: (flights, delay) for name, flights, delay in self._file.execute("SELECT * FROM carriers")}

    @property
    def flights(self) -> int:
        return sum(flights for flights, _ in self.carriers.values())

    def take(self, batch: Batch) -> None:
        """Count the flights of a batch, and remember that they are counted: both or neither."""
        with self._file:
            for record in batch.records:
                flight = json.loads(record.value or b"{}")
                self._file.execute(
                    "INSERT INTO carriers VALUES (?, 1, ?) ON CONFLICT (carrier) DO UPDATE SET flights = flights + 1, "
                    "delay = delay + excluded.delay",
                    (flight["carrier"], flight["dep_delay"] or 0),
                )
            self._file.execute("INSERT OR REPLACE INTO positions VALUES (?, ?)", (batch.partition, batch.next_offset))


async def follow(board: Board, until: int) -> None:
    async with Client(patience_s=300) as client:
        if SHARE not in {each.name for each in await client.subscriptions()}:
            await client.subscribe(PEER, SHARE, {TOPIC: COPY})
        async with client.read(COPY, positions=board.positions) as reader:
            while board.flights < until and (batch := await reader.next_batch()) is not None:
                board.take(batch)


def main() -> None:
    parser = argparse.ArgumentParser(description="Keep a board of departures by carrier.")
    parser.add_argument("--until", type=int, required=True, help="end when so many flights are counted")
    parser.add_argument("--file", type=Path, default=Path("board.sqlite"), help="what is counted")
    given = parser.parse_args()
    with closing(Board(given.file)) as board:
        asyncio.run(follow(board, given.until))
        for carrier, (flights, delay) in sorted(board.carriers.items(), key=lambda each: -each[1][0])[:5]:
            print(f"{carrier}  {flights:7,} flights  {delay / flights:6.1f} min late on average")
        print(f"counted {board.flights:,} departures")


if __name__ == "__main__":
    main()
