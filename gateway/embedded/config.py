"""The settings of a topic of the embedded log, by Kafka's names and with Kafka's meanings.

Unlike Kafka's, a topic keeps its records for ever until it is told otherwise: mirrored history has old timestamps and
would be gone at the first look. A topic may say that it is compacted, as the copy of a compacted one does: it is kept
whole, since compaction only ever removes what a reader may do without.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from gateway.embedded.errors import TopicConfigRefused

DEFAULT_MAX_BATCH_BYTES: Final = 1_048_588
"""Kafka's default of `max.message.bytes`: 1 MiB and the 12 bytes of a log entry's offset and length."""

_NUMBERS: Final = {"retention.ms": -1, "retention.bytes": -1, "max.message.bytes": 1}
"""The least value of each; -1 is no limit."""
_NUMBER: Final = re.compile(r"-?[0-9]{1,19}")
_LARGEST: Final = str((1 << 63) - 1)
_CHOICES: Final = {
    "cleanup.policy": ("delete", "compact", "compact,delete", "delete,compact"),
    "compression.type": ("producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"),
    "message.timestamp.type": ("CreateTime",),
    "message.timestamp.before.max.ms": (_LARGEST,),
    "message.timestamp.after.max.ms": (_LARGEST,),
}
"""What Kafka lets one choose and this log does in one way: no clock judges records, nothing is compacted, and batches
stay compressed as they came."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Limits per partition, None where there is none."""

    bytes: int | None
    ms: int | None

    @classmethod
    def of(cls, config: Mapping[str, str]) -> Retention:
        if "delete" not in config.get("cleanup.policy", "delete"):  # as Kafka: what is only compacted has no age
            return cls(None, None)
        return cls(_limit(config, "retention.bytes"), _limit(config, "retention.ms"))


def checked(config: Mapping[str, str]) -> dict[str, str]:
    """The settings as they are kept. Raises TopicConfigRefused, naming the nearest known setting."""
    for key, value in config.items():
        why = _fault(key, value)
        if why is not None:
            raise TopicConfigRefused(key, why)
    return dict(config)


def _fault(key: str, value: str) -> str | None:
    if key in _CHOICES:
        known = " and ".join(repr(choice) for choice in _CHOICES[key])
        return None if value.replace(" ", "") in _CHOICES[key] else f"the embedded log only knows {known}"
    if key in _NUMBERS:
        legal = _NUMBER.fullmatch(value) is not None and _NUMBERS[key] <= int(value) < 2**63
        return None if legal else f"it must be a whole number from {_NUMBERS[key]}"
    nearest = get_close_matches(key, [*_NUMBERS, *_CHOICES], n=1, cutoff=0.0)[0]
    return f"it is not known; the nearest known setting is {nearest!r}"


def _limit(config: Mapping[str, str], key: str) -> int | None:
    value = int(config.get(key, "-1"))
    return None if value < 0 else value
