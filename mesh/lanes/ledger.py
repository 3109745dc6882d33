"""The ledger of a lane: what its source lost, exactly and for ever.

Entries are never changed. Their keys lie beside the lane's checkpoint, `loss/<n>` in 8 hex digits; the checkpoint
counts them and is put together with each, so that an entry stands for something that was done, once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from mesh.json_text import read_json
from mesh.lanes.losses import LossKind

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """Source offsets [source_offset, next_source_offset) of incarnation `topic_id`, which the source has no more.

    Trimmed: they have no copy in the map; what a crashed gateway had copied of them is `unmapped`. Truncated and
    recreated: what was copied of them, and the source lost, stands at destination offsets [destination_offset,
    next_destination_offset), with `unmapped` further records whose source offsets are not known (a crashed gateway had
    written them after its last checkpoint).
    """

    kind: LossKind
    source_offset: int
    next_source_offset: int
    destination_offset: int
    next_destination_offset: int
    noticed_ms: int
    topic_id: str
    incarnation: int = 0
    """The number of the incarnation that lost them, counted from 0."""
    unmapped: int = 0


def to_json(entry: LedgerEntry) -> bytes:
    return json.dumps({"format": _FORMAT, **asdict(entry)}, separators=(",", ":")).encode()


def from_json(value: bytes) -> LedgerEntry:
    """Raises ValueError, TypeError, KeyError where it is damaged."""
    document = read_json(value)
    if not isinstance(document, dict) or document.pop("format", None) != _FORMAT:
        raise ValueError(f"an entry of its ledger is not of format {_FORMAT}")
    numbers = {key: number for key, number in document.items() if key != "topic_id"}
    if any(type(number) is not int or number < 0 for number in numbers.values()):
        raise ValueError("an entry of its ledger has a field that is no number")
    return LedgerEntry(topic_id=str(document["topic_id"]), **(numbers | {"kind": LossKind(numbers["kind"])}))


def key(prefix: str, number: int) -> str:
    return f"{prefix}loss/{number:08x}"


def load(prefix: str, stored: Mapping[str, bytes], count: int) -> tuple[LedgerEntry, ...]:
    """The entries 0 to `count` (exclusive) of the lane whose keys begin with `prefix`."""
    return tuple(from_json(stored[key(prefix, number)]) for number in range(count))
