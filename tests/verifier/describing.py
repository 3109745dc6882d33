"""`run.json`, parsed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.verifier.files import Unreadable, one
from tests.verifier.model import Described, Lane, Place

FORMAT = 1
TIMESTAMPS = ("kept", "append", "override")
_LANE_FIELDS = (
    "source_start",
    "destination_start",
    "first_ordinal",
    "source_topic_id",
    "compacted",
    "settled",
    "grant",
)


def describe(directory: Path) -> Described:
    """Raises Unreadable."""
    raw = one(directory / "run.json")
    if raw.get("format") != FORMAT:
        raise Unreadable("run.json", f"is of format {raw.get('format')}, this judge reads {FORMAT}")
    try:
        return _described(raw)
    except (KeyError, TypeError, ValueError) as error:
        raise Unreadable("run.json", f"{type(error).__name__}: {error}") from None


def _described(raw: dict[str, Any]) -> Described:
    lanes = tuple(_lane(each) for each in raw["lanes"])
    if len({each.name for each in lanes}) != len(lanes):
        raise ValueError("two lanes have the same name")
    granted = raw.get("granted_topics")
    options = {
        name: raw[name]
        for name in ("heal_bound_s", "lag_bound_records", "revocation_bound_s")
        if raw.get(name) is not None
    }
    return Described(
        lanes,
        {"seed": raw.get("seed"), "versions": raw.get("versions", {})},
        frozenset((cluster, topic) for cluster, topic in granted) if granted is not None else None,
        tuple((each["text"], frozenset(each["known_to"])) for each in raw.get("canaries", [])),
        tuple((place_of(each), each["from"]) for each in raw.get("rewrites", [])),
        **options,
    )


def _lane(raw: dict[str, Any]) -> Lane:
    timestamps = raw.get("timestamps", "kept")
    if timestamps not in TIMESTAMPS:
        raise ValueError(f"timestamps are {timestamps}, not one of {TIMESTAMPS}")
    fields = {name: raw[name] for name in _LANE_FIELDS if name in raw}
    gaps = frozenset(raw.get("allowed_gaps", ()))
    source, destination = place_of(raw["source"]), place_of(raw["destination"])
    return Lane(raw["lane"], source, destination, timestamps=timestamps, allowed_gaps=gaps, **fields)


def place_of(raw: dict[str, Any]) -> Place:
    return Place(raw["cluster"], raw["topic"], raw["partition"])
