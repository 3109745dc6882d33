"""What the data path counts: two small objects, so that it knows neither names nor labels of metrics.

Each call costs a counter increment or two, once per batch or frame, never per record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import Counter


class LaneMeter(Protocol):
    """Counts what one direction of a share moves with one peer."""

    def moved(self, records: int, size_bytes: int) -> None: ...

    def append_failed(self, code: str) -> None: ...


class LinkMeter(Protocol):
    """Counts the frames of the links with one peer."""

    def sent(self, size_bytes: int) -> None: ...

    def received(self, size_bytes: int) -> None: ...

    def packed(self, size_bytes: int, packed_bytes: int) -> None:
        """Batches were compressed for the way."""


@dataclass(frozen=True, slots=True)
class BoundLane:
    """A `LaneMeter` over labelled Prometheus counters."""

    records: Counter
    bytes: Counter
    appends: Counter | None
    append_failed: Callable[[str], None]

    def moved(self, records: int, size_bytes: int) -> None:
        self.records.inc(records)
        self.bytes.inc(size_bytes)
        if self.appends is not None:
            self.appends.inc()


@dataclass(frozen=True, slots=True)
class BoundLink:
    """A `LinkMeter` over labelled Prometheus counters."""

    frames_sent: Counter
    bytes_sent: Counter
    frames_received: Counter
    bytes_received: Counter
    bytes_before: Counter
    bytes_packed: Counter

    def sent(self, size_bytes: int) -> None:
        self.frames_sent.inc()
        self.bytes_sent.inc(size_bytes)

    def received(self, size_bytes: int) -> None:
        self.frames_received.inc()
        self.bytes_received.inc(size_bytes)

    def packed(self, size_bytes: int, packed_bytes: int) -> None:
        self.bytes_before.inc(size_bytes)
        self.bytes_packed.inc(packed_bytes)


@dataclass(slots=True)
class Tally:
    """Both meters, kept in memory: for tests and for whoever needs no metrics."""

    records: int = 0
    size_bytes: int = 0
    failures: int = 0
    frames_sent: int = 0
    frames_received: int = 0
    packed_bytes: int = 0

    def moved(self, records: int, size_bytes: int) -> None:
        self.records += records
        self.size_bytes += size_bytes

    def append_failed(self, code: str) -> None:
        self.failures += 1

    def sent(self, size_bytes: int) -> None:
        self.frames_sent += 1

    def received(self, size_bytes: int) -> None:
        self.frames_received += 1

    def packed(self, size_bytes: int, packed_bytes: int) -> None:
        self.packed_bytes += packed_bytes


class ApplicationMeter(Protocol):
    """Told what applications do."""

    def published(self, records: int) -> None: ...

    def read(self, records: int) -> None: ...

    def failed(self, code: str) -> None: ...


class Untold:
    """An ApplicationMeter that nobody reads."""

    def published(self, records: int) -> None:
        pass

    def read(self, records: int) -> None:
        pass

    def failed(self, code: str) -> None:
        pass


@dataclass(frozen=True, slots=True)
class BoundApplications:
    """An ApplicationMeter over counters."""

    records_published: Counter
    records_read: Counter
    count_failure: Callable[[str], None]

    def published(self, records: int) -> None:
        self.records_published.inc(records)

    def read(self, records: int) -> None:
        self.records_read.inc(records)

    def failed(self, code: str) -> None:
        self.count_failure(code)
