"""The fields of a JSON request, read strictly: a wrong type or an unknown field is refused, never ignored."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from gateway.admin.errors import BodyRefused
from gateway.config_file import nearest

_Choice = TypeVar("_Choice", bound=StrEnum)
MAX_NUMBER = 1 << 56
"""Times in milliseconds and offsets lie below it."""


class Fields:
    """The object in a request's body. `only` are the fields that the path knows."""

    def __init__(self, body: Mapping[str, Any], *only: str) -> None:
        for name in body:
            if name not in only:
                near = nearest(name, only)
                raise BodyRefused(f"field {name[:80]!r} is not known" + (f", did you mean {near!r}?" if near else ""))
        self._body = body

    def text(self, name: str, default: str | None = None) -> str:
        """Required where there is no default."""
        value = self._body.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise BodyRefused(f"field {name!r} must be a text")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Empty where it is not given."""
        value = self._body.get(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise BodyRefused(f"field {name!r} must be a list of texts")
        return tuple(value)

    def objects(self, name: str) -> tuple[Mapping[str, Any], ...]:
        value = self._body.get(name)
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise BodyRefused(f"field {name!r} must be a list of objects")
        return tuple(value)

    def flag(self, name: str) -> bool:
        """False where it is not given."""
        value = self._body.get(name)
        if value is not None and not isinstance(value, bool):
            raise BodyRefused(f"field {name!r} must be true or false")
        return bool(value)

    def choice(self, name: str, default: _Choice) -> _Choice:
        """One of the values that `default` is one of."""
        kind = type(default)
        value = self._body.get(name)
        if value is None:
            return default
        if not isinstance(value, str) or value not in set(kind):
            raise BodyRefused(f"field {name!r} must be one of {', '.join(kind)}")
        return kind(value)

    def number(self, name: str) -> int | None:
        """A whole number, None where it is not given."""
        value = self._body.get(name)
        if value is None:
            return None
        if type(value) is not int or not 0 <= value < MAX_NUMBER:
            raise BodyRefused(f"field {name!r} must be a whole number from 0 to {MAX_NUMBER - 1}")
        return value
