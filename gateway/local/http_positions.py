"""Positions as JSON has them, and as one text: `0:120,1:44`, a partition and the offset that is read next, each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.http.described import Formed, Number, Objects, Shape
from gateway.http.errors import BodyRefused
from gateway.http.fields import Fields
from gateway.http.schemas import WHOLE, list_of, object_of

MAX_PARTITION = (1 << 31) - 1
MAX_OFFSET = (1 << 62) - 1
"""Numbers of as many digits are read as any; what is beyond a log is refused as such."""
POSITION: Shape = {
    "partition": Number(required=True, most=MAX_PARTITION),
    "offset": Number(required=True, most=MAX_OFFSET),
}
POSITIONS = Objects(POSITION, required=True, most=10_000)
SHOWN_POSITIONS = list_of(object_of({"partition": WHOLE, "offset": WHOLE}))

_NUMBER = "[0-9]{1,9}"
POSITIONS_TEXT = Formed(f"{_NUMBER}:[0-9]{{1,18}}(,{_NUMBER}:[0-9]{{1,18}})*", "0:120,1:44", longest=8000)
PARTITIONS_TEXT = Formed(f"{_NUMBER}(,{_NUMBER})*", "0,1", longest=8000)


def given(fields: Fields) -> dict[int, int]:
    """Raises BodyRefused where a partition is named twice."""
    found = {}
    for each in fields.objects("positions"):
        partition, offset = each.number("partition"), each.number("offset")
        assert partition is not None
        assert offset is not None
        if partition in found:
            raise BodyRefused(f"positions has partition {partition} twice")
        found[partition] = offset
    return found


def shown(positions: Mapping[int, int]) -> list[dict[str, int]]:
    return [{"partition": partition, "offset": offset} for partition, offset in sorted(positions.items())]


def parsed(text: str) -> dict[int, int]:
    """Of a text that fits POSITIONS_TEXT. Raises BodyRefused where a partition is named twice."""
    pairs = [each.split(":") for each in text.split(",")] if text else []
    found = {int(partition): int(offset) for partition, offset in pairs}
    if len(found) < len(pairs):
        raise BodyRefused("positions has a partition twice")
    return found


def as_text(positions: Mapping[int, int]) -> str:
    return ",".join(f"{partition}:{offset}" for partition, offset in sorted(positions.items()))


def partitions(text: str) -> Sequence[int]:
    """Of a text that fits PARTITIONS_TEXT."""
    return sorted({int(each) for each in text.split(",")}) if text else ()
