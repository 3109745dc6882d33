"""Sharing out: which gateway of an organization runs which partition of the lanes state.

Pure and deterministic, so that it does not matter which gateway reckons. A change of members moves as few partitions
as a balanced result allows: everybody keeps what it has up to its quota, and who has most gets the larger quotas.

A. Every partition has exactly one owner, and nobody has more than one partition more than another.
B. Of two gateways under one name the one that has been part of it later is served; the other is refused.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from mesh.json_text import read_json

NEVER = -1
"""The generation of a member that has not been part of any."""
_FORMAT = 1
_MAX_PARTITIONS = 100_000


@dataclass(frozen=True, slots=True)
class Application:
    """What a gateway says of itself when it joins: its name, and the last sharing out that it was part of."""

    gateway: str
    generation: int = NEVER
    owners: tuple[str, ...] = ()
    """By partition number."""

    def to_bytes(self) -> bytes:
        return json.dumps(
            {"format": _FORMAT, "gateway": self.gateway, "generation": self.generation, "owners": self.owners}
        ).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Application:
        """Raises ValueError for anything that `to_bytes` did not make."""
        said = _document(data)
        gateway, generation = said.get("gateway"), said.get("generation")
        if not isinstance(gateway, str) or not gateway or not isinstance(generation, int):
            raise ValueError("not an application")
        return cls(gateway, generation, _names(said.get("owners")))


@dataclass(frozen=True, slots=True)
class Sharing:
    """Who runs what. The same bytes go to every member."""

    owners: tuple[str, ...]
    """By partition number."""
    refused: frozenset[str] = frozenset()
    """Member ids that run nothing: another gateway has their name."""

    def of(self, gateway: str) -> frozenset[int]:
        return frozenset(number for number, owner in enumerate(self.owners) if owner == gateway)

    def to_bytes(self) -> bytes:
        return json.dumps({"format": _FORMAT, "owners": self.owners, "refused": sorted(self.refused)}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Sharing:
        """Raises ValueError for anything that `to_bytes` did not make."""
        said = _document(data)
        return cls(_names(said.get("owners")), frozenset(_names(said.get("refused"))))


def share_out(applications: Mapping[str, Application | None], partitions: int) -> Sharing:
    """The next sharing out. `applications` are by member id; None is one that cannot be read, and is refused."""
    chosen: dict[str, str] = {}
    for member in sorted(applications, key=lambda each: _seniority(each, applications[each])):
        if (application := applications[member]) is not None:
            chosen.setdefault(application.gateway, member)
    before = max(
        (each for each in applications.values() if each is not None), key=lambda each: each.generation, default=None
    )
    owners = assign(chosen, partitions, before.owners if before is not None else ())
    return Sharing(owners, frozenset(applications.keys() - chosen.values()))


def _seniority(member: str, application: Application | None) -> tuple[int, str]:
    return (-application.generation if application is not None else 0, member)


def assign(gateways: Collection[str], partitions: int, before: Sequence[str]) -> tuple[str, ...]:
    """The owner of each partition, given the owners before; empty texts where there is nobody."""
    if not gateways:
        return ("",) * partitions
    held: dict[str, list[int]] = {name: [] for name in gateways}
    for number, owner in enumerate(before[:partitions]):
        if owner in held:
            held[owner].append(number)
    quotas = _quotas(held, partitions)
    owners = [""] * partitions
    for name, numbers in held.items():
        for number in numbers[: quotas[name]]:
            owners[number] = name
    lacking = [name for name in quotas for _ in range(quotas[name] - min(quotas[name], len(held[name])))]
    free = [number for number, owner in enumerate(owners) if not owner]
    for number, name in zip(free, lacking, strict=True):
        owners[number] = name
    return tuple(owners)


def _quotas(held: Mapping[str, Sequence[int]], partitions: int) -> dict[str, int]:
    least, larger = divmod(partitions, len(held))
    order = sorted(held, key=lambda name: (-len(held[name]), name))
    return {name: least + (at < larger) for at, name in enumerate(order)}


def _document(data: bytes) -> dict[str, object]:
    said = read_json(data)
    if not isinstance(said, dict) or said.get("format") != _FORMAT:
        raise ValueError("of another format")
    return said


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > _MAX_PARTITIONS or not all(isinstance(each, str) for each in value):
        raise ValueError("not a list of names")
    return tuple(value)
