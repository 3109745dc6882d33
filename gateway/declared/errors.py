"""What is wrong with declared objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from mesh.errors import CallerError


class Unfit(Exception):
    """A value that a declared object may not have; its text says what it must be."""


@dataclass(eq=False)
class DeclarationRefused(CallerError):
    """Of several faults the first is the sentence, `others` are the rest of them."""

    where: str
    why: str
    others: Sequence[str] = field(default=())

    code: ClassVar[str] = "declaration-refused"
    sentence: ClassVar[str] = "{where}: {why}"
    hint: ClassVar[str] = "nothing was changed; kinds and their fields are in docs/reference/objects.md"
