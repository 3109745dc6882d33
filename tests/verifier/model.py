"""The parsed inputs of a judgement: packed columns, some forty bytes a record, so that whole logs fit in memory.

Everything here is plain data. What is None was not in the run directory: the checks that need it say `not judged`.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.verifier.batches import Damaged
from tests.verifier.contents import DIGEST_BYTES, ID_BYTES

NONE = -1
"""In a column: there is none."""


class Place(NamedTuple):
    """A partition of a topic of a cluster."""

    cluster: str
    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.cluster}/{self.topic}[{self.partition}]"


@dataclass(frozen=True, slots=True)
class Lane:
    """One incarnation of a lane, as `run.json` describes it."""

    name: str
    source: Place
    destination: Place
    source_start: int = 0
    destination_start: int = 0
    first_ordinal: int = 0
    source_topic_id: str = ""
    timestamps: str = "kept"
    allowed_gaps: frozenset[str] = frozenset()
    compacted: bool = False
    settled: bool = True
    grant: str = ""


@dataclass(frozen=True, slots=True)
class Described:
    """`run.json`."""

    lanes: tuple[Lane, ...]
    about: dict[str, object]
    granted_topics: frozenset[tuple[str, str]] | None = None
    canaries: tuple[tuple[str, frozenset[str]], ...] = ()
    rewrites: tuple[tuple[Place, int], ...] = ()
    heal_bound_s: float = 30.0
    lag_bound_records: int | None = None
    revocation_bound_s: float = 2.0


OK, FAILED, UNKNOWN = 0, 1, 2
OUTCOMES = {"ok": OK, "fail": FAILED, "info": UNKNOWN}


@dataclass(slots=True)
class Journal:
    """Every write that was tried, in columns; a write is known by its index."""

    ids: bytearray = field(default_factory=bytearray)
    digests: bytearray = field(default_factory=bytearray)
    timestamps: array[int] = field(default_factory=lambda: array("q"))
    offsets: array[int] = field(default_factory=lambda: array("q"))
    outcomes: bytearray = field(default_factory=bytearray)
    places: array[int] = field(default_factory=lambda: array("i"))
    writers: array[int] = field(default_factory=lambda: array("i"))
    numbers: array[int] = field(default_factory=lambda: array("q"))
    transactions: array[int] = field(default_factory=lambda: array("i"))
    place_names: list[Place] = field(default_factory=list)
    writer_names: list[str] = field(default_factory=list)
    transaction_names: list[tuple[str, str]] = field(default_factory=list)
    transaction_outcomes: dict[tuple[str, str], str] = field(default_factory=dict)
    _index: dict[Place, dict[bytes, int]] = field(default_factory=dict)
    _by_digest: dict[bytes, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.outcomes)

    def place(self, write: int) -> Place:
        return self.place_names[self.places[write]]

    def digest(self, write: int) -> bytes:
        return bytes(self.digests[write * DIGEST_BYTES : (write + 1) * DIGEST_BYTES])

    def is_aborted(self, write: int) -> bool:
        number = self.transactions[write]
        return number != NONE and self.transaction_outcomes.get(self.transaction_names[number]) == "aborted"

    def index_of(self, place: Place) -> dict[bytes, int]:
        """The writes to one partition by their ids. One partition's index is kept at a time: it is the dearest part."""
        if place not in self._index:
            wanted = self.place_names.index(place) if place in self.place_names else NONE
            pairs = (w for w, number in enumerate(self.places) if number == wanted)
            self._index = {place: {bytes(self.ids[w * ID_BYTES : (w + 1) * ID_BYTES]): w for w in pairs}}
        return self._index[place]

    def forget_index(self) -> None:
        self._index = {}

    def find(self, digest: bytes) -> int:
        """A write of such a content to any partition. Only damage asks for it: the index is made then."""
        if not self._by_digest:
            self._by_digest = {self.digest(write): write for write in range(len(self))}
        return self._by_digest.get(digest, NONE)

    def told(self, write: int) -> str:
        if write == NONE:
            return "by nobody known"
        outcome = ("ok", "failed", "unknown")[self.outcomes[write]]
        aborted = ", aborted" if self.is_aborted(write) else ""
        identity = self.ids[write * ID_BYTES : (write + 1) * ID_BYTES].hex()
        writer = self.writer_names[self.writers[write]]
        return f"by {writer}, its write {self.numbers[write]} ({identity}, {outcome}{aborted}) to {self.place(write)}"


VISIBLE, ABORTED, CONTROL_RECORD, OPEN = 0, 1, 2, 3
KINDS = ("visible", "aborted", "control record", "of an open transaction")


@dataclass(slots=True)
class Log:
    """One partition as it was read: its records and its batches, in columns, in the order of offsets."""

    place: Place
    reader: str
    start: int
    """The first offset kept when it was read."""
    first: int
    """The first offset that was read."""
    end: int
    at_s: float = 0.0
    topic_id: str = ""
    offsets: array[int] = field(default_factory=lambda: array("q"))
    digests: bytearray = field(default_factory=bytearray)
    timestamps: array[int] = field(default_factory=lambda: array("q"))
    writes: array[int] = field(default_factory=lambda: array("q"))
    """Indices into the journal."""
    kinds: bytearray = field(default_factory=bytearray)
    base_offsets: array[int] = field(default_factory=lambda: array("q"))
    last_offsets: array[int] = field(default_factory=lambda: array("q"))
    attributes: array[int] = field(default_factory=lambda: array("h"))
    producer_ids: array[int] = field(default_factory=lambda: array("q"))
    producer_epochs: array[int] = field(default_factory=lambda: array("h"))
    sequences: array[int] = field(default_factory=lambda: array("i"))
    first_records: array[int] = field(default_factory=lambda: array("q"))
    """Per batch, the index of its first record."""
    positions: array[int] = field(default_factory=lambda: array("q"))
    damaged: list[Damaged] = field(default_factory=list)
    last_stable: int = 0
    is_raw: bool = True

    def __len__(self) -> int:
        return len(self.offsets)

    def digest(self, record: int) -> bytes:
        return bytes(self.digests[record * DIGEST_BYTES : (record + 1) * DIGEST_BYTES])


RUN = ""
"""In a table: not a gap."""


class Entry(NamedTuple):
    """Of a table: source offsets [first, end), and where the first one's copy is; `reason` tells why there is none."""

    first: int
    end: int
    destination: int
    reason: str = RUN


@dataclass(slots=True)
class Table:
    """The translation that the gateway claims for one lane: source offsets [start, position)."""

    lane: str
    start: int
    position: int
    destination_end: int
    entries: list[Entry]
    foreign: list[tuple[int, int]] = field(default_factory=list)
    answers: list[dict[str, object]] = field(default_factory=list)


class Ack(NamedTuple):
    lane: str
    position: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Durable:
    """A copy of what was durable at a moment: the destination's log and the stored table."""

    lane: str
    at_s: float
    log: Log
    table: Table


class Moved(NamedTuple):
    """A group's position on one partition before and after it was moved. `reverse`: from destination to source."""

    group: str
    lane: str
    before: int
    after: int
    reverse: bool


class TrustEvent(NamedTuple):
    """`what`: opened, revoked (both of a grant, when the call had returned), admitted, refused (of a caller)."""

    what: str
    at_s: float
    grant: str = ""
    claimed: str = ""
    issuer: str = ""


class Given(NamedTuple):
    """A producer id and epoch that a gateway was given for a lane's destination."""

    lane: str
    producer_id: int
    epoch: int
    by: str


class Probe(NamedTuple):
    """Where a lane stood: asked at `asked_s`, answered at `at_s`."""

    lane: str
    asked_s: float
    at_s: float
    source_end: int
    position: int
    destination_end: int


class Event(NamedTuple):
    """A fault's beginning (`fault`) or its end (`heal`); `lanes` empty: all."""

    what: str
    at_s: float
    lanes: tuple[str, ...] = ()


@dataclass(slots=True)
class Run:
    described: Described
    journal: Journal | None = None
    logs: dict[Place, list[Log]] = field(default_factory=dict)
    """Raw readings, the earliest first."""
    seen: dict[Place, list[Log]] = field(default_factory=dict)
    """What other clients saw."""
    tables: dict[str, Table] = field(default_factory=dict)
    acks: list[Ack] | None = None
    durable: list[Durable] | None = None
    moves: list[Moved] | None = None
    trust: list[TrustEvent] | None = None
    given: list[Given] | None = None
    probes: list[Probe] | None = None
    events: list[Event] | None = None
    texts: dict[str, dict[str, str]] | None = None
    """By organization and file name: what it logged, measured and answered."""
