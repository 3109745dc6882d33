"""The fields of a JSON request, read strictly: a wrong type or an unknown field is refused, never ignored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, TypeVar

from aiohttp import web

from gateway.config_file import nearest
from gateway.http.bodies import read_object
from gateway.http.described import MAX_NUMBER as MAX_NUMBER
from gateway.http.described import Flag, Formed, Kind, Number, Objects, Shape, Text, TextMap, Texts, asked_of
from gateway.http.errors import BodyRefused

_Choice = TypeVar("_Choice", bound=StrEnum)


class Fields:
    """The object in a request's body, of the shape that its path declares. Raises BodyRefused."""

    def __init__(self, body: Mapping[str, Any], shape: Shape) -> None:
        for name in body:
            if name not in shape:
                near = nearest(name, shape)
                raise BodyRefused(f"field {name[:80]!r} is not known" + (f", did you mean {near!r}?" if near else ""))
        for name, kind in shape.items():
            value = body.get(name)
            if kind.fits(value) or (value is None and not kind.required):
                continue
            said = f"one of {', '.join(kind.choices)}" if isinstance(kind, Text) and kind.choices else kind.kind
            raise BodyRefused(f"field {name!r} must be {said}")
        self._body, self._shape = body, shape

    def __contains__(self, name: str) -> bool:
        """Whether it is given, and not null."""
        return self._body.get(name) is not None

    def _value(self, name: str, *kinds: type[Kind]) -> Any:
        assert isinstance(self._shape[name], kinds), f"{name} is declared as {self._shape[name]}"
        return self._body.get(name)

    def text(self, name: str, default: str = "") -> str:
        """`default` where an optional one is not given."""
        value = self._value(name, Text, Formed)
        return default if value is None else str(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """Empty where it is not given."""
        return tuple(self._value(name, Texts) or ())

    def text_map(self, name: str) -> dict[str, str]:
        """Empty where it is not given."""
        return {key: str(value) for key, value in (self._value(name, TextMap) or {}).items()}

    def objects(self, name: str) -> tuple[Fields, ...]:
        """Each read by the shape that the declaration has for it; empty where it is not given."""
        found, declared = self._value(name, Objects), self._shape[name]
        assert isinstance(declared, Objects)
        return tuple(_within(f"{name}[{index}]", each, declared.of) for index, each in enumerate(found or ()))

    def json(self, name: str) -> Any:
        """Whatever is given, of any kind; None where nothing is."""
        assert name in self._shape, name
        return self._body.get(name)

    def flag(self, name: str) -> bool:
        """False where it is not given."""
        return bool(self._value(name, Flag))

    def choice(self, name: str, default: _Choice) -> _Choice:
        """One of the values that `default` is one of."""
        assert self._shape[name] == Text(required=False, choices=tuple(type(default))), name
        value = self._value(name, Text)
        return default if value is None else type(default)(value)

    def number(self, name: str) -> int | None:
        """None where it is not given."""
        value = self._value(name, Number)
        return None if value is None else int(value)


def _within(place: str, body: Mapping[str, Any], shape: Shape) -> Fields:
    with naming(place):
        return Fields(body, shape)


@contextmanager
def naming(place: str) -> Iterator[None]:
    """What is refused inside is refused of `place`."""
    try:
        yield
    except BodyRefused as error:
        raise BodyRefused(f"{place}: {error.why}") from None


async def fields_of(request: web.Request) -> Fields:
    """The body of a request, of the shape that its handler declares. Raises BodyRefused."""
    shape = asked_of(request).body
    assert shape is not None, f"{request.path} reads no body"
    return Fields(await read_object(request), shape)


def one_of(kind: type[StrEnum]) -> Text:
    """An optional text that is one of the values of `kind`."""
    return Text(required=False, choices=tuple(kind))
