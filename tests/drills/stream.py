"""A running stream: a record every 20 ms at the source, and the moment at which each is in the copy.

Both threads are of this process, so both ends of a record's way are read off one clock.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from gateway.cli.client import AdminClient, AdminError
from tests.drills.stage import COPY, TOPIC
from tests.support.organization import Organization

EVERY_S = 0.02
POLL_S = 0.002
END = -1
"""The number in the last record."""


@dataclass
class Stream:
    """Times are of `time.monotonic`; the index of a record is its number."""

    written_s: list[float] = field(default_factory=list, repr=False)
    arrived: list[tuple[int, float]] = field(default_factory=list, repr=False)
    """Number and moment, in the order of arrival."""
    failure: Exception | None = None
    _stopping: threading.Event = field(default_factory=threading.Event, repr=False)

    def late_s(self, since: int = 0) -> list[float]:
        """How long each record was on its way, of those that arrived after the first `since`."""
        return [at_s - self.written_s[number] for number, at_s in self.arrived[since:]]

    def wait_flowing(self, timeout_s: float) -> None:
        """Until a record arrives that is written from now on. Raises TimeoutError."""
        following, deadline_s = len(self.written_s), time.monotonic() + timeout_s
        while not self.arrived or self.arrived[-1][0] < following:
            if self.failure is not None:
                raise self.failure
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"nothing arrived for {timeout_s:g} s; {len(self.arrived)} records had")
            time.sleep(POLL_S)

    def silence_s(self, begun_s: float, watched_s: float) -> float:
        """How long after `begun_s` records still arrived, watched for so long; 0 where none did."""
        time.sleep(max(0.0, begun_s + watched_s - time.monotonic()))
        return max(0.0, self.arrived[-1][1] - begun_s)

    # --- the two threads

    def _append(self, acme: Organization) -> None:
        try:
            for _ in client(acme).stream("POST", f"/v1/topics/{TOPIC}/records", self._lines()):
                pass
        except AdminError as error:
            self.failure = error

    def _lines(self) -> Iterator[bytes]:
        while not self._stopping.wait(EVERY_S):
            number = len(self.written_s)
            self.written_s.append(time.monotonic())
            yield _line(number)
            yield b""  # it pauses: what is written goes out
        yield _line(END)

    def _follow(self, globex: Organization) -> None:
        try:
            for block in client(globex).stream_blocks("GET", f"/v1/topics/{COPY}/records", follow=True):
                at_s = time.monotonic()
                numbers = [int(json.loads(line)["key"]) for line in block.splitlines()]
                self.arrived += [(number, at_s) for number in numbers if number != END]
                if END in numbers:
                    return
        except AdminError as error:
            self.failure = error


def client(of: Organization) -> AdminClient:
    return AdminClient.of_config(of.home / "mesh.toml")


def _line(number: int) -> bytes:
    return json.dumps({"key": str(number), "value": "on time"}).encode() + b"\n"


@contextmanager
def streaming(acme: Organization, globex: Organization, drain_s: float) -> Iterator[Stream]:
    """Records flow until the block ends; then everything written has arrived, or TimeoutError."""
    stream = Stream()
    threads = [
        threading.Thread(target=stream._append, args=(acme,), daemon=True),
        threading.Thread(target=stream._follow, args=(globex,), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        stream.wait_flowing(drain_s)
        yield stream
    finally:
        stream._stopping.set()
        for thread in threads:
            thread.join(drain_s)
    if any(thread.is_alive() for thread in threads):
        raise TimeoutError(f"{len(stream.written_s)} records were written, {len(stream.arrived)} have arrived")
