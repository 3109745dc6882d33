"""Shell patterns of topic names: what a share holds beyond the topics it names, and what a subscriber makes of them.

A pattern says `*` for any characters and `?` for one. It is looked at anew at each question, so a topic that is made
later belongs to it.

A. No pattern matches an internal topic or a name that begins with `_`: such a topic is named, or not shared.
B. A mapping has exactly one `*` on both sides, so that two sources never get one name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from mesh.errors import CallerError
from mesh.ids import IllegalName, TopicName

_LEGAL = re.compile(r"[a-zA-Z0-9._*?-]{1,249}")
_WILD = re.compile(r"[*?]")
MAX_STARS = 8
"""Each one more makes a match slower; nobody needs as many."""


@dataclass(eq=False)
class IllegalPattern(CallerError):
    pattern: str
    why: str

    code: ClassVar[str] = "illegal-pattern"
    sentence: ClassVar[str] = "{pattern!r} is no pattern of topics: {why}"
    hint: ClassVar[str] = "write it in quotes, such as 'orders.*'; * stands for any characters, ? for one"


def is_pattern(text: str) -> bool:
    return _WILD.search(text) is not None


def checked_pattern(text: str) -> str:
    """The pattern itself, or IllegalPattern."""
    if not _LEGAL.fullmatch(text):
        raise IllegalPattern(text[:80], "it has 1 to 249 of letters, digits, '.', '_', '-', '*' and '?'")
    if text.count("*") > MAX_STARS:
        raise IllegalPattern(text[:80], f"it has more than {MAX_STARS} times '*'")
    if text.startswith("_"):
        raise IllegalPattern(text[:80], "names that begin with '_' are shared by name only")
    return text


def matches(pattern: str, name: str) -> bool:
    """Whether the topic belongs to the pattern (A)."""
    if name.startswith("_"):
        return False
    try:
        return _compiled(pattern).fullmatch(TopicName(name)) is not None
    except IllegalName:
        return False


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(each) or re.escape(each) for each in re.sub(r"\*+", "*", pattern)))


@dataclass(frozen=True, slots=True)
class PatternMapping:
    """Source topics to destination topics by pattern. Made by `parsed`, which checks both."""

    source_pattern: str
    destination_pattern: str

    @classmethod
    def parsed(cls, source: str, destination: str) -> PatternMapping:
        """Raises IllegalPattern."""
        for each in (source, destination):
            if each.count("*") != 1 or "?" in each:
                raise IllegalPattern(each[:80], "a mapping has exactly one '*' on both sides")
            if not _LEGAL.fullmatch(each):
                raise IllegalPattern(each[:80], "it has 1 to 249 of letters, digits, '.', '_', '-' and one '*'")
        return cls(checked_pattern(source), destination)

    def destination_of(self, source_topic: str) -> TopicName | None:
        """The destination topic's name, None where the pattern does not match. Raises IllegalName: it would be none."""
        if not matches(self.source_pattern, source_topic):
            return None
        before, _, after = self.source_pattern.partition("*")
        middle = source_topic[len(before) : len(source_topic) - len(after)]
        return TopicName(self.destination_pattern.replace("*", middle))

    def __str__(self) -> str:
        return f"{self.source_pattern}={self.destination_pattern}"
