"""A generated run: a seeded world of lanes that mirror as they should, which tests then damage, and write down.

The world is plain lists: what the source's log holds, what the destination's, what the gateway claims, acknowledged and
was told. `World.build` makes them agree; a planted bug changes some of them as a gateway with that bug would have.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

SOURCE, DESTINATION = "acme", "globex"
BASE_TIME_MS = 1_700_000_000_000
PRODUCER, EPOCHS = 4000, (0, 1)
FOREIGN_PRODUCER = 77
GRANT = "flights@globex"
OPENED_S, EARLY_S, FAULT_S, HEAL_S, LAST_S, REVOKED_S, WATCHED_S = 1.0, 20.0, 30.0, 40.0, 80.0, 90.0, 100.0
SECRET = "the-secret-of-acme"


@dataclass(eq=False)
class Rec:
    """A record; `number` is its write's place in the journal."""

    id: bytes
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[bytes, bytes | None]]
    number: int = -1


@dataclass(eq=False)
class Write:
    rec: Rec
    topic: str
    partition: int
    writer: str
    n: int
    outcome: str
    offset: int | None = None
    transaction: str | None = None


@dataclass(eq=False)
class Batch:
    """Of the source: `records` by offset. `outcome` of a marker: whether it commits."""

    base: int
    last: int
    records: dict[int, Rec]
    codec: int = 0
    producer: tuple[int, int, int] = (-1, -1, -1)
    transactional: bool = False
    outcome: bool | None = None
    append_time_ms: int | None = None


@dataclass(eq=False)
class Item:
    """A record of the destination: a copy of source offset `of`, or somebody else's."""

    of: int | None
    rec: Rec
    timestamp_ms: int
    producer: int = PRODUCER
    epoch: int = 0
    is_late_cut: bool = False
    """Whether it begins a batch."""


@dataclass(eq=False)
class LaneWorld:
    name: str
    topic: str
    partition: int
    start: int
    compacted: bool = False
    batches: list[Batch] = field(default_factory=list)
    visible: dict[int, Rec] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    """Of the offsets that no reader sees."""
    later_removed: set[int] = field(default_factory=set)
    """Compacted away after they were copied: the last reading does not have them."""
    end: int = 0
    items: list[Item] = field(default_factory=list)
    entries: list[list[object]] = field(default_factory=list)
    """The table, as its lines."""
    position: int = 0
    destination_end: int = 0
    acks: list[tuple[int, float]] = field(default_factory=list)
    durable: list[tuple[float, int, list[list[object]], int]] = field(default_factory=list)
    """Time, how many items, table lines, position."""
    probes: list[dict[str, object]] = field(default_factory=list)
    moves: list[dict[str, object]] = field(default_factory=list)
    epochs: list[tuple[int, int]] = field(default_factory=lambda: [(PRODUCER, each) for each in EPOCHS])
    sequences: dict[int, int] = field(default_factory=dict)
    """By the place of a batch's first item: another sequence than the right one."""
    allowed_gaps: tuple[str, ...] = ()
    answers: list[dict[str, object]] = field(default_factory=list)
    tail: list[Batch] = field(default_factory=list)
    """Behind the last stable offset, which is `end`."""
    former: list[Batch] = field(default_factory=list)
    """Of another incarnation of the source topic."""
    is_disordered: bool = False
    """Copies lie out of order: no position of a group would be right."""
    log_end: int | None = None
    """Of the destination, where it is told wrongly."""

    def timestamp(self, offset: int) -> int:
        batch = next(each for each in self.batches if each.base <= offset <= each.last)
        return self.visible[offset].timestamp_ms if batch.append_time_ms is None else batch.append_time_ms

    def copied(self) -> list[int]:
        return [offset for offset in sorted(self.visible) if offset >= self.start]

    def link(self) -> None:
        """What a table must say of the items as they are; a visible record without a copy counts as compacted."""
        first: dict[int, int] = {}
        for place, item in enumerate(self.items):
            if item.of is not None:
                first.setdefault(item.of, place)
        self.entries = []
        for offset in range(self.start, self.end):
            last = self.entries[-1] if self.entries else ["", 0, 0, 0]
            if (at := first.get(offset)) is not None:
                if last[0] == "run" and last[2] + last[3] == at:  # type: ignore[operator]
                    last[3] += 1  # type: ignore[operator]
                else:
                    self.entries.append(["run", offset, at, 1])
            else:
                reason = self.reasons.get(offset, "compacted")
                if last[0] == "gap" and last[3] == reason:
                    last[2] = offset + 1
                else:
                    self.entries.append(["gap", offset, offset + 1, reason])
        strangers = [place for place, item in enumerate(self.items) if item.producer == FOREIGN_PRODUCER]
        self.entries += [["foreign", place, place + 1] for place in strangers]
        self.position, self.destination_end = self.end, len(self.items)

    def translate(self, offset: int) -> int:
        """T, from the items alone."""
        first: dict[int, int] = {}
        for place, item in enumerate(self.items):
            if item.of is not None:
                first.setdefault(item.of, place)
        later = [of for of in first if of >= offset and of in self.visible]
        ends = [place + 1 for place, item in enumerate(self.items) if item.of is not None]
        return first[min(later)] if later else ends[-1]


@dataclass(eq=False)
class World:
    seed: int
    lanes: list[LaneWorld] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    transactions: dict[tuple[str, str], str] = field(default_factory=dict)
    trust: list[dict[str, object]] = field(default_factory=list)
    events: list[dict[str, object]] = field(default_factory=list)
    texts: dict[str, dict[str, str]] = field(default_factory=dict)
    early: dict[str, dict[int, tuple[str, object]]] = field(default_factory=dict)
    """Damage of single records in the early readings of a lane's destination, by place: field, other value."""
    seen: dict[str, dict[int, tuple[str, object]]] = field(default_factory=dict)
    bytes_damaged: dict[str, int] = field(default_factory=dict)
    """By lane: a place of the destination whose batch has one bit flipped."""

    @classmethod
    def build(cls, seed: int, steps: int = 24) -> World:
        world = cls(seed)
        chance = random.Random(seed)
        for topic, partition, start, compacted in (
            ("flights", 0, 0, False),
            ("flights", 1, 7, False),
            ("seats", 0, 0, True),
        ):
            world.lanes.append(Filler(world, chance, topic, partition, start, compacted).fill(steps))
        secret = Filler(world, chance, "secret", 0, 0, False).write()
        world.writes[secret.number].outcome, world.writes[secret.number].offset = "ok", 0
        for lane in world.lanes:
            mirror(lane, chance)
        world.trust = [
            {"what": "admitted", "at_s": 0.5, "claimed": "globex.example", "issuer": "globex.example"},
            {"what": "refused", "at_s": 0.6, "claimed": "globex.example", "issuer": "acme.example"},
            {"what": "opened", "at_s": OPENED_S, "grant": GRANT},
            {"what": "revoked", "at_s": REVOKED_S, "grant": GRANT},
        ]
        world.events = [{"what": "fault", "at_s": FAULT_S}, {"what": "heal", "at_s": HEAL_S}]
        world.texts = {
            "globex": {"gateway.log": "lane runs\nlane settled\n"},
            "acme": {"gateway.log": f"made {SECRET}\n"},
        }
        return world

    def write_of(self, rec: Rec) -> Write:
        return self.writes[rec.number]


@dataclass(eq=False)
class Filler:
    """Fills a source partition step by step."""

    world: World
    chance: random.Random
    topic: str
    partition: int
    start: int
    compacted: bool

    def fill(self, steps: int) -> LaneWorld:
        lane = LaneWorld(f"{self.topic}-{self.partition}", self.topic, self.partition, self.start, self.compacted)
        kinds = [self.plain, self.plain, self.append_time, self.committed, self.aborted, self.failed]
        kinds += [self.hole, self.empty, self.holed] if self.compacted else []
        self.plain(lane)
        for _ in range(steps):
            self.chance.choice(kinds)(lane)
        self.plain(lane)
        self.committed(lane)
        return lane

    def write(self, transaction: str | None = None) -> Rec:
        chance = self.chance
        identity = chance.randbytes(16)
        kind = chance.randrange(10)
        headers: list[tuple[bytes, bytes | None]] = [(b"lab-id", identity)] if kind < 7 else []
        if kind % 3 == 0:
            headers += [(b"trace", b"1"), (b"trace", None), (b"a", b""), (b"trace", b"2")]
        value: bytes | None = identity + chance.randbytes(chance.randrange(60)) if kind != 9 else None
        key: bytes | None = b"key-%d" % chance.randrange(5) + identity if kind == 9 else b"key-%d" % chance.randrange(5)
        if kind == 1 and not self.compacted:
            key, value = None, b""
        if kind == 2:
            key, value = b"", None
        number = len(self.world.writes)
        rec = Rec(identity, BASE_TIME_MS + number * 10 - chance.randrange(500), key, value, headers, number)
        write = Write(rec, self.topic, self.partition, f"writer-{number % 3}", number, "ok", transaction=transaction)
        self.world.writes.append(write)
        return rec

    def failed(self, lane: LaneWorld) -> None:
        self.world.write_of(self.write()).outcome = "fail"
        self.world.write_of(self.write()).outcome = "info"

    def plain(self, lane: LaneWorld) -> None:
        self._append(lane, self.chance.randrange(1, 9))

    def append_time(self, lane: LaneWorld) -> None:
        self._append(lane, self.chance.randrange(1, 5), append_time_ms=BASE_TIME_MS + 999_000 + lane.end)

    def holed(self, lane: LaneWorld) -> None:
        """A batch that compaction has been through, before and after it was copied."""
        base = lane.end
        self._append(lane, 8)
        batch = lane.batches[-1]
        for offset in self.chance.sample(range(base, base + 8), 4):
            if offset % 2:
                lane.later_removed.add(offset)
            else:
                del batch.records[offset]
                lane.visible.pop(offset)
                lane.reasons[offset] = "compacted"

    def hole(self, lane: LaneWorld) -> None:
        for _ in range(self.chance.randrange(1, 6)):
            lane.reasons[lane.end] = "compacted"
            lane.end += 1

    def empty(self, lane: LaneWorld) -> None:
        base = lane.end
        self.hole(lane)
        lane.batches.append(Batch(base, lane.end - 1, {}, producer=(9, 0, 5)))

    def committed(self, lane: LaneWorld) -> None:
        self._transaction(lane, commit=True)

    def aborted(self, lane: LaneWorld) -> None:
        self._transaction(lane, commit=False)

    def _transaction(self, lane: LaneWorld, *, commit: bool) -> None:
        """Two batches of it, with somebody else's between them."""
        name, producer = f"tx-{len(self.world.writes)}", (500 + lane.end % 3, 2, 0)
        self.world.transactions["writer-t", name] = "committed" if commit else "aborted"
        for _ in range(2):
            self._append(lane, self.chance.randrange(1, 4), producer=producer, transaction=name, visible=commit)
            self._append(lane, 1)
        lane.batches.append(Batch(lane.end, lane.end, {}, producer=producer, outcome=commit))
        lane.reasons[lane.end] = "marker"
        lane.end += 1

    def _append(
        self,
        lane: LaneWorld,
        count: int,
        *,
        producer: tuple[int, int, int] = (-1, -1, -1),
        transaction: str | None = None,
        append_time_ms: int | None = None,
        visible: bool = True,
    ) -> None:
        records = {}
        for offset in range(lane.end, lane.end + count):
            rec = records[offset] = self.write(transaction)
            write = self.world.write_of(rec)
            write.offset = offset
            if transaction is not None:
                write.writer = "writer-t"
            if visible:
                lane.visible[offset] = rec
            else:
                lane.reasons[offset] = "aborted"
        base, lane.end = lane.end, lane.end + count
        codec = self.chance.randrange(5)
        batch = Batch(base, lane.end - 1, records, codec, producer, transaction is not None, None, append_time_ms)
        lane.batches.append(batch)


def mirror(lane: LaneWorld, chance: random.Random) -> None:
    """Copy everything, with a foreign write on the way that was noticed, and note what a gateway would."""
    offsets = lane.copied()
    takeover = len(offsets) // 2
    for n, offset in enumerate(offsets):
        if lane.topic == "flights" and lane.partition == 0 and n == takeover + 3:
            stranger = Rec(b"", BASE_TIME_MS, b"not", b"ours", [])
            lane.items.append(Item(None, stranger, BASE_TIME_MS, FOREIGN_PRODUCER, 0, is_late_cut=True))
        epoch = EPOCHS[0] if n < takeover else EPOCHS[1]
        lane.items.append(Item(offset, lane.visible[offset], lane.timestamp(offset), epoch=epoch))
    lane.link()
    observe(lane, chance)


def observe(lane: LaneWorld, chance: random.Random) -> None:
    """What is noted of the lane as it is: acknowledgements, copies of what was durable, probes, moved groups."""
    lane.acks, lane.durable, lane.moves = [], [], []
    offsets = range(lane.start, lane.end + 1)
    pick = chance.sample if len(offsets) > 20 else chance.choices
    places = sorted(pick(offsets, k=12))
    for step, position in enumerate([*places, lane.end]):
        at_s, position = 2.0 + step, min(position, lane.position)
        lane.acks.append((position, at_s))
        if step % 3 == 1:
            entries = cut(lane.entries, position)
            below = [place for place, item in enumerate(lane.items) if item.of is not None and item.of < position]
            lane.durable.append((at_s + 0.5, max(below, default=-1) + 1, entries, position))
    half = lane.translate(places[6])
    lane.probes = [
        probe(0.1, lane.start, lane.start, 0),
        probe(EARLY_S, places[6], places[6], half),
        probe(FAULT_S + 5, lane.end, places[6], half),
        probe(HEAL_S + 5, lane.end, lane.end, len(lane.items)),
        probe(LAST_S, lane.end, lane.end, len(lane.items)),
        probe(WATCHED_S, lane.end, lane.end, len(lane.items)),
    ]
    for n, offset in enumerate(pick(offsets, k=5)):
        if lane.is_disordered:
            continue
        lane.moves.append({"group": f"g{n}", "before": offset, "after": lane.translate(offset)})
        back = lane.translate(offset)
        item = lane.items[back].of if back < len(lane.items) else lane.end
        if item is not None:
            lane.moves.append({"group": f"r{n}", "before": back, "after": item, "reverse": True})


def probe(at_s: float, source_end: int, position: int, destination_end: int) -> dict[str, object]:
    told: dict[str, object] = {"asked_s": at_s, "at_s": at_s + 0.1, "source_end": source_end}
    return told | {"position": position, "destination_end": destination_end}


def cut(entries: list[list[object]], position: int) -> list[list[object]]:
    """The table as it was at an earlier position."""
    found: list[list[object]] = []
    for kind, first, *rest in entries:
        assert isinstance(first, int)
        if kind == "foreign" or first >= position:
            continue
        if kind == "run":
            destination, count = rest
            assert isinstance(count, int)
            found.append([kind, first, destination, min(count, position - first)])
        else:
            end, reason = rest
            assert isinstance(end, int)
            found.append([kind, first, min(end, position), reason])
    return found
