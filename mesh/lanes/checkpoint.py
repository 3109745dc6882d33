"""The checkpoint of a lane, and how it and the offset map are kept in the lanes state.

Keys, all below `lane/<subscription>/<topic>/<partition>/`: `checkpoint` (JSON), and `map/<index>`, one page of PAGE
packed breaks each, named by the index of the page's first break in 16 hex digits. A put rewrites only the pages
that have grown, so it is small (at most PAGE breaks more than are new) and the keys need no repacking. Beside them lies
the ledger (`mesh.lanes.ledger`).

A source topic that was created again begins a new incarnation with a map of its own: its pages are `map-<n>/<index>`,
and the checkpoint of the one before is kept as `former/<n>`, its pages where they are.

A. The checkpoint and the pages it speaks of are put together: `stored_breaks` says how many there are in all.
B. What is loaded must agree: pages whole, breaks canonical, as many records as the checkpoint counts. Anything else is
   damage, never a map that is merely wrong.
C. A map that was cut back is put with the pages it lost: those beyond its end removed, the one it ends in rewritten.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import ClassVar, TypeVar

from mesh.batch.stamp import Producer
from mesh.errors import MeshError, OperatorError
from mesh.ids import LaneId, SubscriptionName, TopicId, TopicName
from mesh.json_text import read_json
from mesh.lanes import ledger
from mesh.lanes.epochs import Epochs, EpochStart
from mesh.lanes.ledger import LedgerEntry
from mesh.offsets.breaks import OFFSET_LIMIT, PACKED_BYTES
from mesh.offsets.map import OffsetMap

PAGE = 256
"""Breaks per stored page: a put rewrites 4 KiB at most beside what is new, a million breaks make 3907 keys."""

_FORMAT = 1


@dataclass(eq=False)
class LaneStateDamaged(OperatorError):
    lane: str
    why: str

    code: ClassVar[str] = "lane-state-damaged"
    sentence: ClassVar[str] = "the stored state of lane {lane} is damaged: {why}"
    hint: ClassVar[str] = "restore the lanes state from a copy, or delete the subscription and subscribe anew"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a lane is, as of one moment; everything before `source_position` is in the destination log."""

    topic_id: TopicId
    """The source topic's incarnation."""
    source_position: int
    """The next source offset."""
    ordinal: int
    """Of the next record: records since the lane, or its incarnation, began; it never goes back."""
    destination_offset: int
    """Where the next record is expected; every record of the lane at or after it has this ordinal or a later one."""
    producer: Producer
    stored_breaks: int
    """The index after the last break of the map."""
    first_break: int = 0
    """The index of the first break kept: those before it were trimmed."""
    map_start: int = 0
    """The first source offset the map speaks of."""
    map_destination_start: int = 0
    """The first destination offset the map speaks of."""
    map_first_ordinal: int = 0
    """Records that the map does not hold: those before its start, and those that it was cut back by."""
    source_leader_epoch: int = -1
    source_epochs: Epochs = ()
    """Where the leader epochs of what was copied began."""
    destination_topic_id: str = ""
    """The destination topic's incarnation, empty where the lane began before that was kept."""
    incarnation: int = 0
    """How often the source topic was created again since the lane began."""
    losses: int = 0
    """Entries of the ledger."""
    subscribed_ms: int = 0
    """When the subscription was made whose lane it is, 0 unknown: one of the same name may have been made since."""

    def is_of(self, subscribed_ms: int) -> bool:
        """Whether it is of a subscription made then, as far as is known."""
        return subscribed_ms == self.subscribed_ms or 0 in (subscribed_ms, self.subscribed_ms)


def checkpoint_of(
    offset_map: OffsetMap,
    topic_id: TopicId,
    ordinal: int,
    destination_offset: int,
    producer: Producer,
    source_leader_epoch: int = -1,
    source_epochs: Epochs = (),
    destination_topic_id: str = "",
    incarnation: int = 0,
    losses: int = 0,
    subscribed_ms: int = 0,
) -> Checkpoint:
    """The checkpoint that goes with the map as it is now."""
    return Checkpoint(
        topic_id=topic_id,
        source_position=offset_map.position,
        ordinal=ordinal,
        destination_offset=destination_offset,
        producer=producer,
        stored_breaks=offset_map.end_break,
        first_break=offset_map.first_break,
        map_start=offset_map.start,
        map_destination_start=offset_map.destination_start,
        map_first_ordinal=ordinal - offset_map.records,
        source_leader_epoch=source_leader_epoch,
        source_epochs=source_epochs,
        destination_topic_id=destination_topic_id,
        incarnation=incarnation,
        losses=losses,
        subscribed_ms=subscribed_ms,
    )


def prefix(lane: LaneId) -> str:
    """What the keys of the lane, and of no other, begin with."""
    return f"lane/{lane.subscription}/{lane.topic}/{lane.partition}/"


def producer_name(lane: LaneId) -> str:
    """What the lane's producer is called in its cluster, so that it can be cut."""
    return f"mesh.{lane}"


def entries(
    lane: LaneId,
    checkpoint: Checkpoint,
    offset_map: OffsetMap,
    durable: Checkpoint | None,
    unchanged_breaks: int | None = None,
) -> dict[str, bytes | None]:
    """What to put so that the map and its checkpoint are durable, given the last checkpoint that is.

    `unchanged_breaks`: since then the map was cut back to so many breaks, and may have grown again.
    """
    assert checkpoint.stored_breaks == offset_map.end_break, "the checkpoint is of another state of the map"
    changed: dict[str, bytes | None] = {_checkpoint_key(lane): _to_json(checkpoint)}
    stored = range(durable.first_break, durable.stored_breaks) if durable else range(0)
    number = checkpoint.incarnation
    for page in range(_page(stored.start), min(_page(checkpoint.first_break), stored.stop), PAGE):
        changed[_page_key(lane, number, page)] = None
    for page in range(_page(checkpoint.stored_breaks + PAGE - 1), stored.stop, PAGE):
        changed[_page_key(lane, number, page)] = None
    same = stored.stop if unchanged_breaks is None else min(stored.stop, unchanged_breaks)
    if checkpoint.stored_breaks > same or same < stored.stop:
        for page in range(_page(max(same, checkpoint.first_break)), checkpoint.stored_breaks, PAGE):
            end = min(page + PAGE, checkpoint.stored_breaks)
            changed[_page_key(lane, number, page)] = offset_map.breaks_since(page, end)
    return changed


def succession(
    lane: LaneId, former: Checkpoint, checkpoint: Checkpoint, offset_map: OffsetMap
) -> dict[str, bytes | None]:
    """What to put so that `checkpoint` begins the incarnation after that of `former`, whose map is kept."""
    assert checkpoint.incarnation == former.incarnation + 1, checkpoint
    return {_former_key(lane, former.incarnation): _to_json(former)} | entries(lane, checkpoint, offset_map, None)


def recorded(lane: LaneId, number: int, entry: LedgerEntry) -> dict[str, bytes | None]:
    """What to put, together with a checkpoint of `number + 1` losses, so that the entry stands in the ledger."""
    return {ledger.key(prefix(lane), number): ledger.to_json(entry)}


def load_lane(lane: LaneId, stored: Mapping[str, bytes]) -> tuple[Checkpoint, OffsetMap] | None:
    """The lane's checkpoint and map, None where nothing is stored of it. Raises LaneStateDamaged.

    `stored` may hold other lanes too.
    """
    own = {key: value for key, value in stored.items() if key.startswith(prefix(lane)) and key != running_key(lane)}
    if not own:
        return None
    return _guarded(lane, lambda: _load(lane, own, _checkpoint_key(lane)))


def load_former(lane: LaneId, stored: Mapping[str, bytes], incarnation: int) -> tuple[Checkpoint, OffsetMap]:
    """Where an earlier incarnation of the lane ended, and its map. Raises LaneStateDamaged."""
    return _guarded(lane, lambda: _load(lane, stored, _former_key(lane, incarnation)))


def load_ledger(lane: LaneId, stored: Mapping[str, bytes]) -> tuple[LedgerEntry, ...]:
    """The entries of a lane's ledger, in order; none of a lane that has not begun. Raises LaneStateDamaged."""
    if _checkpoint_key(lane) not in stored:
        return ()
    count = load_checkpoint(lane, stored).losses
    return _guarded(lane, lambda: ledger.load(prefix(lane), stored, count))


_Loaded = TypeVar("_Loaded")


def _guarded(lane: LaneId, load: Callable[[], _Loaded]) -> _Loaded:
    try:
        return load()
    except (ValueError, TypeError, KeyError, MeshError) as error:
        raise LaneStateDamaged(str(lane), str(error) or type(error).__name__) from error


def begun_lanes(subscription: SubscriptionName, stored: Mapping[str, bytes]) -> list[LaneId]:
    """The subscription's lanes of which a checkpoint is stored, in order."""
    found = []
    for key in stored:
        if key.startswith(f"lane/{subscription}/") and key.endswith("/checkpoint"):
            topic, partition = key.split("/")[2:4]
            found.append(LaneId(subscription, TopicName(topic), int(partition)))
    return sorted(found)


def running_key(lane: LaneId) -> str:
    """Where the name of the gateway stands that runs the lane: there before it starts, gone after it has settled."""
    return f"{prefix(lane)}running"


def running_lanes(subscription: SubscriptionName, stored: Mapping[str, bytes]) -> dict[LaneId, str]:
    """The subscription's lanes that somebody runs, or ran when it died, and who, in order."""
    found = {}
    for key, gateway in stored.items():
        if key.startswith(f"lane/{subscription}/") and key.endswith("/running"):
            topic, partition = key.split("/")[2:4]
            found[LaneId(subscription, TopicName(topic), int(partition))] = gateway.decode(errors="replace")
    return dict(sorted(found.items()))


def load_checkpoint(lane: LaneId, stored: Mapping[str, bytes]) -> Checkpoint:
    """The stored checkpoint of a lane that has begun, without a look at its map. Raises LaneStateDamaged."""
    return _guarded(lane, lambda: _from_json(stored[_checkpoint_key(lane)]))


def _load(lane: LaneId, own: Mapping[str, bytes], key: str) -> tuple[Checkpoint, OffsetMap]:
    if key not in own:
        raise ValueError("it has pages of an offset map, but no checkpoint")
    checkpoint = _from_json(own[key])
    number = checkpoint.incarnation
    found = {key: page for key, page in own.items() if key.startswith(_map_prefix(lane, number))}
    pages = range(_page(checkpoint.first_break), checkpoint.stored_breaks, PAGE)
    # The count first: a damaged checkpoint may speak of more pages than could be named in a lifetime.
    if len(found) != len(pages) or found.keys() != {_page_key(lane, number, page) for page in pages}:
        raise ValueError(f"its map should have {len(pages)} pages up to break {checkpoint.stored_breaks}")
    offset_map = OffsetMap.load(
        checkpoint.map_start,
        (_kept(found[_page_key(lane, number, page)], page, checkpoint) for page in pages),
        checkpoint.source_position,
        checkpoint.map_destination_start,
        checkpoint.first_break,
    )
    _agree(checkpoint, offset_map)
    return checkpoint, offset_map


def _kept(packed: bytes, page: int, checkpoint: Checkpoint) -> bytes:
    """The page without breaks that were trimmed after it was written."""
    end = min(page + PAGE, checkpoint.stored_breaks)
    first = end - len(packed) // PACKED_BYTES
    if first > max(page, checkpoint.first_break) or first < page or len(packed) % PACKED_BYTES:
        raise ValueError(f"the page of break {page} has {len(packed)} bytes and should end at break {end}")
    return packed[max(checkpoint.first_break - first, 0) * PACKED_BYTES :]


def _agree(checkpoint: Checkpoint, offset_map: OffsetMap) -> None:
    if checkpoint.ordinal - checkpoint.map_first_ordinal != offset_map.records:
        raise ValueError(
            f"the map holds {offset_map.records} records, the checkpoint counts "
            f"{checkpoint.ordinal - checkpoint.map_first_ordinal}"
        )
    if checkpoint.destination_offset < offset_map.destination_offset:
        raise ValueError(
            f"the map reaches destination offset {offset_map.destination_offset}, the checkpoint "
            f"{checkpoint.destination_offset}"
        )


def _page(index: int) -> int:
    return index - index % PAGE


def _checkpoint_key(lane: LaneId) -> str:
    return prefix(lane) + "checkpoint"


def _former_key(lane: LaneId, incarnation: int) -> str:
    return f"{prefix(lane)}former/{incarnation:08x}"


def _map_prefix(lane: LaneId, incarnation: int) -> str:
    return f"{prefix(lane)}map-{incarnation}/" if incarnation else f"{prefix(lane)}map/"


def _page_key(lane: LaneId, incarnation: int, page: int) -> str:
    return f"{_map_prefix(lane, incarnation)}{page:016x}"


def _to_json(checkpoint: Checkpoint) -> bytes:
    said = {each.name for each in fields(checkpoint) if getattr(checkpoint, each.name) != each.default}
    # What is as it is by default is left out: an older gateway reads every lane that uses nothing newer than itself.
    document = {"format": _FORMAT} | {name: value for name, value in asdict(checkpoint).items() if name in said}
    return json.dumps(document, separators=(",", ":")).encode()


def _from_json(value: bytes) -> Checkpoint:
    document = read_json(value)
    if not isinstance(document, dict) or document.pop("format", None) != _FORMAT:
        raise ValueError(f"its checkpoint is not of format {_FORMAT}")
    topic_id, (producer_id, epoch) = TopicId(document.pop("topic_id")), document.pop("producer")
    destination_id = document.pop("destination_topic_id", "")
    epochs = tuple(EpochStart(*map(_epoch_number, each)) for each in document.pop("source_epochs", ()))
    numbers = {"producer_id": producer_id, "epoch": epoch, **document}
    wrong = [name for name, number in numbers.items() if not _is_number(name, number)]
    if wrong:
        raise ValueError(f"its checkpoint has an illegal {wrong[0]}")
    return Checkpoint(
        topic_id=topic_id,
        producer=Producer(producer_id, epoch),
        destination_topic_id=TopicId(destination_id) if destination_id else "",
        source_epochs=epochs,
        **document,
    )


def _epoch_number(number: object) -> int:
    if type(number) is not int or number < 0:
        raise ValueError("its checkpoint has an illegal source_epochs")
    return number


def _is_number(name: str, number: object) -> bool:
    least, limit = (-1, 1 << 31) if name == "source_leader_epoch" else (0, 1 << 63)
    if name.endswith(("position", "offset", "start")):
        limit = OFFSET_LIMIT + 1
    return isinstance(number, int) and not isinstance(number, bool) and least <= number < limit
