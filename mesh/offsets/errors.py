"""What the offset map refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.errors import CallerError, OperatorError


@dataclass(eq=False)
class IllegalOffset(CallerError):
    offset: int

    code: ClassVar[str] = "illegal-offset"
    sentence: ClassVar[str] = "{offset} is not an offset: offsets run from 0 to 2^56 (exclusive)"
    hint: ClassVar[str] = "ask for an offset that a log can have"


@dataclass(eq=False)
class OffsetMapDamaged(OperatorError):
    """Stored breaks that no sequence of additions could have made."""

    index: int
    why: str

    code: ClassVar[str] = "offset-map-damaged"
    sentence: ClassVar[str] = "break {index} of a stored offset map cannot be right: {why}"
    hint: ClassVar[str] = "restore the lane's state, or delete the subscription and subscribe anew"
