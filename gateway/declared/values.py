"""The values of declared objects: from what YAML, TOML or JSON make of them to one normal form, and back.

A. Whatever may be written in several ways has one normal form, so that comparing is `==`: times are milliseconds,
   sets are sorted tuples.
B. `parsed(shown(value)) == value` for every normal value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any

from gateway.config_file import nearest
from gateway.declared.errors import Unfit
from mesh.errors import MeshError
from mesh.ids import GroupName, OrgId, ShareName, TopicName
from mesh.patterns import PatternMapping, checked_pattern, is_pattern
from mesh.shares import StartAt
from mesh.trust.addresses import legal_address

NEVER = "never"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE_LIMIT_MS = 253_402_300_800_000
"""The year 10000: what is not below it is shown as a number."""
MAX_MS = (1 << 56) - 1
"""As the admin API has it."""

Pairs = tuple[tuple[str, str], ...]


def text(value: object) -> str:
    if isinstance(value, bool | int | float):
        raise Unfit("it must be text: write it in quotes")
    if not isinstance(value, str) or not value:
        raise Unfit("it must be text")
    return value


def flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise Unfit("it must be true or false")
    return value


def one_of(kind: type[StrEnum]) -> Callable[[object], str]:
    """One of the values of `kind`."""
    choices = [each.value for each in kind]

    def parse(value: object) -> str:
        given = text(value)
        if given not in choices:
            near = nearest(given, choices)
            raise Unfit(f"it must be one of {', '.join(choices)}" + (f": did you mean {near!r}?" if near else ""))
        return given

    return parse


def checked(make: Callable[[str], object]) -> Callable[[object], str]:
    """Text that one of our own parsers takes, in the form that it gives."""

    def parse(value: object) -> str:
        try:
            return str(make(text(value)))
        except MeshError as error:
            raise Unfit(str(error)) from error

    return parse


organization, share_name = checked(OrgId), checked(ShareName)
start_at = checked(StartAt.parse)
_topic, _group, _pattern = checked(TopicName), checked(GroupName), checked(checked_pattern)


def texts(value: object, each: Callable[[object], str] = text) -> tuple[str, ...]:
    """A list without repetition, in its order."""
    if not isinstance(value, list | tuple):
        raise Unfit("it must be a list")
    found = tuple(map(each, value))
    for item, count in Counter(found).items():
        if count > 1:
            raise Unfit(f"it has {item!r} twice")
    return found


def addresses(value: object) -> tuple[str, ...]:
    found = texts(value)
    for item in found:
        if not legal_address(item):
            raise Unfit(f"{item[:300]!r} is not host:port with a port from 1 to 65535")
    return found


def groups(value: object) -> tuple[str, ...]:
    return tuple(sorted(texts(value, _group)))


def shared_topics(value: object) -> tuple[str, ...]:
    """Names and patterns."""
    return tuple(sorted(texts(value, lambda item: _pattern(item) if is_pattern(text(item)) else _topic(item))))


def mapped_topics(value: object) -> Pairs:
    """Source to destination, names or patterns of both; a list is of those that keep their names."""
    if isinstance(value, list | tuple):
        value = {source: source for source in texts(value)}
    if not isinstance(value, Mapping) or not value:
        raise Unfit("it must be a table of source and destination topics, or a list of topics")
    return asked_topics(tuple(_pair(source, destination) for source, destination in value.items()))


def _pair(source: object, destination: object) -> tuple[str, str]:
    given, wanted = text(source), text(destination)
    if not is_pattern(given):
        return _topic(given), _topic(wanted)
    try:
        mapping = PatternMapping.parsed(given, wanted)
    except MeshError as error:
        raise Unfit(str(error)) from error
    return mapping.source_pattern, mapping.destination_pattern


def asked_topics(pairs: Pairs) -> Pairs:
    """The same mapping without the topics that its patterns would map in the same way, sorted.

    What a subscription follows by a pattern stands among its topics later: who asked for it was the pattern. Patterns
    that overlap are tried in their order, so this is kept; of two for one source the second is never tried.
    """
    patterns = tuple({pair[0]: pair for pair in reversed(pairs) if is_pattern(pair[0])}.values())[::-1]
    named = (pair for pair in pairs if not is_pattern(pair[0]) and _by_pattern(pair[0], patterns) != pair[1])
    return (*sorted(named), *patterns)


def _by_pattern(source: str, patterns: Pairs) -> str | None:
    try:
        found = (PatternMapping(*pattern).destination_of(source) for pattern in patterns)
        return next((destination for destination in found if destination is not None), None)
    except MeshError:
        return None  # the pattern makes a name of it that none can have


def shown_topics(pairs: Pairs) -> dict[str, str]:
    return dict(pairs)


def moment(value: object) -> int | None:
    """Milliseconds since 1970 of a number, a time with its zone, or `never`, which is None."""
    if value == NEVER:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return _in_range(value)
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
        return _in_range(int(value))
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if isinstance(found, datetime):
        if found.tzinfo is None:
            raise Unfit("it has no time zone: add Z for UTC")
        return _in_range((found - _EPOCH) // timedelta(milliseconds=1))
    if isinstance(found, date):
        raise Unfit("it is a day: write a time, such as 2031-01-31T12:00:00Z")
    raise Unfit(f"it must be a time such as 2031-01-31T12:00:00Z, milliseconds since 1970, or {NEVER}")


def begin(value: object) -> int:
    """A moment that there is."""
    found = moment(value)
    if found is None:
        raise Unfit("it must be a time such as 2031-01-31T12:00:00Z, or milliseconds since 1970")
    return found


def _in_range(value_ms: int) -> int:
    if not 0 <= value_ms <= MAX_MS:
        raise Unfit("it must be a time from 1970 on")
    return value_ms


def shown_moment(value_ms: int | None) -> str | int:
    if value_ms is None:
        return NEVER
    if value_ms >= _DATE_LIMIT_MS:
        return value_ms
    found = _EPOCH + timedelta(milliseconds=value_ms)
    return found.isoformat(timespec="milliseconds" if value_ms % 1000 else "seconds").replace("+00:00", "Z")


def shown_begin(value_ms: int) -> str | int | None:
    """Nothing where it began with itself."""
    return shown_moment(value_ms) if value_ms else None


def as_is(value: Any) -> Any:
    """Lists as lists: what documents can hold."""
    return list(value) if isinstance(value, tuple) else value
