"""Structured logs: one JSON object a line on stderr, whatever the values hold.

A. One event is one line: JSON escapes control characters, and so does the console form.
B. A field is cut at FIELD_CHARS: a partner cannot fill the disk with one name.
C. A `Secret` is never shown; fields named like one are hidden even where somebody passes plain text.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import structlog

FIELD_CHARS = 2048
TRACEBACK_CHARS = 16_384
HIDDEN = "***"
_SECRET_WORDS = ("token", "password", "secret", "private_key", "authorization")
_MAX_DEPTH = 4


class Secret:
    """Text that prints as ***; `reveal` is the only way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return HIDDEN

    __str__ = __repr__

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (HIDDEN,)


def configure(level: str = "info", style: str = "json", stream: TextIO | None = None) -> None:
    """Set up structlog and the standard library's root logger for the process. `style` is `json` or `console`."""
    stream = stream or sys.stderr
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        tame,
    ]
    structlog.configure(
        processors=[*shared, renderer(style)],
        wrapper_class=structlog.make_filtering_bound_logger(number_of(level)),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer(style)],
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        )
    )
    # libraries speak from warning on: their own chatter is for their authors
    logging.basicConfig(handlers=[handler], level=max(number_of(level), logging.WARNING), force=True)


def number_of(level: str) -> int:
    """The standard library's number of a level's name. Raises KeyError."""
    return logging.getLevelNamesMapping()[level.upper()]


def renderer(style: str) -> Any:
    if style == "console":
        return console_line
    return structlog.processors.JSONRenderer(ensure_ascii=True)


def console_line(logger: object, method: str, event: MutableMapping[str, Any]) -> str:
    """`12:00:00 info  event key=value`, for eyes."""
    stamp = str(event.pop("timestamp", ""))[11:19]
    level, name = event.pop("level", method), event.pop("event", "")
    rest = " ".join(f"{key}={value!r}" if isinstance(value, str) else f"{key}={value}" for key, value in event.items())
    return f"{stamp} {level:<7} {name!s} {rest}".rstrip()


def tame(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide secrets, cut long fields and make every value plain data (rules A to C)."""
    for key in list(event):
        limit = TRACEBACK_CHARS if key == "exception" else FIELD_CHARS
        event[key] = HIDDEN if is_secret(key) else plain(event[key], limit, 0)
    return event


def is_secret(key: str) -> bool:
    return any(word in key.lower() for word in _SECRET_WORDS)


def plain(value: object, limit: int, depth: int) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping) and depth < _MAX_DEPTH:
        return {
            str(key)[:FIELD_CHARS]: HIDDEN if is_secret(str(key)) else plain(item, limit, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset) and depth < _MAX_DEPTH:
        return [plain(item, limit, depth + 1) for item in value]
    text = str(value)
    keep = "\n" if limit == TRACEBACK_CHARS else ""
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
