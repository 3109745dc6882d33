"""State entries by their keys, kept so that those of one object are found without a look at all the others.

A lane's map may have thousands of pages, and each subscription's lanes are asked for every few seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

GROUP_PARTS = 2
"""Of a key: `lane/<subscription>/…`."""


class Entries(Mapping[str, bytes]):
    def __init__(self) -> None:
        self._groups: dict[str, dict[str, bytes]] = {}

    def __getitem__(self, key: str) -> bytes:
        return self._groups[_group(key)][key]

    def __iter__(self) -> Iterator[str]:
        return (key for group in self._groups.values() for key in group)

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    def put(self, key: str, value: bytes | None) -> None:
        """None removes the key."""
        group = self._groups.setdefault(_group(key), {})
        if value is not None:
            group[key] = value
            return
        group.pop(key, None)
        if not group:
            del self._groups[_group(key)]

    def below(self, prefix: str) -> dict[str, bytes]:
        """Those whose keys begin with the prefix."""
        is_of_one = prefix.count("/") >= GROUP_PARTS
        groups = [self._groups.get(_group(prefix), {})] if is_of_one else list(self._groups.values())
        return {key: value for group in groups for key, value in group.items() if key.startswith(prefix)}


def _group(key: str) -> str:
    return "/".join(key.split("/", GROUP_PARTS)[:GROUP_PARTS])
