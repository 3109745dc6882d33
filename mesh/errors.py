"""The error tree: everything we raise is a `MeshError`.

The first split is *who must act*: the caller, the peer, the network (nobody: try again) or the operator.
An error is a value: its data are attributes, its sentence is built from them, and `code` is its stable name
(listed in docs/reference/errors.md, shown by the CLI, the admin API, logs and metrics).
Errors of one module live beside it and derive from one of the four classes here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import ClassVar


@dataclass(eq=False)
class MeshError(Exception):
    """Base of all our errors. A concrete class sets `code`, `sentence` and, where there is one, `hint`."""

    code: ClassVar[str] = ""
    sentence: ClassVar[str] = ""
    """A format string over the attributes: lower case, no full stop."""
    hint: ClassVar[str] = ""
    """What to do about it, a format string over the attributes."""
    retriable: ClassVar[bool] = False
    actor: ClassVar[str] = ""

    def __str__(self) -> str:
        return self.sentence.format(**self.data)

    @property
    def data(self) -> dict[str, object]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def remedy(self) -> str:
        return self.hint.format(**self.data)

    def __reduce__(self) -> tuple[type[MeshError], tuple[object, ...]]:
        return type(self), tuple(self.data.values())


@dataclass(eq=False)
class CallerError(MeshError):
    """The request is wrong: whoever made it must change it."""

    actor: ClassVar[str] = "caller"


@dataclass(eq=False)
class PeerError(MeshError):
    """The peer broke a rule of the protocol or of trust: its operator must act."""

    actor: ClassVar[str] = "peer"


@dataclass(eq=False)
class NetworkError(MeshError):
    """Something between two processes failed: trying again may help."""

    actor: ClassVar[str] = "network"
    retriable: ClassVar[bool] = True


@dataclass(eq=False)
class OperatorError(MeshError):
    """This gateway, its cluster or its configuration needs a person."""

    actor: ClassVar[str] = "operator"


def concrete_errors(base: type[MeshError] = MeshError) -> Iterator[type[MeshError]]:
    """Every class below `base` that has a code; the documentation test walks it."""
    for cls in base.__subclasses__():
        if cls.__dict__.get("code"):
            yield cls
        yield from concrete_errors(cls)
